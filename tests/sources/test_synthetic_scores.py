"""The scores of the synthetic music."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from musicgen_cls.errors import RecordError, SourceError, UsageError
from musicgen_cls.notes.composed import compose
from musicgen_cls.notes.midi import read_midi
from musicgen_cls.sources import MidiFolder, SyntheticGenres, SyntheticScores
from musicgen_cls.synth.styles import GENRES


def small(root: Path, **changes: int) -> SyntheticScores:
    return SyntheticScores(**({"pieces_per_genre": 2, "seconds": 6.0, "folder": str(root)} | changes))


def test_the_files_have_the_composed_notes(tmp_path: Path) -> None:
    source = small(tmp_path)
    assert len(source.tracks()) == 20
    source.prepare()
    found = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {track.path for track in source.tracks()} | {tmp_path / "synthetic.json"}
    assert json.loads((tmp_path / "synthetic.json").read_text()) == {"scores": 1, "seed": 0, "seconds": 6.0}
    for genre in GENRES:
        read, made = read_midi(tmp_path / "genres" / genre / f"{genre}.00001.mid"), compose(genre, 1, seconds=6.0)
        made["key"] = read["key"]  # a file has no key: it is found by the profile
        assert np.array_equal(read, made)
    assert [track.genre for track in MidiFolder(str(tmp_path / "genres")).tracks()] == [g for g in GENRES for _ in "12"]


def test_a_larger_set_keeps_the_files_of_a_smaller_one(tmp_path: Path) -> None:
    small(tmp_path, pieces_per_genre=1).prepare()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mid")}
    small(tmp_path).prepare()
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mid")}
    assert before.items() <= after.items()
    assert (len(before), len(after)) == (10, 20)


def test_a_folder_of_other_arguments_or_of_tracks_is_refused(tmp_path: Path) -> None:
    small(tmp_path, pieces_per_genre=1).prepare()
    with pytest.raises(SourceError, match=r"'seed': 0.*'seed': 7.*change --data\.source\.folder"):
        small(tmp_path, seed=7).prepare()
    with pytest.raises(RecordError, match=r"synthetic\.json"):
        SyntheticGenres(1, 0.1, sample_rate=4000, folder=str(tmp_path)).prepare()


def test_place_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSICGEN_CLS_CACHE", str(tmp_path))
    assert SyntheticScores(seed=3).location == tmp_path / "synthetic-scores-v1-s3-60s"


@pytest.mark.parametrize("argument", ["pieces_per_genre", "seconds", "seed"])
def test_arguments_out_of_range(argument: str) -> None:
    with pytest.raises(UsageError, match=argument):
        SyntheticScores(**{argument: -1})  # type: ignore[arg-type]
