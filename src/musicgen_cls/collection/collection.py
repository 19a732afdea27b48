"""A source's usable tracks with their content, and a report on the unusable files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio.io import Waveform, from_pcm
from musicgen_cls.collection.fingerprints import near_keys
from musicgen_cls.collection.grouping import Ties, groups_of, reasons, sharing, ties_between, wholes
from musicgen_cls.collection.journal import Entry
from musicgen_cls.collection.sharded import ShardStore
from musicgen_cls.collection.store import Store, decode_all, file_keys
from musicgen_cls.engines.local import Mapped, in_threads
from musicgen_cls.errors import SourceError, StoreError, counted
from musicgen_cls.files import shown
from musicgen_cls.notes.midi import SUFFIXES
from musicgen_cls.remote.url import absolute
from musicgen_cls.sources.base import Problem, Source, Track
from musicgen_cls.sources.parts import as_part
from musicgen_cls.sources.shards import Shards
from musicgen_cls.tables import write_csv

Duplicates = Literal["drop", "keep", "near"]


@dataclass(frozen=True)
class Collection:
    """A source's usable tracks: decoded audio, or other items that follow one another in time.

    `items` are the items of all tracks; for audio they are an int16 memory map `[samples]`, or shards in its place.
    Track `i` is `items[offset[i]:offset[i] + lengths[i]]`, and `digests[i]` is the hash of it. `rate` is the number of
    items per second. `folder` is the folder of the store; None without a store.

    A track can consist of several files, its parts. Each part has its own row here. `whole[i]` is the row of the first
    part of the track of row `i`, and `before[i]` is the number of items in the earlier parts. `grouped` are sentences
    on tracks that belong together, with the reasons. `near` are the ids of tracks that sound the same.
    """

    tracks: list[Track]
    problems: list[Problem]
    items: npt.NDArray[Any]
    offset: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    digests: list[str]
    rate: float
    whole: npt.NDArray[np.int64]
    before: npt.NDArray[np.int64]
    folder: Path | None = None
    grouped: list[str] = field(default_factory=list)
    near: list[list[str]] = field(default_factory=list)

    @property
    def whole_tracks(self) -> int:
        """Number of tracks; a track of several parts counts once."""
        return len(np.unique(self.whole))

    def waveform(self, row: int, limit: int | None = None) -> Waveform:
        """The audio of a row, full scale 1, `[samples]`; at most its first `limit` samples."""
        start, length = int(self.offset[row]), int(self.lengths[row])
        return from_pcm(self.items[start : start + (length if limit is None else min(length, limit))])

    def name(self, row: int) -> str:
        """The id of the track of a row; if the row is a part, without its number and suffix."""
        return self._names[row]

    @cached_property
    def _names(self) -> list[str]:
        parted = np.bincount(self.whole, minlength=len(self.tracks))[self.whole] > 1
        parts = [as_part(track.id) if several else None for track, several in zip(self.tracks, parted, strict=True)]
        return [part[0].whole if part else track.id for track, part in zip(self.tracks, parts, strict=True)]


def collect(
    source: Source,
    sample_rate: int,
    *,
    cache_dir: str | None = None,
    min_seconds: float = 0.0,
    shorter: str = "",
    duplicates: Duplicates = "drop",
    strict: bool = False,
    mapped: Mapped = in_threads,
) -> Collection:
    """Decode the files of a source that are not in its store yet, and open the store.

    Args:
        source: the tracks.
        sample_rate: Hz.
        cache_dir: folder of the stores; the user's cache folder if None.
        min_seconds: shorter tracks are left out.
        shorter: the arguments to lower if all tracks are too short, for the error.
        duplicates: if tracks are equal bit for bit, `drop` all but the first, or `keep` them in one group; `near` also
            puts tracks into one group that sound the same, such as one recording in two formats.
        strict: raise `SourceError` if a file with an audio suffix is unusable, instead of leaving it out.
        mapped: where files are decoded: in threads, or on a cluster.

    Raises:
        SourceError: no track is usable, or `strict` is set and a file is unusable.
        StoreError: the store cannot be written, or a store of shards cannot be read.
    """
    if source.suffixes == SUFFIXES:
        raise SourceError(f"{source.location}: {source.name} has scores, not recordings; use NoteWindows for them")
    listed = source.tracks()
    store, decoded = _decoded(source, listed, sample_rate, cache_dir, mapped)
    usable = [entry.error is None for entry in decoded]
    digests = [entry.digest if right else None for entry, right in zip(decoded, usable, strict=True)]
    lengths = [entry.samples / sample_rate if right else None for entry, right in zip(decoded, usable, strict=True)]
    near = near_keys(store, decoded, sample_rate) if duplicates == "near" else None
    ties = ties_between(listed, digests, lengths, source.parts_by_name, near)
    reasons_out = reasons_to_leave_out(listed, decoded, lengths, min_seconds, duplicates, source.notes())
    too_short = shorter and any(0 < entry.samples < min_seconds * sample_rate for entry in decoded)
    remedy = f"; use shorter windows: lower {shorter}" if too_short else ""
    return opened(source, store, decoded, lengths, ties, reasons_out, np.int16, sample_rate, strict, remedy)


def _decoded(
    source: Source, listed: Sequence[Track], sample_rate: int, cache_dir: str | None, mapped: Mapped
) -> tuple[Store | ShardStore, list[Entry]]:
    """The store of a source, with the entry of each track; files are decoded first, shards are ready."""
    if isinstance(source, Shards):
        shards = ShardStore(source, sample_rate, cache_dir)
        return shards, shards.entries
    store = Store.of(source, sample_rate, cache_dir)
    keys = file_keys(track.path for track in listed)  # once: another process may be rewriting a file
    entries = store.fill(keys, partial(decode_all, sample_rate=sample_rate, mapped=mapped))
    return store, [entries[key] for key in keys]


def opened(
    source: Source,
    store: Store | ShardStore,
    entries: Sequence[Entry],
    lengths: Sequence[float | None],
    ties: Ties,
    reasons_out: Sequence[str],
    kind: npt.DTypeLike,
    rate: float,
    strict: bool,
    remedy: str = "",
) -> Collection:
    """The usable tracks of a source with their items as a memory map.

    Args:
        source: the tracks.
        store: their store.
        entries: the entry of each track in the store.
        lengths: length of each track, s; None for a file that cannot be used.
        ties: why tracks belong together.
        reasons_out: why each track is left out; an empty text for those that are used.
        kind: the type of the items.
        rate: items per second.
        strict: raise `SourceError` if a track is left out.
        remedy: what to do if none can be used, for the error.
    """
    listed, groups = source.tracks(), groups_of(ties)
    found = [Problem(track.path, reason) for track, reason in zip(listed, reasons_out, strict=True) if reason]
    problems = [*source.problems(), *found]
    if strict and found:
        raise SourceError(f"{found[0]} ({len(found)} such files; --data.strict false leaves them out)")
    kept = [row for row, reason in enumerate(reasons_out) if not reason]
    if not kept:
        why = f"; the first: {problems[0]}" if problems else ""
        raise SourceError(f"{source.location}: none of {len(listed)} tracks can be used{why}{remedy}")
    rows = [entries[row] for row in kept]
    tracks = [
        replace(track, seconds=lengths[row], artist=track.artist or entries[row].artist, group=groups[row])
        for row, track in enumerate(listed)
        if not reasons_out[row]
    ]
    number = np.array([entry.samples for entry in rows])
    whole, before = wholes(ties[kept], number)
    return Collection(
        tracks=tracks,
        problems=problems,
        items=store.items(rows, kind),
        offset=np.array([entry.offset for entry in rows]),
        lengths=number,
        digests=[entry.digest for entry in rows],
        rate=rate,
        whole=whole,
        before=before,
        folder=store.folder,
        grouped=reasons(ties[kept], tracks),
        near=sharing(ties[kept].keys["near"], tracks),
    )


def reasons_to_leave_out(
    listed: Sequence[Track],
    decoded: Sequence[Entry],
    lengths: Sequence[float | None],
    min_seconds: float,
    duplicates: Duplicates,
    notes: Mapping[str, str],
) -> list[str]:
    """Why each track is not used; an empty text for those that are.

    Args:
        listed: the tracks.
        decoded: the entry of each in the store.
        lengths: length of each, s; None for a file that cannot be used.
        min_seconds: least length.
        duplicates: whether exact copies of earlier tracks are left out.
        notes: known damages of files, by track id.
    """
    reasons: list[str] = []
    first: dict[str, Track] = {}
    for track, entry, seconds in zip(listed, decoded, lengths, strict=True):
        twin = first.setdefault(entry.digest, track) if entry.error is None else track
        reason = ""
        if entry.error is not None or seconds is None:
            reason = f"{entry.error}" + (f" (known: {notes[track.id]})" if track.id in notes else "")
        elif seconds < min_seconds:
            reason = f"too short: {seconds:.2f} s, but {min_seconds:g} s are needed"
        elif twin is not track and duplicates == "drop":
            reason = f"an exact copy of {twin.path}"
        reasons.append(reason)
    return reasons


def join(
    tracks: Sequence[Track],
    problems: list[Problem],
    parts: Sequence[npt.NDArray[Any]],
    rate: float,
    *,
    by_name: bool = False,
    seconds: Sequence[float] | None = None,
    grouped: Sequence[str] = (),
) -> Collection:
    """A collection of tracks whose items are in memory; exact copies become a group.

    Args:
        tracks: the tracks.
        problems: files that were left out.
        parts: the items of each track, `[items, ...]`.
        rate: items per second.
        by_name: whether the names of tracks tell which are parts of one track.
        seconds: lengths of the tracks; computed from their items if None.
        grouped: sentences on rows that were already put together, with the reasons.
    """
    digests = [hashlib.sha256(part.tobytes()).hexdigest() for part in parts]
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    ties = ties_between(tracks, digests, (lengths / rate).tolist() if seconds is None else seconds, by_name)
    whole, before = wholes(ties, lengths)
    return Collection(
        tracks=[replace(track, group=group) for track, group in zip(tracks, groups_of(ties), strict=True)],
        problems=problems,
        items=np.concatenate(parts),
        offset=np.cumsum(lengths) - lengths,
        lengths=lengths,
        digests=digests,
        rate=rate,
        whole=whole,
        before=before,
        grouped=[*grouped, *reasons(ties, tracks)],
    )


def describe_problems(problems: Sequence[Problem], limit: int = 10) -> str:
    """The integrity report as text: the number of files left out, and at most `limit` of them with their reasons."""
    first = (f"  {shown(str(problem))}" for problem in problems[:limit])
    lines = [f"{counted(len(problems), 'file')} left out:", *first]
    if len(problems) > limit:
        lines.append(f"  ... and {len(problems) - limit} more")
    return "\n".join(lines)


def write_tables(collection: Collection) -> tuple[Path, Path]:
    """Write `tracks.csv` and `integrity.csv` into the store's folder; return their paths."""
    assert collection.folder is not None
    tracks, integrity = collection.folder / "tracks.csv", collection.folder / "integrity.csv"
    tables: dict[Path, tuple[Sequence[Any], type]] = {
        tracks: (collection.tracks, Track),
        integrity: (collection.problems, Problem),
    }
    for path, (rows, kind) in tables.items():
        try:
            write_csv(path, [column.name for column in fields(kind)], (_row(row) for row in rows))
        except OSError as error:
            raise StoreError(
                f"{path}: cannot be written ({error.strerror}); set --data.cache_dir to another folder"
            ) from error
    return tracks, integrity


def _row(record: Track | Problem) -> dict[str, Any]:
    """A row of a table; paths are absolute, and names that are not UTF-8 have escapes."""
    values = {column.name: getattr(record, column.name) for column in fields(record)}
    return values | {"path": shown(absolute(record.path))}
