"""The files of a store of shards, and their schemas.

- `DIGEST.i16`: a shard, the int16 samples of whole tracks one after another, under the name of its checksum.
- `DIGEST.index.jsonl`: the index of a shard: a line about the shard, and a line for each track. It is written after the
  shard. A shard counts if its index is there; so a killed writer resumes with the tracks that no index has.
- `DIGEST.tracks.jsonl`: the catalogue of the complete store: a line for each track, in the order of the source.
- `store.json`: written last. It names the catalogue and the shards, with their sizes.

Every line has a checksum. Names are made of checksums only, so that no content of a file leads out of a folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeVar

from msgspec import Meta, Struct

from musicgen_cls.errors import RATES_HZ, StoreError
from musicgen_cls.formats.records import Damage, check_seal, parse, seal
from musicgen_cls.shards.storage import Storage, digest_of

STORE = "store.json"
SAMPLE_BYTES = 2

Count = Annotated[int, Meta(ge=0)]
Rate = Annotated[int, Meta(ge=RATES_HZ[0], le=RATES_HZ[1])]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
SampleDigest = Annotated[str, Meta(pattern="^([0-9a-f]{40})?$")]
Side = Literal["train", "validation", "test"]

T = TypeVar("T")


class Shard(Struct, frozen=True):
    """A shard: its checksum and its size."""

    digest: Digest
    bytes: Count

    @property
    def name(self) -> str:
        """The name of its object."""
        return f"{self.digest}.i16"


class ShardHead(Struct, frozen=True):
    """The first line of an index."""

    shard: Shard
    sample_rate: Rate
    tracks: Count
    format: Literal[1] = 1


class ShardTrack(Struct, frozen=True):
    """A track in an index, at a place in a shard: `offset` and `samples`.

    `size`, bytes, and `mtime_ns`, the modification time, are those of its file. Older indexes have no time.
    """

    id: str
    size: Count
    mtime_ns: int = 0
    offset: Count = 0
    samples: Count = 0
    digest: SampleDigest = ""
    artist: str | None = None
    error: str | None = None


class CatalogueTrack(Struct, frozen=True):
    """A track in the catalogue. `path` is relative to the folder of the source, `shard` a number in `store.json`."""

    id: str
    path: str
    genre: str
    shard: Count
    offset: Count
    samples: Count
    digest: SampleDigest
    artist: str | None = None
    group: str | None = None
    error: str | None = None
    sides: dict[str, Side] = {}  # msgspec copies it
    """The side of the track in each published split."""


class LeftOut(Struct, frozen=True):
    """A file that is no track, with the reason."""

    path: str
    reason: str


class StoreNote(Struct, frozen=True):
    """The content of `store.json`."""

    sample_rate: Rate
    genres: list[str]
    tracks: Count
    samples: Count
    shards: list[Shard]
    catalogue: Digest
    parts_by_name: bool = False
    official_can_leak: bool = False
    left_out: list[LeftOut] = []
    format: Literal[1] = 1


def index_name(digest: str) -> str:
    """The name of the index of a shard."""
    return f"{digest}.index.jsonl"


def catalogue_name(digest: str) -> str:
    """The name of the catalogue with a checksum."""
    return f"{digest}.tracks.jsonl"


def sealed_lines(rows: Sequence[dict[str, Any]]) -> bytes:
    """JSON lines with checksums."""
    return b"".join(map(seal, rows))


def values(content: bytes, kind: type[T], first: int = 1) -> Iterator[T]:
    """The values of JSON lines with checksums.

    Args:
        content: the lines.
        kind: their schema.
        first: the number of the first one, for errors.

    Raises:
        Damage: a line is damaged.
    """
    for number, line in enumerate(content.splitlines(keepends=True), first):
        try:
            check_seal(line)
            yield parse(line, kind)
        except Damage as damage:
            raise Damage(f"line {number}: {damage}") from None


def read_index(content: bytes) -> tuple[ShardHead, list[ShardTrack]]:
    """The content of an index; raises `Damage`."""
    line, newline, rest = content.partition(b"\n")
    head = next(values(line + newline, ShardHead), None)
    tracks = list(values(rest, ShardTrack, 2))
    if head is None or len(tracks) != head.tracks:
        raise Damage("lines are missing")
    return head, tracks


def read_store(storage: Storage) -> StoreNote:
    """The content of `store.json`.

    Raises:
        StoreError: there is none, so the store is not complete; or it is damaged.
    """
    sizes = storage.sizes()
    if STORE not in sizes:
        begun = any(name.endswith(".index.jsonl") for name in sizes)
        why = "a store that is not complete: run" if begun else "no store of shards: check the name, or write one with"
        raise StoreError(f"{storage.url}: {why} musiccli shards --out {storage.url} for every part")
    try:
        note = parse(storage.read([STORE])[0], StoreNote)
    except Damage as damage:
        raise StoreError(f"{storage.address(STORE)}: {damage}; {_again(storage)}") from None
    for name, size in [(shard.name, shard.bytes) for shard in note.shards] + [(catalogue_name(note.catalogue), None)]:
        found = sizes.get(name)
        if found is None or size not in (None, found):
            fault = "is missing" if found is None else f"has {found:,} bytes, not {size:,}"
            raise StoreError(f"{storage.address(name)}: {fault}; {_again(storage)}")
    return note


def read_catalogue(storage: Storage, note: StoreNote) -> list[CatalogueTrack]:
    """The tracks of a complete store.

    Raises:
        StoreError: the catalogue is missing or damaged.
    """
    name = catalogue_name(note.catalogue)
    content = storage.read([name])[0]
    try:
        if digest_of(content) != note.catalogue:
            raise Damage("its checksum is wrong")
        tracks = list(values(content, CatalogueTrack))
        check_catalogue(tracks, note)
    except Damage as damage:
        raise StoreError(f"{storage.address(name)}: {damage}; {_again(storage)}") from None
    return tracks


def check_catalogue(tracks: Sequence[CatalogueTrack], note: StoreNote) -> None:
    """Raise `Damage` if tracks do not fit the shards, or each other."""
    if len(tracks) != note.tracks or len({track.id for track in tracks}) != len(tracks):
        raise Damage(f"not {note.tracks} tracks with different ids")
    for number, track in enumerate(tracks, 1):
        path = PurePath(track.path)  # a backslash separates on Windows; elsewhere it is a character of a name
        if path.anchor or ".." in path.parts or "\0" in track.path:
            raise Damage(f"line {number}: path: not within the folder of the source")
        if track.shard >= len(note.shards):
            raise Damage(f"line {number}: shard: there is none with the number {track.shard}")
        if SAMPLE_BYTES * (track.offset + track.samples) > note.shards[track.shard].bytes:
            raise Damage(f"line {number}: samples: the shard ends before the track")
        if track.error is None and not track.samples:
            raise Damage(f"line {number}: samples: none, and no error")
        if track.genre not in note.genres:
            raise Damage(f"line {number}: genre: not one of the store")


def _again(storage: Storage) -> str:
    return f"write it again with musiccli shards --out {storage.url}, or restore a copy"
