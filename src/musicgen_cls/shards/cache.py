"""Files of shards on this machine: those of a folder in place, others fetched once into a cache that can be bounded.

Beside each file in the cache lies a note with the state that the file had when its checksum was last right. The note's
time of change is when the shard was last opened. For shards of a folder there are only notes.
"""

from __future__ import annotations

import json
import math
import os
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
from msgspec import to_builtins

from musicgen_cls.errors import RecordError, StoreError, UsageError
from musicgen_cls.files import writing
from musicgen_cls.formats.file_state import FileState, state_of
from musicgen_cls.formats.records import read
from musicgen_cls.shards.layout import Shard
from musicgen_cls.shards.storage import Storage, digest_of

VARIABLE = "MUSICGEN_CLS_SHARD_CACHE_GB"

_TRIES = 5


def cache_bytes() -> float:
    """The bound of the cache from the environment, bytes; infinite if there is none.

    Raises:
        UsageError: the variable is not a number above 0.
    """
    text = os.environ.get(VARIABLE, "inf")
    try:
        bound = 1e9 * float(text)
    except ValueError:
        bound = math.nan
    if not bound > 0:
        raise UsageError(f"{VARIABLE}={text}: not a number above 0; give the bound in GB, such as 50")
    return bound


class ShardCache:
    """The files of shards.

    Args:
        storage: where the shards are.
        folder: for the cache; several stores and processes can share it.
    """

    def __init__(self, storage: Storage, folder: Path) -> None:
        self.storage, self.folder = storage, folder
        self.bound = cache_bytes()

    @property
    def fetches(self) -> bool:
        """Whether shards must be fetched."""
        return self.storage.place("") is None

    def keeps(self, shard: Shard) -> bool:
        """Whether a shard is here, so that no fetch is needed; it then counts as used now."""
        path = self.folder / shard.name
        if not self.fetches or not path.is_file():
            return not self.fetches
        self._use(path)
        return True

    def samples(self, shard: Shard) -> npt.NDArray[np.int16]:
        """The samples of a shard as a memory map; raises the errors of `file`."""
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):  # another process deleted the file, for space, before it was mapped
                return np.asarray(np.memmap(self.file(shard), dtype=np.int16, mode="r"))
        raise StoreError(
            f"{self.storage.address(shard.name)}: other processes delete it from {self.folder} before it is read; set "
            f"{VARIABLE} to more than {self.bound / 1e9:g}"
        )

    def file(self, shard: Shard, verify: bool = False, patient: bool = True) -> Path:
        """The file of a shard, which has the right checksum.

        Args:
            shard: the shard.
            verify: compute the checksum even if the file has not changed since it was last right.
            patient: whether a failed attempt to fetch it is followed by others.

        Raises:
            StoreError: the shard is damaged, or cannot be fetched or kept.
            FileNotFoundError: another process deleted it from the cache at the same time.
        """
        own = self.storage.place(shard.name)
        path = own or self.folder / shard.name
        try:
            if own is None and not path.is_file():
                self._fetch(shard, path, patient)
            elif verify or not self._is_verified(path):
                self._verify(shard, path, own is not None)
            self._use(path)
        except OSError as error:
            if own is None and isinstance(error, FileNotFoundError):
                raise
            raise StoreError(
                f"{error.filename or path}: cannot be read or written ({error.strerror or error}); check the disk, or "
                "set MUSICGEN_CLS_CACHE to a folder that can be written"
            ) from error
        return path

    def _verify(self, shard: Shard, path: Path, in_place: bool) -> None:
        if digest_of(path) == shard.digest:
            self._remember(path)
        elif in_place:
            raise StoreError(
                f"{path}: its content has changed since it was written; restore a copy, or delete it and run musiccli "
                f"shards --out {self.storage.url} again"
            )
        else:
            path.unlink()
            self._fetch(shard, path)

    def _fetch(self, shard: Shard, path: Path, patient: bool = True) -> None:
        """Fetch a shard; other processes and threads that want it wait."""
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock")
        with FileLock(lock):
            try:
                if not path.is_file():
                    with writing(path) as temporary:
                        self.storage.fetch(shard.name, temporary, shard.digest, patient)
                    self._remember(path)
                    self._use(path)
                    self._make_space(path)
            finally:
                lock.unlink(missing_ok=True)  # who waits for a deleted lock finds the shard, or fetches it again

    def _use(self, path: Path) -> None:
        """Record that a shard is used now, to the ns; the system's own times of change are some ms apart."""
        with suppress(OSError):
            os.utime(self._note(path), ns=(time.time_ns(), time.time_ns()))

    def _note(self, path: Path) -> Path:
        return (self.folder / path.name).with_suffix(".json")

    def _remember(self, path: Path) -> None:
        """Record the state of a file whose checksum is right."""
        note = json.dumps(to_builtins(state_of(path))) + "\n"
        with suppress(OSError), writing(self._note(path)) as temporary:  # without it, the checksum is computed again
            temporary.write_text(note)

    def _is_verified(self, path: Path) -> bool:
        try:
            return read(self._note(path), FileState, "") == state_of(path)
        except RecordError:
            return False

    def _make_space(self, kept: Path) -> None:
        """Delete the shards that were not opened for the longest time, until the others fit."""
        if self.bound < math.inf:
            from filelock import FileLock

            with FileLock(self.folder / "space.lock"):  # two that delete at the same time would delete too much
                self._delete_oldest(kept)

    def _delete_oldest(self, kept: Path) -> None:
        found: list[tuple[int, int, Path]] = []
        for path in self.folder.glob("*.i16"):
            note, used = self._note(path), time.time_ns()  # without a note, a shard has just arrived
            with suppress(OSError):
                used = note.stat().st_mtime_ns
            found.append((used, path.stat().st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self.bound:
                return
            if path != kept:
                with suppress(OSError):  # on Windows, a file that is mapped
                    path.unlink()
                    self._note(path).unlink(missing_ok=True)
                    total -= size
