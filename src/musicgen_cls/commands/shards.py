"""`musiccli shards`: write a collection as shards, into a folder or object storage."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from musicgen_cls.collection.collection import describe_problems
from musicgen_cls.collection.journal import Entry
from musicgen_cls.collection.store import Produced, decode_all, file_keys
from musicgen_cls.engines.local import in_threads
from musicgen_cls.engines.on_ray import Engine, cluster_of
from musicgen_cls.errors import SourceError, StoreError, UsageError, check_positive, check_rate, counted
from musicgen_cls.files import shown
from musicgen_cls.shards.layout import SAMPLE_BYTES, CatalogueTrack, LeftOut, Shard, ShardTrack, Side
from musicgen_cls.shards.storage import Storage, storage_of
from musicgen_cls.shards.written import Key, complete, read_written, relative, write_shard
from musicgen_cls.sources.base import Problem, Source, Track
from musicgen_cls.sources.recordings import check_recordings
from musicgen_cls.sources.splits import PUBLISHED

_MOST_MB = 2000.0


def shards(
    source: Source,
    out: str,
    sample_rate: int = 22050,
    part: str = "1 of 1",
    shard_mb: float = 64.0,
    engine: Engine = "local",
    address: str | None = None,
) -> None:
    """Write the decoded tracks of a collection as shards, for the source Shards.

    The same command resumes a stopped run, and adds new files to a complete store.

    Args:
        source: the tracks, such as GTZAN or Folder.
        out: a folder, or a URL such as s3://bucket/music.
        sample_rate: sample rate, Hz; audio of other rates is resampled.
        part: the part of the tracks that this command writes, such as "1 of 4" on the first of four machines. The
            command that finds all tracks written completes the store.
        shard_mb: least size of a shard, MB; the last one can be smaller.
        engine: `local`, or `ray`: decode on a Ray cluster.
        address: of the Ray cluster, `HOST:PORT` or `local`; that of this machine if not set.

    Raises:
        SourceError: no track can be used.
        StoreError: the storage cannot be read or written, or has shards of another sample rate.
        UsageError: an argument is invalid.
    """
    check_rate("--", sample_rate)
    check_positive("--", shard_mb=shard_mb)
    if shard_mb > _MOST_MB:
        raise UsageError(f"--shard_mb {shard_mb:g}: must be at most {_MOST_MB:g}")
    number, parts = _parsed(part)
    mapped = cluster_of(engine, address) or in_threads
    check_recordings(source)
    storage = storage_of(out, "--out")
    written = read_written(storage, sample_rate)  # a storage that cannot be reached is noticed before decoding
    source.prepare()
    tracks = source.tracks()
    files = file_keys(track.path for track in tracks)
    keys = [(track.id, size, time) for track, (_, size, time) in zip(tracks, files, strict=True)]
    own = range(number, len(tracks), parts)
    left = [row for row in own if not written.has(keys[row])]
    if len(left) < len(own):
        print(f"{counted(len(own) - len(left), 'track')} of {len(own)} in this part were written before")
    decoded = decode_all([files[row] for row in left], sample_rate, mapped)
    refused = _write(storage, decoded, [keys[row] for row in left], sample_rate, 1e6 * shard_mb)
    if refused:
        raise StoreError(
            f"{refused[0]} ({counted(len(refused), 'such file')}); make them readable, or take them out of the source, "
            "and run the command again"
        )
    written = read_written(storage, sample_rate)
    stored = [written.find(key) for key in keys]
    found = [place for place in stored if place is not None]
    if len(found) < len(tracks):
        missing = [track.id for track, place in zip(tracks, stored, strict=True) if place is None]
        print(
            f"part {part} is written; {counted(len(missing), 'track')} of other parts still missing, the first: "
            f"{missing[0]}"
        )
        return
    _complete(storage, source, tracks, found, sample_rate)


def _parsed(part: str) -> tuple[int, int]:
    """'2 of 4' to (1, 4): the part, counted from 0, and the number of parts."""
    match = re.fullmatch(r"\s*(\d{1,6})\s*of\s*(\d{1,6})\s*", part)
    number, parts = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= parts:
        raise UsageError(f"--part '{part}': write it like '1 of 4', counted from 1")
    return number - 1, parts


def _write(storage: Storage, decoded: Produced, keys: Sequence[Key], sample_rate: int, size: float) -> list[str]:
    """Write decoded files as shards of about `size` bytes; return the files that could not be opened."""
    samples, tracks, refused = bytearray(), list[ShardTrack](), list[str]()
    for (entry, pcm), key in zip(decoded, keys, strict=True):
        if entry.passing:
            refused.append(f"{entry.path}: {entry.error}")
            continue
        tracks.append(_track(entry, key, len(samples) // SAMPLE_BYTES))
        samples += pcm.tobytes()
        if len(samples) >= size:
            write_shard(storage, sample_rate, bytes(samples), tracks)
            samples, tracks = bytearray(), []
    if tracks:
        write_shard(storage, sample_rate, bytes(samples), tracks)
    return refused


def _track(entry: Entry, key: Key, offset: int) -> ShardTrack:
    return ShardTrack(
        *key, offset, entry.samples, entry.digest, None if entry.artist is None else shown(entry.artist), entry.error
    )


def _complete(
    storage: Storage,
    source: Source,
    tracks: Sequence[Track],
    stored: Sequence[tuple[Shard, ShardTrack]],
    sample_rate: int,
) -> None:
    """Write the catalogue and `store.json`, and print what the store has."""
    used = list(dict.fromkeys(shard for shard, _ in stored))
    place = {shard: number for number, shard in enumerate(used)}
    catalogue = list(_catalogue(source, tracks, stored, place))
    left_out = [track for track in catalogue if track.error is not None]
    if len(left_out) == len(catalogue):
        first = f"; the first: {tracks[0].path}: {left_out[0].error}" if left_out else ""
        raise SourceError(f"{source.location}: none of {len(tracks)} tracks can be used{first}")
    problems = source.problems()
    facts = {
        "sample_rate": sample_rate,
        "genres": list(source.genres),
        "parts_by_name": source.parts_by_name,
        "official_can_leak": source.OFFICIAL_CAN_LEAK,
        "left_out": [LeftOut(shown(relative(own.path, source.location)), own.reason) for own in problems],
    }
    note = complete(storage, catalogue, facts, used)
    hours = note.samples / sample_rate / 3600
    size = sum(shard.bytes for shard in used) / 1e6
    print(
        f"{counted(note.tracks - len(left_out), 'track')}, {hours:.2f} hours, at {sample_rate} Hz, "
        f"{counted(len(used), 'shard')}, {size:,.1f} MB: {storage.url}"
    )
    refused = [Problem(source.location / track.path, f"{track.error}") for track in left_out]
    if refused or problems:
        print(describe_problems([*refused, *problems]))


def _catalogue(
    source: Source, tracks: Sequence[Track], stored: Sequence[tuple[Shard, ShardTrack]], place: Mapping[Shard, int]
) -> Iterator[CatalogueTrack]:
    """A line for each track."""
    notes = source.notes()
    splits = {name: found for name in PUBLISHED if (found := source.official_split(name))}
    for track, (shard, own) in zip(tracks, stored, strict=True):
        known = f" (known: {notes[track.id]})" if own.error is not None and track.id in notes else ""
        sides: dict[str, Side] = {name: side[track.id] for name, side in splits.items() if track.id in side}
        yield CatalogueTrack(
            id=track.id,
            path=shown(relative(track.path, source.location)),
            genre=track.genre,
            shard=place[shard],
            offset=own.offset,
            samples=own.samples,
            digest=own.digest,
            artist=track.artist or own.artist,
            group=track.group,
            error=None if own.error is None else own.error + known,
            sides=sides,
        )
