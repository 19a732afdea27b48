"""Tracks to sides to windows, on collections of numbers."""

import logging
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from musicgen_cls.collection.collection import Collection, join
from musicgen_cls.datamodules import division
from musicgen_cls.datamodules.dataset import Windows
from musicgen_cls.errors import SourceError, SplitError, UsageError
from musicgen_cls.sources.base import Problem, Track

HERE = Path("music")


def numbers(*tracks: tuple[str, int], rate: float = 10.0) -> Collection:
    """A collection of tracks of these genres and lengths; the items of each are its own."""
    parts = [np.arange(length) + 1000 * row for row, (_, length) in enumerate(tracks)]
    listed = [Track(f"{genre}/{row}", Path(f"{row}.wav"), genre) for row, (genre, _) in enumerate(tracks)]
    return join(listed, [], parts, rate)


def windows_of(genre: list[int]) -> Windows:
    count = np.arange(len(genre))
    return Windows(count, np.array(genre, dtype=np.int64), count, 0 * count, count.astype("f4"))


# Windows of a track


@pytest.mark.parametrize(
    ("length", "limit", "crops", "starts", "slack"),
    [
        (10, 3, None, [0, 3, 7], 0),
        (10, 9, None, [0, 3, 7], 0),  # no more than fit
        (10, None, None, [0, 3, 7], 0),
        (10, 2, None, [0, 7], 0),
        (10, 1, None, [3], 0),
        (3, 5, None, [0], 0),
        (2, 5, None, [], 0),
        (10, 3, 2, [0, 0], 7),
        (3, 3, 2, [0, 0], 0),
        (2, 3, 2, [], 0),
    ],
)
def test_starts_of_windows_of_three(length, limit, crops, starts, slack):
    found = division.window_starts(length, 3, limit, crops)
    assert found[0].tolist() == starts
    assert found[0].dtype == np.int64
    assert found[1] == slack


def test_windows_of_tracks():
    collection = numbers(("b", 10), ("a", 2), ("b", 7), ("a", 6))
    every_three = partial(division.window_starts, window=3, limit=None, crops=None)
    windows = division.lay_windows(collection, [0, 1, 3], ["a", "b"], every_three)
    assert windows.track.tolist() == [0, 0, 0, 3, 3]
    assert windows.genre.tolist() == [1, 1, 1, 0, 0]
    assert collection.items[windows.start].tolist() == [0, 3, 7, 3000, 3003]
    np.testing.assert_allclose(windows.start_s, [0, 0.3, 0.7, 0, 0.3], rtol=1e-6)
    assert division.tracks_on({"train": windows, "test": windows[np.array([0])]}, "train", "test").tolist() == [0, 3]
    assert len(division.lay_windows(collection, [1], ["a", "b"], every_three)) == 0


def test_windows_are_divided_within_each_genre():
    windows = windows_of([0] * 20 + [1] * 10)
    sides = division.divide_windows(windows, ["a", "b"], (0.5, 0.2, 0.3), 0, HERE)
    assert {side: np.bincount(own.genre).tolist() for side, own in sides.items()} == {
        "train": [10, 5],
        "validation": [4, 2],
        "test": [6, 3],
    }
    assert sorted(np.concatenate([own.track for own in sides.values()])) == list(range(30))
    other = division.divide_windows(windows, ["a", "b"], (0.5, 0.2, 0.3), 1, HERE)
    assert sides["train"].track.tolist() != other["train"].track.tolist()


def test_a_genre_without_windows_on_a_side():
    with pytest.raises(SplitError, match="music: split 'segment' leaves genre 'b' without validation windows"):
        division.divide_windows(windows_of([0] * 20 + [1]), ["a", "b"], (0.5, 0.2, 0.3), 0, HERE)
    with pytest.raises(SplitError, match="genre 'a' without train windows"):
        division.divide_windows(windows_of([]), ["a", "b"], (0.5, 0.2, 0.3), 0, HERE)


@pytest.mark.parametrize("counts", [(0, None), (-1, None), (1, 0)])
def test_counts(counts):
    with pytest.raises(UsageError, match="_per_track"):
        division.check_counts(*counts)
    division.check_counts(1, None)


# Genres and tracks


def test_genres_are_spelt_as_the_checkpoint_has_them():
    collection = numbers(("Hip-Hop", 3), ("rock", 3))
    assert [t.genre for t in division.match_genres(collection, ["hiphop", "rock"], HERE).tracks] == ["hiphop", "rock"]
    assert division.match_genres(collection, ["Hip-Hop", "rock"], HERE) is collection
    with pytest.raises(SourceError, match=r"music: genre .*rename one of them"):
        division.match_genres(numbers(("hip hop", 3), ("hip-hop", 3)), ["hiphop"], HERE)


def test_tracks_of_known_genres(caplog):
    collection = numbers(("a", 3), ("c", 3), ("b", 3), ("c", 3))
    assert division.known_tracks(collection, ["a", "b", "c"], "track", HERE) == [0, 1, 2, 3]
    with caplog.at_level(logging.WARNING):
        assert division.known_tracks(collection, ["b", "a", "d"], "external", HERE) == [0, 2]
    assert "left out: c (2 tracks)" in caplog.text
    with pytest.raises(SourceError, match=r"music: has the genres a, b, c, but .* has a, b"):
        division.known_tracks(collection, ["a", "b"], "track", HERE)
    with pytest.raises(SourceError, match="but the checkpoint or --data"):
        division.known_tracks(collection, ["d"], "external", HERE)


def test_a_genre_without_a_usable_track():
    collection = numbers(("a", 3), ("b", 3))
    collection.problems.append(Problem(Path("c/1.wav"), "empty file"))
    said = (
        r"'c' has no usable track \(1 files left out in all, the first: c/1.wav: empty file\).*--data.genres \[a, b\]"
    )
    with pytest.raises(SourceError, match=said):
        division.known_tracks(collection, ["a", "b", "c"], "track", HERE)


@pytest.mark.parametrize("split", ["official", "fault_filtered", "segment", "lists/mine.csv"])
def test_folds_of_splits_that_have_none(split):
    with pytest.raises(UsageError, match=rf"--data\.fold '1 of 3': split '{Path(split).name}' has no folds"):
        division.check_fold(split, "1 of 3")
    division.check_fold(split, None)
    division.check_fold("artist", "1 of 3")
