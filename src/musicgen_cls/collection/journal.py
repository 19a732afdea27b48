"""What a store's journal names and its audio file holds, and whether that is sound."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from musicgen_cls.formats.records import lines

_BLOCK = 1 << 22  # bytes read at once

Count = Annotated[int, Meta(ge=0)]
Key = tuple[str, int, int]
"""What makes a file the same file: path, size in bytes, time of change in ns."""


class Entry(Struct, frozen=True):
    """A line of the journal: one file, as it was when it was decoded."""

    path: str
    size: Count
    mtime_ns: int
    offset: Count = 0
    samples: Count = 0
    digest: str = ""
    artist: str | None = None
    error: str | None = None
    passing: bool = False
    """The file could not be opened just now: not written to the journal, tried again the next time."""

    @property
    def key(self) -> Key:
        """The file that this entry is about."""
        return self.path, self.size, self.mtime_ns

    @property
    def end(self) -> int:
        """Where the samples end in the audio file."""
        return self.offset + self.samples


class State(Struct, frozen=True):
    """What changes whenever a file is written: its size, and the times of change of its content and its status, ns."""

    size: int
    mtime_ns: int
    ctime_ns: int


class Verified(Struct, frozen=True):
    """Both files as they were when all samples that the journal names had the right hash."""

    audio: State
    journal: State


@dataclass(frozen=True)
class Contents:
    """What a journal names and the audio file holds: entries with the bytes of their lines; `whole` if that is all."""

    lines: dict[Key, tuple[Entry, bytes]]
    whole: bool

    @property
    def entries(self) -> dict[Key, Entry]:
        """The entries."""
        return {key: entry for key, (entry, _) in self.lines.items()}

    @property
    def journal(self) -> bytes:
        """The journal without what is damaged or superseded."""
        return b"".join(raw for _, raw in self.lines.values())

    @property
    def audio_bytes(self) -> int:
        """Where the last track ends in the audio file."""
        return 2 * max((entry.end for entry, _ in self.lines.values()), default=0)

    def without(self, damaged: Iterable[Key]) -> Contents:
        """These, less some."""
        gone = set(damaged)
        left = {key: line for key, line in self.lines.items() if key not in gone}
        return Contents(left, self.whole and len(left) == len(self.lines))


def read_contents(journal_file: Path, audio_file: Path) -> Contents:
    """What a journal names, less lines that are damaged, superseded, or beyond the audio file.

    Raises:
        RecordError: the journal cannot be read.
    """
    state = state_of(audio_file)
    available = state.size // 2 if state else 0
    found: dict[Key, tuple[Entry, bytes]] = {}
    number = 0
    for line in lines(journal_file, Entry, sealed=True) if state else ():
        number = line.number
        if line.value is not None and not line.torn and line.value.end <= available:
            found.pop(line.value.key, None)  # the newest stands last
            found[line.value.key] = line.value, line.raw
    whole = len(found) == number if state else not journal_file.is_file()
    contents = Contents(found, whole)
    return contents.without(_overlapping(contents.entries.values()))


def state_of(path: Path) -> State | None:
    """The state of a file; None if there is no such file."""
    if not path.is_file():
        return None
    stat = path.stat()
    return State(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def with_wrong_hash(audio_file: Path, entries: Iterable[Entry]) -> list[Key]:
    """The tracks whose samples do not have the hash that the journal gives."""
    from tqdm import tqdm

    tracks = [entry for entry in entries if entry.error is None]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # hashing lets go of the interpreter
        digests = pool.map(lambda entry: _digest(audio_file, entry), tracks)
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


def _digest(audio_file: Path, entry: Entry) -> str:
    """The hash of a track's samples; an empty one where the disk does not give them."""
    found, left = hashlib.sha1(usedforsecurity=False), 2 * entry.samples
    try:
        with audio_file.open("rb", buffering=0) as file:
            file.seek(2 * entry.offset)
            while left and (block := file.read(min(left, _BLOCK))):
                found.update(block)
                left -= len(block)
    except OSError:
        return ""
    return found.hexdigest()
