import unicodedata
from collections import Counter, defaultdict
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from musicgen_cls.errors import SplitError, UsageError
from musicgen_cls.sources.base import SIDES, Side, Source, Track
from musicgen_cls.sources.names import folded
from musicgen_cls.sources.splits import LEAKY, assign, parse_fold, segment_sides, shares, spellings

USUAL = (0.7, 0.15, 0.15)
NAN = float("nan")


class Listed(Source):
    """A source with nothing but a published list."""

    def __init__(self, sides: dict[str, Side] | None = None) -> None:
        self.sides = sides

    @property
    def location(self) -> Path:
        return Path("nowhere")

    @property
    def genres(self) -> tuple[str, ...]:
        return ("a", "b")

    def tracks(self) -> list[Track]:
        return []

    def official_split(self, name: str) -> dict[str, Side] | None:
        return self.sides if name == "fault_filtered" else None


def make(counts: dict[str, int], per_artist: int = 1, **fields) -> list[Track]:
    """Tracks of some genres, `per_artist` in a row by one artist."""
    return [
        Track(f"{genre}/{n}", Path(f"{genre}/{n}.wav"), genre, artist=f"{genre} {n // per_artist}", **fields)
        for genre, count in counts.items()
        for n in range(count)
    ]


def split(tracks, name="track", fractions=USUAL, fold=None, seed=0):
    return assign(Listed(), tracks, name, fractions, fold, seed)


def sides_of(tracks, sides, field: str) -> dict[str, set]:
    found = defaultdict(set)
    for track, side in zip(tracks, sides, strict=True):
        found[getattr(track, field)].add(side)
    return found


# By tracks


@pytest.mark.parametrize("fractions", [USUAL, (0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.34, 0.33, 0.33)])
def test_every_genre_comes_within_a_track_of_its_quota(fractions):
    rng = np.random.default_rng(0)
    for seed in range(30):
        counts = {genre: int(rng.integers(12, 120)) for genre in "abcde"}
        tracks = make(counts)
        found = Counter(zip((t.genre for t in tracks), split(tracks, fractions=fractions, seed=seed), strict=True))
        for genre, count in counts.items():
            for side, fraction in zip(SIDES, fractions, strict=True):
                assert abs(found[genre, side] - fraction * count) <= 1, (seed, genre, side)


def test_same_seed_same_division_other_seed_another():
    tracks = make({"a": 40, "b": 40})
    assert split(tracks, seed=3) == split(tracks, seed=3)
    assert len({tuple(split(tracks, seed=seed)) for seed in range(10)}) == 10


def test_every_track_has_a_side():
    assert set(split(make({"a": 9, "b": 7}))) == set(SIDES)


def test_three_tracks_a_genre_are_enough():
    assert all(Counter(split(make({"a": 3})))[side] == 1 for side in SIDES)


@pytest.mark.parametrize("name", ["track", "artist"])
def test_groups_never_straddle(name):
    rng = np.random.default_rng(0)
    for seed in range(20):
        tracks = [
            Track(t.id, t.path, t.genre, t.artist, group=f"g{rng.integers(25)}" if rng.random() < 0.5 else None)
            for t in make({"a": 60, "b": 60})
        ]
        sides = split(tracks, name, seed=seed)
        tied = sides_of(tracks, sides, "group")
        assert all(len(where) == 1 for group, where in tied.items() if group is not None)
        assert len(tied[None]) == 3


def test_artists_never_straddle_and_quotas_hold_about():
    for seed in range(20):
        tracks = make({"a": 100, "b": 80, "c": 60}, per_artist=4)
        sides = split(tracks, "artist", seed=seed)
        assert all(len(where) == 1 for where in sides_of(tracks, sides, "artist").values())
        found = Counter(zip((t.genre for t in tracks), sides, strict=True))
        for genre, count in {"a": 100, "b": 80, "c": 60}.items():
            for side, fraction in zip(SIDES, USUAL, strict=True):
                assert abs(found[genre, side] - fraction * count) <= 4, (seed, genre, side)


def test_artists_straddle_where_tracks_are_divided():
    tracks = make({"a": 100, "b": 100}, per_artist=4)
    assert any(len(where) > 1 for where in sides_of(tracks, split(tracks, "track"), "artist").values())


def test_ties_of_group_and_artist_add_up():
    """A is tied to B by artist, B to C by group: all three go together, over genres too."""
    chain = [
        Track("1", Path("1"), "a", "A"),
        Track("2", Path("2"), "a", "A", group="g"),
        Track("3", Path("3"), "b", "B", group="g"),
        Track("4", Path("4"), "b", "B"),
    ]
    for seed in range(20):
        assert len(set(split(chain + make({"a": 20, "b": 20}), "artist", seed=seed)[:4])) == 1


# Folds


@pytest.mark.parametrize("name", ["track", "artist"])
@pytest.mark.parametrize("n", [3, 5, 10])
def test_over_all_folds_every_track_tests_once_and_validates_once(name, n):
    tracks = make({"a": 41, "b": 30}, per_artist=2)
    folds = [split(tracks, name, fold=f"{i + 1} of {n}") for i in range(n)]
    for sides in zip(*folds, strict=True):
        assert Counter(sides) == {"test": 1, "validation": 1, "train": n - 2}
    for i in range(n):
        tested = [side == "test" for side in folds[i]]
        assert [side == "validation" for side in folds[i - 1]] == tested  # what tests next validates now
        assert sum(tested) == pytest.approx(len(tracks) / n, abs=4 if name == "artist" else 2)


def test_folds_take_no_notice_of_fractions():
    tracks = make({"a": 12, "b": 12})
    assert split(tracks, fold="1 of 3") == split(tracks, fold="1 of 3", fractions=(0.1, 0.1, 0.8))


@pytest.mark.parametrize(
    ("text", "value"),
    [("1 of 5", (0, 5)), ("5 of 5", (4, 5)), (" 2of3 ", (1, 3)), ("3/10", (2, 10)), ("3 / 3", (2, 3))],
)
def test_parse_fold(text, value):
    assert parse_fold(text) == value


@pytest.mark.parametrize("text", ["", "1", "of", "0 of 5", "6 of 5", "1 of 2", "-1 of 5", "1.5 of 5", "a of b", "1 of"])
def test_parse_fold_refuses(text):
    with pytest.raises(UsageError, match="write it like '1 of 5'") as caught:
        parse_fold(text)
    assert f"'{text}'" in str(caught.value)


# Shares


def test_shares():
    assert shares([0.7, 0.15, 0.15]) == [0.7, 0.15, 0.15]
    assert shares((1 / 3, 1 / 3, 1 / 3)) == [1 / 3] * 3


@pytest.mark.parametrize(
    "fractions",
    [[], [1.0], [0.8, 0.2], [0.8, 0.1, 0.2], [0.9, 0.1, 0.0], [1.2, -0.1, -0.1], [0.25] * 4, [80, 10, 10], [NAN] * 3],
)
def test_shares_refuses(fractions):
    with pytest.raises(UsageError, match="three positive numbers that add up to 1"):
        shares(fractions)
    with pytest.raises(UsageError):
        split(make({"a": 9}), fractions=fractions)


# Windows, published lists, foreign collections


def test_segment_sides_keep_the_shares_of_each_genre():
    genre = np.repeat([0, 1, 2], [1000, 400, 33])
    sides = segment_sides(genre, USUAL, seed=1)
    found = Counter(zip(genre.tolist(), sides, strict=True))
    for label, count in enumerate([1000, 400, 33]):
        for side, fraction in zip(SIDES, USUAL, strict=True):
            assert abs(found[label, side] - fraction * count) <= 1
    assert sides == segment_sides(genre, USUAL, seed=1)
    assert sides != segment_sides(genre, USUAL, seed=2)
    assert "segment" in LEAKY


def test_segment_sides_put_windows_of_a_track_on_several_sides():
    sides = np.array(segment_sides(np.zeros(1400, int), USUAL, seed=0)).reshape(100, 14)
    assert sum(len(set(track)) > 1 for track in sides) > 90


def test_external_tests_on_everything():
    assert split(make({"a": 1, "b": 2}), "external") == ["test"] * 3


def test_a_published_list():
    tracks = make({"a": 4, "b": 3})
    listed = {"a/0": "train", "a/1": "validation", "a/2": "test", "b/0": "train", "b/1": "validation", "b/2": "test"}
    sides = assign(Listed(listed), tracks, "fault_filtered", USUAL, None, 0)  # type: ignore[arg-type]
    assert sides == ["train", "validation", "test", None, "train", "validation", "test"]


def test_a_published_list_that_separates_duplicates():
    tracks = make({"a": 3}, group="same")
    listed = {"a/0": "train", "a/1": "validation", "a/2": "test"}
    with pytest.raises(SplitError, match="puts group 'same' on 3 sides"):
        assign(Listed(listed), tracks, "fault_filtered", USUAL, None, 0)  # type: ignore[arg-type]


def test_no_published_list():
    with pytest.raises(SplitError, match="listed has no published lists of that name; use split 'track'"):
        split(make({"a": 9}), "fault_filtered")


@pytest.mark.parametrize(("count", "side"), [(1, "validation"), (2, "test")])
def test_a_genre_too_small_for_three_sides(count, side):
    with pytest.raises(SplitError, match=rf"genre 'b' without {side} tracks \(it has {count} in all\)"):
        split(make({"a": 20, "b": count}))


def test_more_folds_than_tracks():
    with pytest.raises(SplitError, match="without"):
        split(make({"a": 4}), fold="5 of 5")


def test_a_genre_by_one_artist():
    with pytest.raises(SplitError, match="split 'artist' leaves genre 'b' without"):
        split(make({"a": 20}) + make({"b": 20}, per_artist=20), "artist")


def test_unknown_artists():
    unknown = [Track("a/77", Path("a"), "a"), Track("b/88", Path("b"), "b")]
    known = make({"a": 10, "b": 10})
    sides = split(unknown[:1] + known + unknown[1:], "artist")
    assert sides[0] is None
    assert sides[-1] is None
    assert sides[1:-1] == split(known, "artist")
    with pytest.raises(SplitError, match=r"no artist is known for any of 2 tracks"):
        split(unknown, "artist")


# Artists by their names


def test_one_artist_in_several_spellings_is_on_one_side():
    names = ["Björk", unicodedata.normalize("NFD", "Björk"), "BJÖRK", "Bj\u00f6rk ", "A-ha", "a ha", "P!nk", "Pnk"]
    tracks = [Track(f"{genre}/{n}", Path(str(n)), genre, name) for genre in "ab" for n, name in enumerate(names * 2)]
    sides = assign(None, tracks, "artist", [0.5, 0.25, 0.25], None, 0)
    found = {}
    for track, side in zip(tracks, sides, strict=True):
        found.setdefault(folded(track.artist), set()).add(side)
    assert {name: len(own) for name, own in found.items()} == {"björk": 1, "aha": 1, "p!nk": 1, "pnk": 1}
    said = "artists with several spellings, treated as one artist each: 2, as 'Björk' and 'BJÖRK'"
    assert spellings(tracks) == said
    assert spellings(tracks[:2]) is None  # composed and decomposed are one spelling


def test_divisions_stay_the_same_in_later_versions():
    """Checkpoints know the tracks that they were trained on; groups of several genres are the hardest."""
    rng = np.random.default_rng(1)
    tracks = [
        Track(f"{n}", Path(f"{n}"), f"g{rng.integers(7)}", f"a{rng.integers(400)}", group=f"r{rng.integers(900)}")
        for n in range(600)
    ]
    found = [split(tracks, name, fold=fold) for name in ("track", "artist") for fold in (None, "2 of 5")]
    assert sha256(repr(found).encode()).hexdigest()[:16] == "c28345b5fb3cab12"
