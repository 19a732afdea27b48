"""Division of tracks into training, validation and test; the cutting into windows comes afterwards."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Sequence
from numbers import Real
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from musicgen_cls.errors import SplitError, UsageError, given, nearest
from musicgen_cls.sources.base import SIDES, Side, Source, Track, column, numbered
from musicgen_cls.sources.lists import is_list
from musicgen_cls.sources.names import composed, folded
from musicgen_cls.sources.strata import TrackKeys, divide

SplitName = Literal["track", "artist", "official", "fault_filtered", "fault_filtered_dev", "segment", "external"]

NAMES: tuple[SplitName, ...] = get_args(SplitName)

PUBLISHED: tuple[SplitName, ...] = ("official", "fault_filtered")
"""The splits that a source can have a list of."""

_FOLDS = 1000
"""The most parts of a cross-validation."""

LEAKY: frozenset[str] = frozenset({"segment"})
LEAK_WARNING = (
    "split 'segment' puts windows of one track on both sides: its figures leak; use them only to reproduce papers "
    "that split in this way, not to judge a model"
)


def check_name(split: str) -> None:
    """Raise `UsageError`, with the nearest name, unless `split` is the name of a split or of a list."""
    if not isinstance(split, str) or (split not in NAMES and not is_list(split)):  # a config can have null
        raise UsageError(
            f"--data.split {given(split)}: not one of {', '.join(NAMES)}, and not a list of your own, a file that ends "
            f"in .csv; use one of these{nearest(str(split), NAMES)}"
        )


def assign(
    source: Source | None,
    tracks: Sequence[Track],
    split: str,
    fractions: Sequence[float],
    fold: str | None,
    seed: int,
    genres: Container[str] | None = None,
) -> list[Side | None]:
    """Side of every track; None for a track that the split leaves out.

    `track` and `artist` are stratified by genre. Both keep tracks with the same `group` (the same recording) on one
    side. `artist` also keeps the tracks of one artist on one side, and leaves out tracks of unknown artists.
    `official` (FMA) and `fault_filtered` (GTZAN) are published lists. `fault_filtered_dev` does not use the test list
    of `fault_filtered`: the published validation list is the test set, and the published training list is divided into
    training and validation. `external` makes every track a test track.

    Args:
        source: the source of the tracks, for its published splits; None if unknown.
        tracks: usable tracks.
        split: name of the split, except `segment`, which divides windows, not tracks.
        fractions: shares of training, validation and test.
        fold: "i of n", i from 1: part i of n equal parts is the test set, the next part validates, the others train.
        seed: random seed of the shuffle.
        genres: genres that must have tracks on every side; all genres if None.

    Raises:
        SplitError: the split does not exist for these tracks, or leaves a genre without tracks on a side.
        UsageError: `fractions` or `fold` are invalid.
    """
    if split == "external":
        return ["test"] * len(tracks)
    if split in PUBLISHED:
        sides, _ = published(source, tracks, split, fractions, seed)
    elif split == "fault_filtered_dev":
        sides = _development(source, tracks, fractions, seed)
    else:
        sides = _divided(TrackKeys.of(tracks), split == "artist", fractions, fold, seed)
    no_validation = split in ("track", "artist") and fold is None and not shares(fractions)[1]
    needed = [side for side in SIDES if not (no_validation and side == "validation")]
    keys = TrackKeys.of(tracks)
    _check_genres(keys, sides, split, needed, genres)
    _check_apart(tracks, keys, sides, split)
    return sides


def _divided(
    keys: TrackKeys, by_artist: bool, fractions: Sequence[float], fold: str | None, seed: int
) -> list[Side | None]:
    """Sides of tracks, or of artists, by fractions or as a fold; None for a track without the artist that it needs."""
    known = keys.numbers["artist"] >= 0
    if by_artist and not known.any():
        raise SplitError(
            f"split 'artist': no artist is known for any of {len(known)} tracks; name them in artists.csv or the "
            "files' tags, or use split 'track'"
        )
    rows = np.flatnonzero(known) if by_artist else np.arange(len(known))
    order: tuple[Side, ...] = SIDES
    parts_of = shares(fractions) if fold is None else []
    if fold is not None:
        i, n = parse_fold(fold)
        order = tuple("test" if p == i else "validation" if p == (i + 1) % n else "train" for p in range(n))
        parts_of = [1 / n] * n
    sides: list[Side | None] = [None] * len(known)
    for row, part in zip(rows.tolist(), divide(keys[rows], by_artist, parts_of, seed), strict=True):
        sides[row] = order[part]
    return sides


def shares(fractions: Sequence[float]) -> list[float]:
    """The shares of training, validation (which may be 0) and test, checked: they must add up to 1."""
    numbers = [share for share in fractions if isinstance(share, Real)] if isinstance(fractions, Iterable) else []
    sound = len(numbers) == 3 and min(numbers) >= 0 and numbers[0] * numbers[2] > 0
    if not sound or len(numbers) != len(fractions) or not abs(sum(numbers) - 1) < 1e-6:
        raise UsageError(
            f"--data.fractions {given(fractions)}: give three positive numbers that add up to 1, as [0.8, 0.1, 0.1]"
        )
    return list(fractions)


def parse_fold(fold: str) -> tuple[int, int]:
    """'2 of 5' to (1, 5): the part, counted from 0, and the number of parts, from 3 to 1,000."""
    match = re.fullmatch(r"\s*(\d+)\s*(?:of|/)\s*(\d+)\s*", fold)
    i, n = map(int, match.groups()) if match else (0, 0)
    if not 1 <= i <= n or not 3 <= n <= _FOLDS:
        raise UsageError(f"--data.fold '{fold}': write it like '1 of 5', counted from 1, with 3 to {_FOLDS:,} folds")
    return i - 1, n


def segment_sides(genre: npt.NDArray[np.int64], fractions: Sequence[float], seed: int) -> list[Side]:
    """Side of every window, divided at random within each genre without regard to tracks, to reproduce papers."""
    rng = np.random.default_rng(seed)
    bounds = np.cumsum(shares(fractions))[:-1]
    part = np.empty(len(genre), dtype=np.int64)
    for label in np.unique(genre):
        rows = rng.permutation(np.flatnonzero(genre == label))
        part[rows] = np.searchsorted(bounds, (np.arange(len(rows)) + 0.5) / len(rows))
    return [SIDES[p] for p in part]


def published(
    source: Source | None, tracks: Sequence[Track], split: str, fractions: Sequence[float], seed: int
) -> tuple[list[Side | None], str | None]:
    """The sides of a published split, and a sentence if it has no validation tracks.

    A share of its training tracks then validates, with recordings and known artists on one side.
    """
    sides = _published(source, tracks, split)
    training = [row for row, side in enumerate(sides) if side == "train"]
    if "validation" in sides or not training:
        return sides, None
    train, validation, _ = shares(fractions)
    share = validation / (train + validation)
    if not share:
        return sides, None
    for row, part in zip(training, divide(TrackKeys.of(tracks)[training], True, [1 - share, share], seed), strict=True):
        sides[row] = SIDES[part]
    return sides, f"split '{split}' has no validation tracks; {100 * share:.0f} % of its training tracks are taken"


def _published(source: Source | None, tracks: Sequence[Track], split: str) -> list[Side | None]:
    listed = source.official_split(split) if source is not None else None
    if listed is None:
        name = source.name if source is not None else "this collection"
        raise SplitError(f"split '{split}': {name} has no published lists of that name; use split 'track'")
    return [listed.get(id) for id in column(tracks, "id")]


def _development(
    source: Source | None, tracks: Sequence[Track], fractions: Sequence[float], seed: int
) -> list[Side | None]:
    """The published validation list is the test set; `fractions` divide the training list into two."""
    listed = _published(source, tracks, "fault_filtered")
    training = [row for row, side in enumerate(listed) if side == "train"]
    train, validation, _ = shares(fractions)
    share = validation / (train + validation)
    parts = divide(TrackKeys.of(tracks)[training], False, [train / (train + validation), share], seed)
    sides: list[Side | None] = ["test" if side == "validation" else None for side in listed]
    for row, part in zip(training, parts, strict=True):
        sides[row] = SIDES[part]
    return sides


def spellings(tracks: Sequence[Track]) -> str | None:
    """A sentence on artists whose names have several spellings; None if there are none."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for artist in dict.fromkeys(column(tracks, "artist")):
        if artist is not None:
            found[folded(artist)][composed(artist)] = None
    several = [list(names) for names in found.values() if len(names) > 1]
    if not several:
        return None
    first, second, *_ = several[0]
    return f"artists with several spellings, treated as one artist each: {len(several)}, as '{first}' and '{second}'"


def _check_genres(
    keys: TrackKeys, sides: Sequence[Side | None], split: str, needed: Sequence[Side], genres: Container[str] | None
) -> None:
    """Check that each of `genres` is on every needed side."""
    found = Counter(zip(keys.numbers["genre"].tolist(), sides, strict=True))
    for genre in sorted(keys.names["genre"]):
        number = keys.names["genre"].index(genre)
        for side in needed if genres is None or genre in genres else ():
            if not found[number, side]:
                total = int((keys.numbers["genre"] == number).sum())
                raise SplitError(
                    f"split '{split}' leaves genre '{genre}' without {side} tracks (it has {total} in all); "
                    "add tracks, leave the genre out, or choose another split, --data.fractions or --data.split_seed"
                )


def _check_apart(tracks: Sequence[Track], keys: TrackKeys, sides: Sequence[Side | None], split: str) -> None:
    """Check that no track, group or artist is on two sides."""
    side = numbered(sides)[0]
    for kind in ("track", "group", *(["artist"] if split in ("artist", "official") else [])):
        number, names = numbered(column(tracks, "id")) if kind == "track" else (keys.numbers[kind], keys.names[kind])
        placed = np.flatnonzero((number >= 0) & (side >= 0))
        last = np.empty(len(names), dtype=np.int32)
        last[number[placed]] = side[placed]
        moved = placed[last[number[placed]] != side[placed]]
        if len(moved):
            name = names[number[moved[0]]]
            where = np.unique(side[placed][number[placed] == number[moved[0]]])
            raise SplitError(
                f"split '{split}' puts {kind} '{name}' on {len(where)} sides; choose another split, such as "
                "--data.split artist"
            )
