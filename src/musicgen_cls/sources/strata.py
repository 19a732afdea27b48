"""Division of groups of tracks into parts, with the same shares of each genre; for up to millions of tracks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_cls.sources.base import Track, column, connected, numbered
from musicgen_cls.sources.names import folded


@dataclass(frozen=True)
class TrackKeys:
    """The keys of tracks as numbers `[tracks]`, -1 for unknown ones, and the names of the keys."""

    numbers: dict[str, npt.NDArray[np.int32]]
    names: dict[str, list[Any]]

    @classmethod
    def of(cls, tracks: Sequence[Track]) -> TrackKeys:
        """Genre, in alphabetical order, group and artist.

        Artists are in their loosest form: to keep too many tracks together leaks nothing.
        """
        found = {name: numbered(column(tracks, name)) for name in ("genre", "group", "artist")}
        genres, names = found["genre"]
        place = {name: number for number, name in enumerate(sorted(names))}
        found["genre"] = np.array([place[name] for name in names], dtype=np.int32)[genres], list(place)
        artists, names = found["artist"]
        loose, folded_names = numbered([folded(artist) for artist in names])
        found["artist"] = np.append(loose, np.int32(-1))[artists], folded_names
        return cls({name: own for name, (own, _) in found.items()}, {name: own for name, (_, own) in found.items()})

    def __getitem__(self, rows: Any) -> TrackKeys:
        return TrackKeys({name: own[rows] for name, own in self.numbers.items()}, self.names)

    def groups(self, by_artist: bool) -> npt.NDArray[np.int64]:
        """Number of the group of each track `[tracks]`: tied by a shared `group`, or a shared artist."""
        reasons = ("group", "artist") if by_artist else ("group",)
        return connected(*(self.numbers[name] for name in reasons))


def divide(keys: TrackKeys, by_artist: bool, fractions: Sequence[float], seed: int) -> list[int]:
    """Part of every track. Groups stay whole, and the shares of each genre are close to `fractions`.

    Groups come in random order, large ones first. Each goes to the part that would be the least filled, relative to its
    share, with half of the group in it (Webster's rule). Empty parts come first, the largest of them before the others.
    """
    groups, genres = keys.groups(by_artist), len(keys.names["genre"])
    of_genre = np.bincount(keys.numbers["genre"], minlength=genres)
    wanted = np.outer(fractions, of_genre)  # [parts, genres]
    of_parts = wanted.T.tolist()
    dealt = [[0.0] * len(fractions) for _ in range(genres)]
    count = int(groups.max()) + 1
    pairs, tracks = np.unique(groups * genres + keys.numbers["genre"], return_counts=True)  # each group's genres
    first = np.searchsorted(pairs, np.arange(count + 1) * genres).tolist()
    order = np.random.default_rng(seed).permutation(count)
    part_of = np.empty(count, dtype=np.int64)
    for group in order[np.argsort(-np.bincount(groups)[order], kind="stable")].tolist():
        own = range(first[group], first[group + 1])
        sizes = [(int(pairs[row]) % genres, int(tracks[row])) for row in own]
        if len(own) == 1:  # most groups; without numpy, since there can be a million of them
            ((genre, size),) = sizes
            share, full, square = [w * size for w in of_parts[genre]], [d * size for d in dealt[genre]], size * size
        else:
            vector = np.zeros(genres)
            vector[[genre for genre, _ in sizes]] = [size for _, size in sizes]
            share, full = (wanted @ vector).tolist(), (vector @ np.array(dealt)).tolist()
            square = sum(size * size for _, size in sizes)
        part_of[group] = part = _least_filled(share, full, square)
        for genre, size in sizes:
            dealt[genre][part] += size
    parts: list[int] = part_of[groups].tolist()
    return parts


def _least_filled(share: Sequence[float], full: Sequence[float], square: float) -> int:
    """The part that a group goes to.

    Args:
        share: product of the group's genres with the share of each part.
        full: product of the group's genres with what each part has.
        square: product of the group's genres with themselves.
    """
    filled = [
        math.inf if not own > 0 else (has + square / 2) / own if has > 0 else -own
        for own, has in zip(share, full, strict=True)
    ]
    return filled.index(min(filled))
