"""Embeddings of a collection: every track is embedded once, and kept in a store beside its audio."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio.io import Pcm
from musicgen_cls.collection.collection import Collection
from musicgen_cls.collection.journal import Entry, Key
from musicgen_cls.collection.store import Produced, Store
from musicgen_cls.engines.local import Mapped, in_turn
from musicgen_cls.files import safe_name

Rows = npt.NDArray[np.float32]
Embed = Callable[[Pcm], Rows]
"""From windows of audio, int16 `[windows, samples]`, to rows `[windows, dim]`."""

_AT_ONCE = 64  # windows


def embed_collection(
    audio: Collection, window: int, embedders: Sequence[tuple[str, int, Embed]], mapped: Mapped = in_turn
) -> Collection:
    """A collection whose items are the embeddings of consecutive windows, of several networks side by side.

    The end of a track that does not fill a window is left out. A track that is shorter than a window is repeated until
    it fills one.

    Args:
        audio: tracks with their decoded audio.
        window: length of a window, samples.
        embedders: for each network `name-digest` (of its weights), the length of its rows, and the network.
        mapped: where the networks are called: here, or on a cluster.
    """
    keys = [(digest, int(length), window) for digest, length in zip(audio.digests, audio.lengths, strict=True)]
    lengths = np.maximum(audio.lengths // window, 1)
    offset = np.cumsum(lengths) - lengths
    stores = [_rows(audio, keys, window, offset, mapped, *embedder) for embedder in embedders]
    items: Any = stores[0] if len(stores) == 1 else SideBySide(stores)
    return replace(
        audio,
        items=items,
        offset=offset,
        lengths=lengths,
        before=_before(audio, lengths),
        rate=audio.rate / window,
    )


class StoredRows:
    """The rows of all tracks in the order of a collection, in a memory map whose order can be another.

    Args:
        rows: all rows of a store, `[rows, dim]`.
        place: for each track its first row in the store.
        offset: for each track its first row in the collection.
    """

    def __init__(self, rows: Rows, place: npt.NDArray[np.int64], offset: npt.NDArray[np.int64]) -> None:
        self.rows, self.place, self.offset = rows, place, offset

    def __getitem__(self, wanted: slice) -> Rows:
        """Rows of one track."""
        track = int(np.searchsorted(self.offset, wanted.start, side="right")) - 1
        shift = int(self.place[track] - self.offset[track])
        found: Rows = self.rows[wanted.start + shift : wanted.stop + shift]
        return found


class SideBySide:
    """Rows of several stores, each row beside those of the other stores, `[rows, sum of dims]`."""

    def __init__(self, stores: Sequence[StoredRows]) -> None:
        self.stores = stores

    def __getitem__(self, wanted: slice) -> Rows:
        """Rows of one track."""
        return np.concatenate([store[wanted] for store in self.stores], axis=1)


def _rows(audio: Collection, keys: list[Key], window: int, offset: npt.NDArray[np.int64], mapped: Mapped,
          name: str, dim: int, embed: Embed) -> StoredRows:  # fmt: skip
    """The rows of one network; tracks that are not in its store yet are embedded."""
    assert audio.folder is not None
    store = Store(audio.folder / safe_name(f"{name}-{window}"), "rows.f32", 4 * dim)
    of_key = {key: row for row, key in enumerate(keys)}

    def produce(missing: Sequence[Key]) -> Produced:
        return _embedded(audio, [of_key[key] for key in missing], keys, window, name, partial(mapped, embed))

    entries = store.fill(list(of_key), produce)
    place = np.array([entries[key].offset for key in keys])
    end = max(entries[key].end for key in keys)
    rows = np.memmap(store.audio_file, dtype=np.float32, mode="r", shape=(end, dim))
    return StoredRows(rows, place, offset)


def _embedded(
    audio: Collection,
    tracks: Sequence[int],
    keys: Sequence[Key],
    window: int,
    name: str,
    embed: Callable[[Iterable[Pcm]], Generator[Rows, None, None]],
) -> Produced:
    """Entries and rows of tracks; windows of several short tracks go through the network together."""
    from tqdm import tqdm

    groups = list(_groups(audio, tracks, window))
    found = embed(np.concatenate([_windows(audio, track, window) for track in group]) for group in groups)
    with closing(found), tqdm(total=len(tracks), desc=f"Embedding with {name.rpartition('-')[0]}", unit="track") as bar:
        for group, rows in zip(groups, found, strict=True):
            ends = np.cumsum([_count(audio, track, window) for track in group])
            for track, own in zip(group, np.split(rows, ends[:-1]), strict=True):
                own = np.ascontiguousarray(own, dtype=np.float32)
                digest = hashlib.sha1(own.data, usedforsecurity=False).hexdigest()
                yield Entry(*keys[track], samples=len(own), digest=digest), own
                bar.update()


def _groups(audio: Collection, tracks: Sequence[int], window: int) -> Iterator[list[int]]:
    """Tracks in groups of about `_AT_ONCE` windows; a longer track is a group of its own."""
    group: list[int] = []
    size = 0
    for track in tracks:
        count = _count(audio, track, window)
        if group and size + count > _AT_ONCE:
            yield group
            group, size = [], 0
        group.append(track)
        size += count
    if group:
        yield group


def _count(audio: Collection, track: int, window: int) -> int:
    """The number of windows of a track."""
    return max(int(audio.lengths[track]) // window, 1)


def _windows(audio: Collection, track: int, window: int) -> Pcm:
    """The windows of a track, int16 `[windows, samples]`."""
    start, length, count = int(audio.offset[track]), int(audio.lengths[track]), _count(audio, track, window)
    return np.resize(audio.items[start : start + min(length, count * window)], (count, window))


def _before(audio: Collection, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For each part of a track, the number of items in its earlier parts."""
    before = np.zeros_like(lengths)
    order = np.lexsort((audio.before, audio.whole))
    for earlier, later in pairwise(order):
        if audio.whole[earlier] == audio.whole[later]:
            before[later] = before[earlier] + lengths[earlier]
    return before
