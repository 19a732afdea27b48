"""The store: every track of a collection decoded once, as int16 in one flat file.

A store is a folder with two files that only ever grow:

- `audio.i16`: samples of one track after another, mono, at one rate;
- `journal.jsonl`: a line for each file that was decoded or found unusable, with its size and time of change, and
  where its samples lie. A line is written after its samples are on disk.

There is no mark that says "finished": a track is there when a whole journal line says so. Resuming after a kill and
noticing an added or changed file are therefore the same thing as preparing: decode what has no line.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from musicgen_cls.audio.io import Pcm, read_pcm
from musicgen_cls.errors import AudioError, StoreError, UnreachableError
from musicgen_cls.paths import as_path, cache_root
from musicgen_cls.sources.track import Source

_FORMAT = 1  # raise when decoding changes, so that older stores are not read
_SYNC_BYTES = 1 << 26


Key = tuple[str, int, int]
"""What makes a file the same file: path, size in bytes, time of change in ns."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the journal: one file, as it was when it was decoded."""

    path: str
    size: int
    mtime_ns: int
    offset: int = 0
    samples: int = 0
    digest: str = ""
    artist: str | None = None
    error: str | None = None
    passing: bool = False
    """The file could not be opened just now: not written to the journal, tried again the next time."""

    @property
    def key(self) -> Key:
        """The file this entry speaks of."""
        return self.path, self.size, self.mtime_ns


class Store:
    """Decoded audio of one source at one rate, in a folder of the cache."""

    def __init__(self, folder: Path, sample_rate: int) -> None:
        self.folder = folder
        self.sample_rate = sample_rate
        self.audio_file = folder / "audio.i16"
        self.journal_file = folder / "journal.jsonl"

    @classmethod
    def of(cls, source: Source, sample_rate: int, cache_dir: str | None = None) -> Store:
        """The store of a source: its folder's name tells the source, the rate and a hash of the source's place."""
        identity = f"{type(source).__name__}|{source.location.resolve()}|{sample_rate}|{_FORMAT}"
        digest = hashlib.blake2b(identity.encode(), digest_size=6).hexdigest()
        root = as_path(cache_dir, "--data.cache_dir") if cache_dir else cache_root() / "stores"
        return cls(root / f"{source.name}-{sample_rate}-{digest}", sample_rate)

    def entries(self) -> tuple[dict[Key, Entry], int, int]:
        """What the journal vouches for: entries, and the lengths in bytes of the sound part of journal and audio."""
        found: dict[Key, Entry] = {}
        journal_bytes = audio_bytes = 0
        if not self.journal_file.is_file() or not self.audio_file.is_file():
            return found, 0, 0
        available = self.audio_file.stat().st_size
        for line in self.journal_file.read_bytes().splitlines(keepends=True):
            try:
                entry = Entry(**json.loads(line))
            except (ValueError, TypeError):
                break
            end = 2 * (entry.offset + entry.samples)
            if not line.endswith(b"\n") or end > available:
                break
            found[entry.key] = entry
            journal_bytes += len(line)
            audio_bytes = max(audio_bytes, end)
        return found, journal_bytes, audio_bytes

    def fill(self, wanted: Sequence[Key], workers: int | None = None) -> dict[Key, Entry]:
        """Decode the files that have no entry, on all cores, and return all entries, these among them.

        One process at a time writes; others wait, and then find the work done.

        Raises:
            StoreError: the disk is full or the folder cannot be written. What this call had written is taken back.
        """
        found = self.entries()[0]
        if all(key in found for key in wanted):
            return found
        from filelock import FileLock

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / "lock"):
                try:
                    return self._append(wanted, workers)
                except OSError:
                    self._discard_if_empty()
                    raise
        except OSError as error:
            raise StoreError(
                f"{self.folder}: cannot write decoded audio there ({error.strerror or error}); free space, or set "
                "--data.cache_dir or the variable MUSICGEN_CLS_CACHE to a folder that can be written"
            ) from error

    def _append(self, wanted: Sequence[Key], workers: int | None) -> dict[Key, Entry]:
        found, journal_bytes, audio_bytes = self.entries()
        missing = [key for key in wanted if key not in found]
        if not missing:
            return found
        try:
            with self.audio_file.open("ab") as audio, self.journal_file.open("ab") as journal:
                audio.truncate(audio_bytes)  # past these lie the leavings of a process that was killed
                journal.truncate(journal_bytes)
                for entry in _write(_decode_all(missing, self.sample_rate, workers), audio, journal, audio_bytes):
                    found[entry.key] = entry
        except OSError:
            for path, size in ((self.audio_file, audio_bytes), (self.journal_file, journal_bytes)):
                if path.is_file():
                    os.truncate(path, size)
            raise
        return found

    def _discard_if_empty(self) -> None:
        """Leave no empty store behind after a failed first attempt."""
        if self.journal_file.is_file() and self.journal_file.stat().st_size == 0:
            shutil.rmtree(self.folder, ignore_errors=True)


def file_key(path: Path) -> Key:
    """What the journal knows a file by."""
    try:
        stat = path.stat()
    except OSError:  # gone or forbidden since it was listed: decoding will say so
        return str(path.resolve()), 0, 0
    return str(path.resolve()), stat.st_size, stat.st_mtime_ns


def _decode(key: Key, sample_rate: int) -> tuple[Entry, Pcm]:
    """Decode one file: its entry, still without an offset, and its samples (none if it is unusable)."""
    path, entry = Path(key[0]), Entry(*key)
    try:
        pcm = read_pcm(path, sample_rate)
    except AudioError as error:
        reason = str(error).removeprefix(f"{path}: ")
        return replace(entry, error=reason, passing=isinstance(error, UnreachableError)), np.empty(0, np.int16)
    digest = hashlib.sha1(pcm.data, usedforsecurity=False).hexdigest()
    return replace(entry, samples=len(pcm), digest=digest, artist=_artist_tag(path)), pcm


def _artist_tag(path: Path) -> str | None:
    from tinytag import TinyTag, TinyTagException

    try:
        return TinyTag.get(path, duration=False).artist or None
    except (TinyTagException, OSError, ValueError):
        return None


def _decode_all(keys: Sequence[Key], sample_rate: int, workers: int | None) -> Iterator[tuple[Entry, Pcm]]:
    """Decode in threads (soundfile, soxr and numpy let go of the interpreter), in order, a few files ahead."""
    from tqdm import tqdm

    workers = workers or os.cpu_count() or 1
    pending: deque[Future[tuple[Entry, Pcm]]] = deque()
    queue = iter(keys)
    with ThreadPoolExecutor(workers) as pool, tqdm(total=len(keys), desc="Decoding", unit="track") as bar:
        try:
            while True:
                while len(pending) < 2 * workers and (key := next(queue, None)) is not None:
                    pending.append(pool.submit(_decode, key, sample_rate))
                if not pending:
                    return
                yield pending.popleft().result()
                bar.update()
        finally:
            for future in pending:
                future.cancel()


def _write(decoded: Iterator[tuple[Entry, Pcm]], audio: BinaryIO, journal: BinaryIO, end: int) -> Iterator[Entry]:
    """Append samples, then, once they are on disk, the lines that vouch for them."""
    waiting: list[Entry] = []
    synced = end
    for entry, pcm in decoded:
        audio.write(pcm.data)
        waiting.append(replace(entry, offset=end // 2))
        end += pcm.nbytes
        if end - synced >= _SYNC_BYTES:
            synced = end
            yield from _vouch(waiting, audio, journal)
            waiting = []
    yield from _vouch(waiting, audio, journal)


def _vouch(entries: list[Entry], audio: BinaryIO, journal: BinaryIO) -> list[Entry]:
    _sync(audio)
    journal.writelines(json.dumps(asdict(entry)).encode() + b"\n" for entry in entries if not entry.passing)
    _sync(journal)
    return entries


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
