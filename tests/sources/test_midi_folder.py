"""Folders of MIDI files."""

from __future__ import annotations

from pathlib import Path

import pytest

from musicgen_cls.errors import SourceError
from musicgen_cls.sources import MidiFolder


def test_genres_are_sub_folders_at_any_depth(tmp_path: Path) -> None:
    for name in ("jazz/a.mid", "jazz/trio/b.MIDI", "pop/c.midi", "pop/cover.png", "pop/c.wav", "loose.mid"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "artists.csv").write_text("file,genre,artist\njazz/a.mid,jazz,Ann\n")
    source = MidiFolder(str(tmp_path))
    assert [(track.id, track.genre, track.artist) for track in source.tracks()] == [
        ("jazz/a.mid", "jazz", "Ann"), ("jazz/trio/b.MIDI", "jazz", None), ("pop/c.midi", "pop", None)]  # fmt: skip
    assert source.genres == ("jazz", "pop")
    assert {problem.path.name: problem.reason for problem in source.problems()} == {
        "c.wav": "not MIDI, by its suffix", "loose.mid": "not in the sub-folder of a genre"}  # fmt: skip


def test_a_folder_without_scores_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "jazz").mkdir()
    (tmp_path / "jazz" / "a.wav").touch()
    with pytest.raises(SourceError, match=r"no MIDI in sub-folders; put mid, midi files into"):
        MidiFolder(str(tmp_path)).tracks()
