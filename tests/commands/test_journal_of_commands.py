"""The journal of `embed` and `features`: which tracks a resumed run takes over."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec import Struct

from musicgen_cls.commands.journal import Journal, TrackLine, versions_of
from musicgen_cls.files import alone
from musicgen_cls.sources.base import Track


class Header(Struct, frozen=True):
    """The arguments of the run."""

    name: str = "x"


class Line(TrackLine, frozen=True):
    """The rows of a track, or the reason why there are none."""

    found: list[int] | str


def tracks_in(folder: Path, ids: Sequence[str] = ("a", "b", "c")) -> list[Track]:
    folder.mkdir(exist_ok=True)
    for name in ids:
        (folder / name).touch()
        os.utime(folder / name, (1, 1))  # as after unpacking an archive
    return [Track(name, folder / name, "jazz") for name in ids]


def opened(result: Path, tracks: Sequence[Track]) -> Journal:
    return Journal(result, Header(), Line, versions_of(tracks))


def test_finished_tracks_are_taken_over(tmp_path: Path) -> None:
    tracks = tracks_in(tmp_path / "music")
    opened(tmp_path / "x.csv", tracks).record((pair for pair in [("a", [1, 2]), ("b", [3])]), "Test")
    journal = opened(tmp_path / "x.csv", tracks)
    assert [track.id for track in tracks if track.id in journal] == ["a", "b"]
    assert list(journal.found(["b", "a"])) == [[3], [1, 2]]


def test_a_file_that_could_not_be_used_is_tried_again(tmp_path: Path) -> None:
    """It may have been on a disk that did not answer, or not readable."""
    tracks = tracks_in(tmp_path / "music")
    first = opened(tmp_path / "x.csv", tracks)
    first.record((pair for pair in [("a", "cannot be read (Permission denied)"), ("b", [3])]), "Test")
    assert first.refused == {"a": "cannot be read (Permission denied)"}
    journal = opened(tmp_path / "x.csv", tracks)
    assert "a" not in journal
    assert "b" in journal
    assert not journal.refused


def test_another_file_with_the_same_id_size_and_time_is_read(tmp_path: Path) -> None:
    tracks = tracks_in(tmp_path / "music")
    opened(tmp_path / "x.csv", tracks).record((pair for pair in [("a", [1])]), "Test")
    moved = tracks_in(tmp_path / "other")
    assert "a" in opened(tmp_path / "x.csv", tracks)
    assert "a" not in opened(tmp_path / "x.csv", moved)


def test_names_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    result, tracks = tmp_path / ("x" * 251 + ".csv"), tracks_in(tmp_path / "music")
    with alone(result):
        opened(result, tracks).record((pair for pair in [("a", [1])]), "Test")
    assert "a" in opened(result, tracks)
    opened(result, tracks).remove()
    shutil.rmtree(tmp_path / "music")
    assert not list(tmp_path.iterdir())


def test_two_long_names_have_two_journals(tmp_path: Path) -> None:
    paths = {opened(tmp_path / ("x" * 250 + end + ".csv"), []).path for end in "ab"}
    assert len(paths) == 2


@pytest.mark.parametrize("name", ["café", "caf\udce9", "a|b", "-1"])
def test_odd_names(name: str, tmp_path: Path) -> None:
    tracks = tracks_in(tmp_path / "music", [name])
    opened(tmp_path / "x.csv", tracks).record((pair for pair in [(name, [1])]), "Test")
    assert name in opened(tmp_path / "x.csv", tracks)
