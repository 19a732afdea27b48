"""Which tracks are, or hold, the same recording, so that they stay on one side of a split; and why, for the report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from musicgen_cls.sources.base import Track, connected
from musicgen_cls.sources.parts import Item, Part, parts_of_tracks

_SENTENCES: dict[str, Callable[[int, int, str], str]] = {
    "part": lambda n, m, names: f"{n} clips are parts of {_count(m, 'track')} by their names, as {names}",
    "known": lambda n, m, names: f"{n} tracks are {_count(m, 'recording')} by the source's own list, as {names}",
    "copy": lambda n, m, names: f"{n} files are copies, bit for bit, of {_count(m, 'recording')}, as {names}",
    "near": lambda n, m, names: f"{n} tracks are {_count(m, 'recording')} by their acoustic fingerprints, as {names}",
}
"""What is said of each reason: number of tracks, of what they are of, and an example."""


@dataclass(frozen=True)
class Ties:
    """What ties tracks together: for each reason and each track a key that they share, or None.

    `parts` says which part of which track each file is.
    """

    parts: list[Part | None]
    keys: dict[str, list[str | None]] = field(default_factory=dict)

    def __getitem__(self, rows: Sequence[int]) -> Ties:
        return Ties(
            [self.parts[row] for row in rows], {why: [own[row] for row in rows] for why, own in self.keys.items()}
        )


def ties_between(
    tracks: Sequence[Track],
    digests: Sequence[str | None],
    seconds: Sequence[float | None],
    by_name: bool,
    near: Sequence[str | None] | None = None,
) -> Ties:
    """What ties tracks together.

    Args:
        tracks: the tracks; their own groups count.
        digests: a hash of what is in each; None for one that cannot be read.
        seconds: lengths; None likewise.
        by_name: whether tracks may be parts of others by their names.
        near: a key that tracks of the same sound share, None for the others.
    """
    items = [Item(track.id, track.genre, length) for track, length in zip(tracks, seconds, strict=True)]
    parts: list[Part | None] = parts_of_tracks(items) if by_name else [None] * len(tracks)
    keys: dict[str, list[str | None]] = {"part": [part.whole if part else None for part in parts]}
    wholes = set(keys["part"])
    for row, track in enumerate(tracks):  # the whole, beside its parts
        if track.id.removesuffix(track.path.suffix) in wholes:
            keys["part"][row] = track.id.removesuffix(track.path.suffix)
    keys["known"] = [track.group for track in tracks]
    keys["copy"] = list(digests)
    keys["near"] = list(near) if near is not None else [None] * len(tracks)
    return Ties(parts, keys)


def groups_of(ties: Ties) -> list[str | None]:
    """A name for every set of tracks that are tied together; None for a track that is tied to none."""
    own = [[(why, key) for why, keys in ties.keys.items() if (key := keys[row]) is not None] for row in _rows(ties)]
    labels = connected(own)
    sizes = np.bincount(labels) if len(labels) else labels
    names: dict[int, str] = {}
    for why in ("known", "part"):
        for label, key in zip(labels, ties.keys[why], strict=True):
            if key is not None:
                names.setdefault(label, key)
    return [names.get(label, f"copies {label}") if sizes[label] > 1 else None for label in labels]


def reasons(ties: Ties, tracks: Sequence[Track]) -> list[str]:
    """What was tied together and why, a line a reason."""
    lines = []
    for why, keys in ties.keys.items():
        if shared := sharing(keys, tracks):
            first, second, *_ = shared[0]
            example = first.rpartition("/")[2] if why == "part" else f"{first} and {second}"
            lines.append(_SENTENCES[why](sum(map(len, shared)), len(shared), example))
    return lines


def sharing(keys: Sequence[str | None], tracks: Sequence[Track]) -> list[list[str]]:
    """The ids of the tracks that share each key, where there are two or more."""
    members: dict[str, list[str]] = defaultdict(list)
    for track, key in zip(tracks, keys, strict=True):
        if key is not None:
            members[key].append(track.id)
    return [own for own in members.values() if len(own) > 1]


def wholes(ties: Ties, lengths: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For every file the row of the first part of its track, its own if it is no part; and the items before it there.

    Args:
        ties: with the parts.
        lengths: items of each file, `[files]`.
    """
    whole, before = np.arange(len(lengths)), np.zeros(len(lengths), dtype=np.int64)
    rows_of: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row, part in enumerate(ties.parts):
        if part is not None:
            rows_of[part.whole].append((part.number, row))
    for numbered in rows_of.values():
        rows = [row for _, row in sorted(numbered)]
        whole[rows] = rows[0]
        before[rows] = np.cumsum(lengths[rows]) - lengths[rows]
    return whole, before


def _rows(ties: Ties) -> range:
    return range(len(ties.parts))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
