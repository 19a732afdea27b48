"""Scores of a source in a store: notes, groups of tunes, problems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musicgen_cls.collection import scores
from musicgen_cls.collection.collection import Collection, collect
from musicgen_cls.collection.scores import collect_scores
from musicgen_cls.errors import SourceError
from musicgen_cls.notes.composed import compose
from musicgen_cls.notes.families import DRUMS
from musicgen_cls.notes.midi import read_midi, write_midi
from musicgen_cls.notes.score import NOTE, Notes, length_seconds, transposed
from musicgen_cls.sources import MidiFolder, SyntheticGenres, SyntheticScores


def free(seed: int) -> Notes:
    """A piece without a metre."""
    notes = compose("pop", seed, seconds=20.0)
    notes["onset"] = 5 * np.arange(len(notes))  # every step of the beat equally often
    return notes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "songs"
    for genre, first in (("jazz", 0), ("pop", 4), ("metal", 8)):
        (folder / genre).mkdir(parents=True)
        for n in range(first, first + 3):
            write_midi(compose(genre, n, seconds=12.0), folder / genre / f"{genre}song{n}.mid")
    write_midi(transposed(read_midi(folder / "jazz" / "jazzsong0.mid"), 3), folder / "pop" / "higher.mid")
    write_midi(compose("blues", 0, seconds=12.0), folder / "pop" / "blue_moon_bb.mid")
    write_midi(compose("disco", 5, seconds=12.0), folder / "jazz" / "Blue Moon.mid")
    (folder / "metal" / "twin.mid").write_bytes((folder / "metal" / "metalsong8.mid").read_bytes())
    drums = compose("rock", 0, seconds=12.0)
    write_midi(drums[drums["family"] == DRUMS], folder / "pop" / "drums.mid")
    write_midi(free(0), folder / "pop" / "free.mid")
    (folder / "pop" / "text.mid").write_text("no music")
    return folder


def gather(root: Path, **options: Any) -> Collection:
    return collect_scores(MidiFolder(str(root)), cache_dir=str(root.parent / "stores"), **options)


def test_the_notes_of_every_piece_are_those_of_its_file(root: Path) -> None:
    found = gather(root)
    assert found.items.dtype == NOTE
    assert isinstance(found.items, np.memmap)
    assert found.rate == 1
    assert len(found.tracks) == 12
    for row, track in enumerate(found.tracks):
        notes = found.items[found.offset[row] : found.offset[row] + found.lengths[row]]
        expected = read_midi(track.path)
        assert np.array_equal(notes, expected)
        assert track.seconds == length_seconds(expected)
    assert found.whole.tolist() == list(range(12))
    assert not found.before.any()


def test_versions_are_one_group(root: Path) -> None:
    group = {track.path.name: track.group for track in gather(root).tracks}
    assert group["jazzsong0.mid"] == group["higher.mid"] is not None
    assert group["Blue Moon.mid"] == group["blue_moon_bb.mid"] == "bluemoon"
    assert sum(name is not None for name in group.values()) == 4 + 1  # the first of two copies
    assert gather(root).grouped == [
        "2 pieces are versions of 1 tune by their titles, as jazz/Blue Moon.mid and pop/blue_moon_bb.mid",
        "2 pieces are versions of 1 tune by their notes, as jazz/jazzsong0.mid and pop/higher.mid",
    ]


def test_what_cannot_be_used_is_named(root: Path) -> None:
    reasons = {problem.path.name: problem.reason for problem in gather(root).problems}
    assert set(reasons) == {"drums.mid", "free.mid", "text.mid", "twin.mid"}
    assert reasons["drums.mid"].startswith("only drums")
    assert reasons["free.mid"].startswith("no metre")
    assert reasons["text.mid"].startswith("not a MIDI file")
    assert reasons["twin.mid"].startswith("an exact copy of")
    with pytest.raises(SourceError, match=r"twin\.mid: an exact copy of .*4 such files; --data\.strict false"):
        gather(root, strict=True)


def test_copies_can_be_kept_in_one_group(root: Path) -> None:
    group = {track.path.name: track.group for track in gather(root, duplicates="keep").tracks}
    assert group["twin.mid"] == group["metalsong8.mid"] is not None


def test_files_are_read_once_and_again_when_they_change(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = gather(root)
    asked: list[str] = []
    monkeypatch.setattr(scores, "read_midi", lambda path: asked.append(path.name) or read_midi(path))
    gather(root)
    assert asked == []
    write_midi(compose("disco", 1, seconds=12.0), root / "pop" / "drums.mid")
    (root / "pop" / "higher.mid").unlink()
    second = gather(root)
    assert asked == ["drums.mid"]
    assert {t.path.name for t in second.tracks} == {t.path.name for t in first.tracks} - {"higher.mid"} | {"drums.mid"}


def test_a_damaged_store_is_made_again(root: Path) -> None:
    first = gather(root)
    content = np.array(first.items)
    data = first.folder / "notes.bin"
    damaged = bytearray(data.read_bytes())
    damaged[100] ^= 1
    data.write_bytes(damaged)
    second = gather(root)
    row = next(r for r, offset in enumerate(first.offset) if offset == 0)
    at = int(second.offset[row])
    assert np.array_equal(second.items[at : at + first.lengths[row]], content[: first.lengths[row]])


def test_short_pieces_are_left_out(root: Path) -> None:
    most = int(gather(root).lengths.max())
    found = gather(root, min_notes=most)
    assert len(found.tracks) == 1
    assert any(
        problem.reason.startswith("too short:") and problem.reason.endswith(f"notes, but {most} are needed")
        for problem in found.problems
    )
    with pytest.raises(SourceError, match=r"none of 16 tracks can be used.*lower --data\.notes"):
        gather(root, min_notes=10**6, shorter="--data.notes")


def test_synthetic_pieces_are_tunes_of_their_own(tmp_path: Path) -> None:
    source = SyntheticScores(2, 8.0, folder=str(tmp_path / "made"))
    source.prepare()
    found = collect_scores(source, cache_dir=str(tmp_path / "stores"))
    assert len(found.tracks) == 20
    assert {track.group for track in found.tracks} == {None}
    assert not found.problems


def test_scores_and_recordings_are_not_mixed_up(root: Path) -> None:
    with pytest.raises(SourceError, match="has recordings, not scores; use MidiFolder"):
        collect_scores(SyntheticGenres(1, 1.0))
    with pytest.raises(SourceError, match="has scores, not recordings; use NoteWindows"):
        collect(MidiFolder(str(root)), 8000)


def test_real_scores(shared_data: Path, tmp_path: Path) -> None:
    """Titles and notes find the same tunes, no group grows large, and performances without a metronome are named."""
    if not (shared_data / "midi").is_dir():
        pytest.skip("NOT CHECKED ON REAL SCORES: there are none at ../shared/data/midi")
    (tmp_path / "part").mkdir()
    for genre in ("classical", "gospel"):
        (tmp_path / "part" / genre).symlink_to(shared_data / "midi" / genre)
    found = collect_scores(MidiFolder(str(tmp_path / "part")), cache_dir=str(tmp_path / "stores"))
    group = {track.path.name: track.group for track in found.tracks}
    assert group["bolero-Ravel_dw2.mid"] == group["ravels_bolero_gp.mid"] is not None
    assert group["amazing_grace_rp.mid"] == group["amazing_grace_dc.mid"] is not None
    sizes = np.unique([name for name in group.values() if name is not None], return_counts=True)[1]
    assert sizes.max() <= 5
    unusable = {problem.path.name for problem in found.problems}
    assert {"hope_mh.mid", "liebestraume-3_rf.mid"} <= unusable
    assert len(unusable) <= 10
