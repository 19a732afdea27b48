"""The journal of a store: its lines, and checks of the journal and the audio file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import asdict

from musicgen_cls.formats.file_state import FileState, state_of
from musicgen_cls.formats.records import lines, seal

_BLOCK = 1 << 22  # bytes read at once

Count = Annotated[int, Meta(ge=0)]
Key = tuple[str, int, int]
"""Identifies a version of a file: path, size in bytes, modification time in ns."""


class Entry(Struct, frozen=True):
    """A line of the journal: one file at the time when it was decoded."""

    path: str
    size: Count
    mtime_ns: int
    offset: Count = 0
    samples: Count = 0
    digest: str = ""
    artist: str | None = None
    error: str | None = None
    passing: bool = False
    """Whether the error can pass: the file could not be opened. Such entries are not written to the journal."""

    @property
    def key(self) -> Key:
        """The version of the file."""
        return self.path, self.size, self.mtime_ns

    @property
    def end(self) -> int:
        """Where the samples end in the audio file."""
        return self.offset + self.samples


class Verified(Struct, frozen=True):
    """The states of both files when all samples were last compared with their hashes."""

    audio: FileState
    journal: FileState


@dataclass(frozen=True)
class Contents:
    """The valid entries of a journal; `whole` is False if there are other lines."""

    entries: dict[Key, Entry]
    whole: bool
    item_bytes: int = 2

    @property
    def journal(self) -> bytes:
        """The journal without damaged and superseded lines."""
        return b"".join(seal(asdict(entry)) for entry in self.entries.values())

    @property
    def audio_bytes(self) -> int:
        """The end of the last track in the audio file, bytes."""
        return self.item_bytes * max((entry.end for entry in self.entries.values()), default=0)

    def without(self, damaged: Iterable[Key]) -> Contents:
        """The contents without damaged entries."""
        if not (gone := set(damaged)):
            return self
        left = {key: entry for key, entry in self.entries.items() if key not in gone}
        return Contents(left, self.whole and len(left) == len(self.entries), self.item_bytes)


def read_contents(journal_file: Path, audio_file: Path, item_bytes: int = 2) -> Contents:
    """The entries of a journal, without lines that are damaged, superseded, or beyond the end of the audio file.

    Raises:
        RecordError: the journal cannot be read.
    """
    state = state_of(audio_file)
    available = state.size // item_bytes if state else 0
    found: dict[Key, Entry] = {}
    number = 0
    for line in lines(journal_file, Entry, sealed=True) if state else ():
        number = line.number
        if line.value is not None and not line.torn and line.value.end <= available:
            key = line.value.key
            found.pop(key, None)  # the newest line is the last one
            found[key] = line.value
    whole = len(found) == number if state else not journal_file.is_file()
    return Contents(found, whole, item_bytes).without(_overlapping(found.values()))


def with_wrong_hash(audio_file: Path, entries: Iterable[Entry], item_bytes: int = 2) -> list[Key]:
    """The tracks whose samples do not have the hash in the journal."""
    from tqdm import tqdm

    tracks = [entry for entry in entries if entry.error is None]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # hashing releases the interpreter lock
        digests = pool.map(lambda entry: _digest(audio_file, entry, item_bytes), tracks)
        bar = tqdm(zip(tracks, digests, strict=True), "Verifying", len(tracks), unit="track", delay=2)
        return [entry.key for entry, digest in bar if digest != entry.digest]


def _overlapping(entries: Iterable[Entry]) -> list[Key]:
    """Tracks that share samples with another."""
    found: list[Key] = []
    last = None
    for entry in sorted((entry for entry in entries if entry.samples), key=lambda entry: entry.offset):
        if last is not None and entry.offset < last.end:
            found += [last.key, entry.key]
        if last is None or entry.end > last.end:
            last = entry
    return found


def _digest(audio_file: Path, entry: Entry, item_bytes: int) -> str:
    """The hash of a track's samples; an empty string if the disk cannot be read."""
    found, left = hashlib.sha1(usedforsecurity=False), item_bytes * entry.samples
    try:
        with audio_file.open("rb", buffering=0) as file:
            file.seek(item_bytes * entry.offset)
            while left and (block := file.read(min(left, _BLOCK))):
                found.update(block)
                left -= len(block)
    except OSError:
        return ""
    return found.hexdigest()
