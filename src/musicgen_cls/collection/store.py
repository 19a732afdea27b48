"""The store: every track of a collection decoded once, as int16 in one flat file.

A store is a folder with two files to which tracks are appended:

- `audio.i16`: the samples of one track after another, mono, at one sample rate;
- `journal.jsonl`: a line for each file that was decoded or found unusable. It has the size and modification time of the
  file, and the position and hash of its samples. A line is written after its samples are on disk, and has a checksum.

A store can also hold other items of tracks, such as embeddings (`musicgen_cls.collection.embeddings`): its data file
then has another name, and its items are larger.

There is no mark for a finished store: a track is in the store if its journal line is complete. To prepare a collection,
to resume after a kill, and to notice an added or changed file are therefore one operation: decode every file that has
no line. A damaged line, or a line whose samples have another hash, does not count, so that only its track is decoded
again.

To hash all samples takes about a second for 8 hours of audio. It is done if the two files have changed since they
were last verified; `verified.json` has the sizes and times of change that they had then.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from msgspec import to_builtins
from msgspec.structs import asdict, replace

from musicgen_cls.audio.io import Pcm, read_pcm
from musicgen_cls.collection.journal import Contents, Entry, Key, Verified, read_contents, with_wrong_hash
from musicgen_cls.engines.local import Mapped, in_threads
from musicgen_cls.errors import AudioError, MusicClsError, RecordError, StoreError, UnreachableError, counted
from musicgen_cls.files import as_path, cache_root, is_url, safe_name, writing
from musicgen_cls.formats.file_state import state_of
from musicgen_cls.formats.records import read, seal
from musicgen_cls.remote.copies import local_copy
from musicgen_cls.remote.url import path_of, with_sizes
from musicgen_cls.sources.base import Source

log = logging.getLogger(__name__)

VERIFIED = "verified.json"

_FORMAT = 3  # raise when decoding or the journal changes, so that older stores are not used
_SYNC_BYTES, _SYNC_S = 1 << 26, 20.0  # a killed process loses at most so much
_TICK_S = 0.02  # the resolution of times of change on a file system


Produced = Iterator[tuple[Entry, npt.NDArray[Any]]]
"""Entries of tracks, still without positions, and their items (none if a file is unusable)."""


class Store:
    """Items of tracks in a folder of the cache; by default, the decoded audio of one source at one rate.

    Args:
        folder: the folder.
        data_file: name of the file with the items.
        item_bytes: size of an item.
    """

    def __init__(self, folder: Path, data_file: str = "audio.i16", item_bytes: int = 2) -> None:
        self.folder = folder
        self.item_bytes = item_bytes
        self.audio_file = folder / data_file
        self.journal_file = folder / "journal.jsonl"
        self.verified_file = folder / VERIFIED

    @classmethod
    def of(
        cls,
        source: Source,
        content: int | str,
        cache_dir: str | None = None,
        data_file: str = "audio.i16",
        item_bytes: int = 2,
    ) -> Store:
        """The store of a source: the name of its folder has the source, the content and a hash of the location.

        Args:
            source: the source.
            content: the sample rate, Hz; or a name for other items, with the version of how they are made.
            cache_dir: folder of the stores; the user's cache folder if None.
            data_file: name of the data file.
            item_bytes: size of an item.
        """
        identity = f"{type(source).__name__}|{source.location.resolve()}|{content}|{_FORMAT}"
        digest = hashlib.blake2b(os.fsencode(identity), digest_size=6).hexdigest()
        root = as_path(cache_dir, "--data.cache_dir") if cache_dir else cache_root() / "stores"
        return cls(root / f"{safe_name(source.name)}-{content}-{digest}", data_file, item_bytes)

    def entries(self) -> dict[Key, Entry]:
        """The valid entries."""
        return self._contents().entries

    def fill(self, wanted: Sequence[Key], produce: Callable[[Sequence[Key]], Produced]) -> dict[Key, Entry]:
        """Add the tracks that have no entry, and return all entries.

        A track whose items or line are damaged is made again. One process writes at a time; others wait, and then
        find the finished store.

        Args:
            wanted: the tracks.
            produce: makes the items of those that are missing, in order.

        Raises:
            StoreError: the disk is full or the folder cannot be written. What this call wrote is removed.
        """
        try:
            found = self._contents().entries
            if all(key in found for key in wanted) and not self._damaged(found.values()):
                return found
            from filelock import FileLock

            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / "lock"):
                try:
                    return self._append(wanted, produce)
                except OSError:
                    self._discard_if_empty()
                    raise
        except RecordError as error:
            raise StoreError(str(error)) from error
        except OSError as error:
            raise StoreError(
                f"{self.folder}: cannot write the tracks ({error.strerror or error}); free space, or set "
                "--data.cache_dir or the variable MUSICGEN_CLS_CACHE to a folder that can be written"
            ) from error

    def items(self, entries: Iterable[Entry], kind: npt.DTypeLike) -> npt.NDArray[Any]:
        """The items up to the last of some entries, as a memory map; another process may write behind them."""
        return np.memmap(self.audio_file, dtype=kind, mode="r", shape=(max(entry.end for entry in entries),))

    def _contents(self) -> Contents:
        return read_contents(self.journal_file, self.audio_file, self.item_bytes)

    def _damaged(self, entries: Iterable[Entry]) -> list[Key]:
        """The tracks whose samples have another hash. Nothing is hashed if both files have not changed."""
        state = self._state()
        with suppress(RecordError):  # the file is missing, for example after a kill
            if state is None or read(self.verified_file, Verified, "") == state:
                return []
        damaged = with_wrong_hash(self.audio_file, entries, self.item_bytes)
        if state is not None and not damaged:
            self._note(state)
        return damaged

    def _state(self) -> Verified | None:
        audio, journal = state_of(self.audio_file), state_of(self.journal_file)
        return Verified(audio, journal) if audio and journal else None

    def _note(self, state: Verified) -> None:
        """Record the state of the files in which all samples have the right hash."""
        changed_s = max(state.audio.mtime_ns, state.journal.mtime_ns) / 1e9
        time.sleep(max(0.0, min(_TICK_S, _TICK_S - (time.time() - changed_s))))  # a later change then has a later time
        with suppress(OSError), writing(self.verified_file) as temporary:  # a read-only store is hashed every time
            temporary.write_text(json.dumps(to_builtins(state)) + "\n")

    def _append(self, wanted: Sequence[Key], produce: Callable[[Sequence[Key]], Produced]) -> dict[Key, Entry]:
        contents = self._contents()
        damaged = self._damaged(contents.entries.values())
        if damaged:
            log.warning("%s: %s; made again", self.audio_file, counted(len(damaged), "damaged track"))
        contents = contents.without(damaged)
        found = contents.entries
        missing = [key for key in wanted if key not in found]
        if not contents.whole and (missing or damaged):
            with writing(self.journal_file) as temporary:
                temporary.write_bytes(contents.journal)
        if not missing:
            return found
        audio_bytes = contents.audio_bytes
        journal_bytes = self.journal_file.stat().st_size if self.journal_file.exists() else 0
        try:
            with self.audio_file.open("ab") as audio, self.journal_file.open("ab") as journal:
                audio.truncate(audio_bytes)  # removes what a killed process wrote without a journal line
                for entry in _write(produce(missing), audio, journal, audio_bytes, self.item_bytes):
                    found[entry.key] = entry
            state = self._state()
        except OSError:
            for path, size in ((self.audio_file, audio_bytes), (self.journal_file, journal_bytes)):
                if path.is_file():
                    os.truncate(path, size)
            raise
        if state is not None:
            self._note(state)
        return found

    def _discard_if_empty(self) -> None:
        """Delete the store if it is empty, after a failed first attempt."""
        if self.journal_file.is_file() and self.journal_file.stat().st_size == 0:
            shutil.rmtree(self.folder, ignore_errors=True)


def forget_verification(folder: Path) -> None:
    """Delete the record that the files are verified, so that all samples are hashed when the store is opened next."""
    (folder / VERIFIED).unlink(missing_ok=True)


def file_keys(paths: Iterable[Path]) -> list[Key]:
    """The keys of files in the journal."""
    folders: dict[str, str] = {}  # each folder is resolved once, which is much faster than once for each file
    found: list[Key] = []
    for path in with_sizes(paths):
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = folder if is_url(folder) else os.path.realpath(folder)
        found.append((os.path.join(folders[folder], name), *_size_and_time(path)))  # noqa: PTH118
    return found


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:  # deleted or forbidden since it was listed; decoding reports it
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _decode(key: Key, sample_rate: int) -> tuple[Entry, Pcm]:
    """Decode one file: its entry, still without an offset, and its samples (empty if the file is unusable)."""
    path, entry = path_of(key[0]), Entry(*key)
    try:
        with local_copy(path) as file:
            pcm, artist = read_pcm(file, sample_rate), _artist_tag(file)
    except AudioError as error:
        reason = str(error).removeprefix(f"{path}: ")
        return replace(entry, error=reason, passing=isinstance(error, UnreachableError)), np.empty(0, np.int16)
    digest = hashlib.sha1(pcm.data, usedforsecurity=False).hexdigest()
    return replace(entry, samples=len(pcm), digest=digest, artist=artist), pcm


def _artist_tag(path: Path) -> str | None:
    from tinytag import TinyTag, TinyTagException

    try:
        return TinyTag.get(path, duration=False).artist or None
    except (TinyTagException, OSError, ValueError):
        return None


def decode_all(keys: Sequence[Key], sample_rate: int, mapped: Mapped = in_threads) -> Produced:
    """Decode files, in order; soundfile, soxr and numpy release the interpreter lock.

    Args:
        keys: the files.
        sample_rate: Hz.
        mapped: where: in threads, or on a cluster.
    """
    from tqdm import tqdm

    decoded = mapped(partial(_decode, sample_rate=sample_rate), keys)
    with closing(decoded), tqdm(total=len(keys), desc="Decoding", unit="track") as bar:
        for track in decoded:
            yield track
            bar.update()


def _write(produced: Produced, data: BinaryIO, journal: BinaryIO, end: int, item_bytes: int) -> Iterator[Entry]:
    """Append items; once they are on disk, append their journal lines."""
    waiting: list[Entry] = []
    synced, at_s = end, time.monotonic()
    try:
        for entry, items in produced:
            data.write(items.data)
            waiting.append(replace(entry, offset=end // item_bytes))
            end += items.nbytes
            if end - synced >= _SYNC_BYTES or time.monotonic() - at_s > _SYNC_S:
                yield from _commit(waiting, data, journal)
                synced, at_s, waiting = end, time.monotonic(), []
    except MusicClsError:  # such as a server that is gone: the same command resumes behind these tracks
        _commit(waiting, data, journal)
        raise
    yield from _commit(waiting, data, journal)


def _commit(entries: list[Entry], audio: BinaryIO, journal: BinaryIO) -> list[Entry]:
    _sync(audio)
    journal.writelines(seal(asdict(entry)) for entry in entries if not entry.passing)
    _sync(journal)
    return entries


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
