"""The tracks of a store of shards, ready as a collection needs them: their entries, and their items by position."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_cls.collection.journal import Entry
from musicgen_cls.collection.store import Store
from musicgen_cls.errors import MusicClsError, StoreError
from musicgen_cls.files import as_path, cache_root
from musicgen_cls.shards.cache import ShardCache
from musicgen_cls.shards.layout import SAMPLE_BYTES, Shard
from musicgen_cls.sources.shards import Shards

_FETCHES = 4  # at the same time
_SHARE = 0.5  # of the cache for the shards in use; the rest is for those that are fetched meanwhile


class ShardItems:
    """The samples of all shards, one shard after another, as an array that gives slices within a shard.

    A shard is fetched and mapped when it is first needed. No more is mapped than the cache can hold.

    Args:
        cache: the files of the shards.
        shards: the shards, in order.
    """

    def __init__(self, cache: ShardCache, shards: Sequence[Shard]) -> None:
        self.cache, self.shards = cache, list(shards)
        lengths = [shard.bytes // SAMPLE_BYTES for shard in self.shards]
        self.starts: list[int] = (np.cumsum(lengths) - lengths).tolist()
        self._mapped: dict[int, npt.NDArray[np.int16]] = {}
        self._lock = Lock()
        self._call, self._coming = 0, set[Shard]()  # of `fetch_ahead`

    def __getitem__(self, wanted: slice) -> npt.NDArray[np.int16]:
        """The samples of a part of one track."""
        number = bisect_right(self.starts, wanted.start) - 1
        samples = self._mapped.get(number)
        if samples is None:
            samples = self._open(number)
        start = self.starts[number]
        return samples[wanted.start - start : wanted.stop - start]

    @property
    def fits(self) -> bool:
        """Whether all shards can be on this machine at the same time."""
        return not self.cache.fetches or sum(shard.bytes for shard in self.shards) <= self.cache.bound

    def shard_of(self, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The numbers of the shards that hold positions."""
        return np.searchsorted(self.starts, starts, side="right") - 1

    def groups(self, numbers: Iterable[int]) -> list[list[int]]:
        """Shards in groups that fit into half of the cache; a larger shard is a group of its own."""
        found: list[list[int]] = []
        free = 0.0
        for number in numbers:
            size = self.shards[number].bytes
            if not found or size > free:
                found.append([])
                free = _SHARE * self.cache.bound
            found[-1].append(number)
            free -= size
        return found

    def fetch_ahead(self, numbers: Sequence[int]) -> None:
        """Fetch shards in threads, and keep those that are here. What an earlier call has not fetched is dropped.

        A shard that cannot be fetched is fetched again when it is needed, which raises the error.
        """
        self._call += 1
        wanted = [self.shards[number] for number in numbers]
        missing = [shard for shard in wanted if shard not in self._coming and not self.cache.keeps(shard)]
        for part in range(min(_FETCHES, len(missing))):
            Thread(
                target=self._fetch, args=(missing[part::_FETCHES], self._call), name="fetch ahead", daemon=True
            ).start()

    def verify(self) -> None:
        """Fetch all shards, and compare them with their checksums."""
        from tqdm import tqdm

        for shard in tqdm(self.shards, "Verifying", unit="shard", delay=2):
            self.cache.file(shard, verify=True)

    def _fetch(self, shards: Sequence[Shard], call: int) -> None:
        with suppress(MusicClsError, FileNotFoundError):
            for shard in shards:
                if call != self._call:
                    return
                self._coming.add(shard)
                try:
                    self.cache.file(shard, patient=False)
                finally:
                    self._coming.discard(shard)

    def _open(self, number: int) -> npt.NDArray[np.int16]:
        with self._lock:
            if number not in self._mapped:
                shard = self.shards[number]
                self._unmap(shard.bytes)
                self._mapped[number] = self.cache.samples(shard)
            return self._mapped[number]

    def _unmap(self, needed: int) -> None:
        """Unmap the shards that were opened first, since the space of a deleted file is free when nothing maps it."""
        bound = self.cache.bound if self.cache.fetches else math.inf
        while self._mapped and needed + sum(self.shards[number].bytes for number in self._mapped) > bound:
            del self._mapped[next(iter(self._mapped))]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"} | {
            "_mapped": {},
            "_coming": set(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=Lock())


class ShardStore:
    """A store of shards, in the place of a `Store`.

    Args:
        source: the shards.
        sample_rate: the wanted sample rate, Hz.
        cache_dir: folder of the stores; the user's cache folder if None.

    Raises:
        StoreError: the store has another sample rate, is not complete, or cannot be read.
    """

    def __init__(self, source: Shards, sample_rate: int, cache_dir: str | None = None) -> None:
        note = source.note
        if note.sample_rate != sample_rate:
            raise StoreError(
                f"{source.location}: has audio of {note.sample_rate} Hz, but {sample_rate} Hz are needed; set "
                f"--data.sample_rate {note.sample_rate}, or write another store with musiccli shards --sample_rate "
                f"{sample_rate}"
            )
        self.folder = Store.of(source, sample_rate, cache_dir).folder
        root = as_path(cache_dir, "--data.cache_dir") if cache_dir else cache_root()
        self._items = ShardItems(ShardCache(source.storage, _created(root / "shards")), note.shards)
        self.entries = [
            Entry(
                path=track.id,
                size=0,
                mtime_ns=0,
                offset=self._items.starts[track.shard] + track.offset,
                samples=track.samples,
                digest=track.digest,
                error=track.error,
            )
            for track in source.catalogue
        ]
        _created(self.folder)

    def items(self, entries: Iterable[Entry], kind: npt.DTypeLike) -> Any:
        """The samples of all tracks."""
        return self._items


def _created(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be written ({error.strerror}); set --data.cache_dir or the variable MUSICGEN_CLS_CACHE "
            "to a folder that can be written"
        ) from error
    return folder
