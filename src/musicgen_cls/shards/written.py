"""What writers of a store of shards do: find what is written, add shards, and complete the store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import to_builtins
from msgspec.structs import asdict

from musicgen_cls.errors import StoreError
from musicgen_cls.formats.records import Damage
from musicgen_cls.shards.layout import (
    STORE,
    CatalogueTrack,
    Shard,
    ShardHead,
    ShardTrack,
    StoreNote,
    catalogue_name,
    check_catalogue,
    index_name,
    read_index,
    sealed_lines,
)
from musicgen_cls.shards.storage import Storage, digest_of

Key = tuple[str, int, int]
"""Identifies a version of a track: its id, and the size, bytes, and modification time, ns, of its file."""

_INDEX = ".index.jsonl"
_AT_ONCE = 1000  # indexes


@dataclass
class Written:
    """The tracks of all finished shards, each with its shard."""

    tracks: dict[Key, tuple[Shard, ShardTrack]] = field(default_factory=dict)
    newest: dict[tuple[str, int], tuple[Shard, ShardTrack]] = field(default_factory=dict)
    """By id and size: copies of a collection on several machines can have other times."""

    def add(self, shard: Shard, tracks: Sequence[ShardTrack]) -> None:
        """Count a shard; a track that two writers wrote counts once."""
        for track in tracks:
            self.tracks.setdefault((track.id, track.size, track.mtime_ns), (shard, track))
            other = self.newest.setdefault((track.id, track.size), (shard, track))[1]
            if track.mtime_ns > other.mtime_ns:
                self.newest[track.id, track.size] = shard, track

    def has(self, key: Key) -> bool:
        """Whether a version of a track is written; a track without a time is known by its size."""
        return key in self.tracks or (*key[:2], 0) in self.tracks

    def find(self, key: Key) -> tuple[Shard, ShardTrack] | None:
        """A track with its shard: this version, or else the newest one of the same size; None without one."""
        return self.tracks.get(key) or self.newest.get(key[:2])


def read_written(storage: Storage, sample_rate: int) -> Written:
    """The finished shards: those whose index is there and whole, and that have the size which it names.

    Raises:
        StoreError: they cannot be read, or have another sample rate.
    """
    sizes, found = storage.sizes(), Written()
    names = sorted(name for name in sizes if name.endswith(_INDEX))
    for name, content in _contents(storage, names):
        try:
            head, tracks = read_index(content)
        except Damage:  # its tracks are written again
            continue
        shard = head.shard
        if name != index_name(shard.digest) or sizes.get(shard.name) != shard.bytes:
            continue
        if head.sample_rate != sample_rate:
            raise StoreError(
                f"{storage.url}: has shards of {head.sample_rate} Hz, not {sample_rate}; set --sample_rate "
                f"{head.sample_rate}, or another --out"
            )
        found.add(shard, tracks)
    return found


def _contents(storage: Storage, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        yield from zip(some, storage.read(some), strict=True)


def write_shard(storage: Storage, sample_rate: int, content: bytes, tracks: Sequence[ShardTrack]) -> Shard:
    """Write a shard, and then its index.

    Args:
        storage: where to.
        sample_rate: Hz.
        content: the samples of its tracks, int16.
        tracks: the tracks, with their offsets.
    """
    shard = Shard(digest_of(content), len(content))
    storage.write(shard.name, content)
    head = to_builtins(ShardHead(shard, sample_rate, len(tracks)))
    storage.write(index_name(shard.digest), sealed_lines([head, *map(asdict, tracks)]))
    return shard


def complete(
    storage: Storage, tracks: Sequence[CatalogueTrack], note: Mapping[str, object], shards: Sequence[Shard]
) -> StoreNote:
    """Check that every shard is there, and write the catalogue and `store.json`.

    Args:
        storage: where to.
        tracks: all tracks, in the order of the source.
        note: the facts about the source, for `StoreNote`.
        shards: the shards of the tracks, in order.

    Raises:
        StoreError: a shard is missing or has another size, or a track does not fit.
    """
    sizes = storage.sizes()
    for shard in shards:
        if sizes.get(shard.name) != shard.bytes:
            raise StoreError(
                f"{storage.address(shard.name)}: has {sizes.get(shard.name, 0):,} bytes, not {shard.bytes:,}; run the "
                "same command again"
            )
    catalogue = sealed_lines([to_builtins(track) for track in tracks])
    digest = digest_of(catalogue)
    samples = sum(track.samples for track in tracks)
    found = StoreNote(tracks=len(tracks), samples=samples, shards=list(shards), catalogue=digest, **note)  # type: ignore[arg-type]
    try:
        check_catalogue(tracks, found)
    except Damage as damage:  # a store that is complete can be read
        raise StoreError(
            f"{storage.url}: {damage}; rename or remove that track, and run the same command again"
        ) from None
    storage.write(catalogue_name(digest), catalogue)
    storage.write(STORE, (json.dumps(to_builtins(found), indent=1) + "\n").encode())
    return found


def relative(path: Path, root: Path) -> str:
    """A path within the folder of a source; only the name if it is elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
