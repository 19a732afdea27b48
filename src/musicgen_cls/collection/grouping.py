"""Which tracks are, or contain, the same recording, with the reasons. Such tracks stay on one side of a split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from musicgen_cls.sources.base import Track, connected, numbered
from musicgen_cls.sources.parts import Item, Part, parts_of_tracks

_SENTENCES: dict[str, Callable[[int, int, str], str]] = {
    "part": lambda n, m, names: f"{n} clips are parts of {_count(m, 'track')} by their names, as {names}",
    "known": lambda n, m, names: f"{n} tracks are {_count(m, 'recording')} by the source's own list, as {names}",
    "copy": lambda n, m, names: f"{n} files are exact copies of {_count(m, 'recording')}, as {names}",
    "near": lambda n, m, names: f"{n} tracks are {_count(m, 'recording')} by their acoustic fingerprints, as {names}",
    "title": lambda n, m, names: f"{n} pieces are versions of {_count(m, 'tune')} by their titles, as {names}",
    "tune": lambda n, m, names: f"{n} pieces are versions of {_count(m, 'tune')} by their notes, as {names}",
}
"""The sentence of each reason, from the number of files, the number of recordings, and an example."""


@dataclass(frozen=True)
class Ties:
    """Why tracks belong together: a key for each reason and track; tracks with an equal key belong together.

    A key is None if the reason does not apply. `parts` are the parts that the files are.
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
    """The keys of all tracks.

    Args:
        tracks: the tracks; their `group` is one of the keys.
        digests: a hash of the content of each; None if it cannot be read.
        seconds: lengths; None if it cannot be read.
        by_name: whether the names of tracks tell which are parts of one track.
        near: a key that tracks share if they sound the same; None for the others.
    """
    items = [Item(track.id, track.genre, length) for track, length in zip(tracks, seconds, strict=True)]
    parts: list[Part | None] = parts_of_tracks(items) if by_name else [None] * len(tracks)
    keys: dict[str, list[str | None]] = {"part": [part.whole if part else None for part in parts]}
    wholes = set(keys["part"])
    for row, track in enumerate(tracks):  # the whole track beside its parts
        if track.id.removesuffix(track.path.suffix) in wholes:
            keys["part"][row] = track.id.removesuffix(track.path.suffix)
    keys["known"] = [track.group for track in tracks]
    keys["copy"] = list(digests)
    keys["near"] = list(near) if near is not None else [None] * len(tracks)
    return Ties(parts, keys)


def groups_of(ties: Ties) -> list[str | None]:
    """The name of the group of each track; None for a track without others."""
    labels = connected(*(numbered(keys)[0] for keys in ties.keys.values()))
    sizes = np.bincount(labels) if len(labels) else labels
    names: dict[int, str] = {}
    for why in ("known", "part", "title", "tune"):
        for label, key in zip(labels, ties.keys.get(why, [None] * len(labels)), strict=True):
            if key is not None:
                names.setdefault(label, key)
    return [names.get(label, f"copies {label}") if sizes[label] > 1 else None for label in labels]


def reasons(ties: Ties, tracks: Sequence[Track]) -> list[str]:
    """A sentence for each reason by which tracks belong together."""
    lines = []
    for why, keys in ties.keys.items():
        if shared := sharing(keys, tracks):
            first, second, *_ = shared[0]
            example = first.rpartition("/")[2] if why == "part" else f"{first} and {second}"
            lines.append(_SENTENCES[why](sum(map(len, shared)), len(shared), example))
    return lines


def sharing(keys: Sequence[str | None], tracks: Sequence[Track]) -> list[list[str]]:
    """For each key with two or more tracks, the ids of the tracks."""
    members: dict[str, list[str]] = defaultdict(list)
    for track, key in zip(tracks, keys, strict=True):
        if key is not None:
            members[key].append(track.id)
    return [own for own in members.values() if len(own) > 1]


def wholes(ties: Ties, lengths: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The row of the first part of each file's track, and the number of items before the file in its track.

    Args:
        ties: has the parts.
        lengths: number of items in each file, `[files]`.
    """
    whole, before = np.arange(len(lengths)), np.zeros(len(lengths), dtype=np.int64)
    rows_of: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row, part in enumerate(ties.parts):
        if part is not None:
            rows_of[part.whole].append((part.number, row))
    for own in rows_of.values():
        rows = [row for _, row in sorted(own)]
        whole[rows] = rows[0]
        before[rows] = np.cumsum(lengths[rows]) - lengths[rows]
    return whole, before


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
