"""A source's usable tracks with what is in them, and the report on its files that are not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio.io import Waveform, from_pcm
from musicgen_cls.collection.fingerprints import near_keys
from musicgen_cls.collection.grouping import groups_of, reasons, sharing, ties_between, wholes
from musicgen_cls.collection.journal import Entry
from musicgen_cls.collection.store import Store, file_keys
from musicgen_cls.errors import SourceError, StoreError, counted
from musicgen_cls.files import shown
from musicgen_cls.sources.base import Problem, Source, Track
from musicgen_cls.sources.parts import as_part
from musicgen_cls.tables import write_csv

Duplicates = Literal["drop", "keep", "near"]


@dataclass(frozen=True)
class Collection:
    """A source's usable tracks: decoded audio, or whatever else stands in a row in time.

    `items` are those of all tracks, of audio the int16 memory map `[samples]`; track `i` is
    `items[offset[i]:offset[i] + lengths[i]]`, and `digests[i]` is a hash of that. `rate` is in items a second; `folder`
    that of the store, if they are kept in one.

    A track may lie in several files, its parts: each has a row of its own here. `whole[i]` is the row of the first part
    of the track that row `i` belongs to, and `before[i]` the number of that track's items in earlier parts. `grouped`
    says which tracks are tied together, and why; `near` are the ids of those that sound the same.
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
        """Number of tracks, each counted once whatever its parts."""
        return len(np.unique(self.whole))

    def waveform(self, row: int, limit: int | None = None) -> Waveform:
        """The audio of a row, full scale 1, `[samples]`; at most its first `limit` samples."""
        start, length = int(self.offset[row]), int(self.lengths[row])
        return from_pcm(self.items[start : start + (length if limit is None else min(length, limit))])

    def name(self, row: int) -> str:
        """The id of the track that a row belongs to: of parts without their number and ending."""
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
    workers: int | None = None,
) -> Collection:
    """Decode a source into its store, where not done yet, and open it.

    Args:
        source: the tracks.
        sample_rate: Hz.
        cache_dir: folder of the stores; the user's cache folder if None.
        min_seconds: shorter tracks are left out.
        shorter: the arguments to lower where all are too short.
        duplicates: of tracks equal bit for bit `drop` all but the first, or `keep` them tied into one group; `near`
            ties those too that sound the same, as a recording in another format.
        strict: raise `SourceError` if any file that is audio by its name is unusable, instead of going on without it.
        workers: decoding threads; as many as there are cores if None.

    Raises:
        SourceError: no usable track is left, or some are not and `strict` is set.
        StoreError: the store cannot be written.
    """
    listed = source.tracks()
    store = Store.of(source, sample_rate, cache_dir)
    keys = file_keys(track.path for track in listed)  # once: another process may be rewriting a file
    entries = store.fill(keys, workers)
    problems, notes = source.problems(), source.notes()
    by_name = len(problems)
    decoded = [entries[key] for key in keys]
    sound = [entry.error is None for entry in decoded]
    digests = [entry.digest if right else None for entry, right in zip(decoded, sound, strict=True)]
    lengths = [entry.samples / sample_rate if right else None for entry, right in zip(decoded, sound, strict=True)]
    near = near_keys(store.folder, store.audio_file, decoded, sample_rate) if duplicates == "near" else None
    ties = ties_between(listed, digests, lengths, source.names_tell_parts, near)
    groups = groups_of(ties)
    tracks: list[Track] = []
    rows: list[Entry] = []
    kept: list[int] = []
    first: dict[str, Track] = {}
    for row, (track, entry, group) in enumerate(zip(listed, decoded, groups, strict=True)):
        seconds = entry.samples / sample_rate
        twin = first.setdefault(entry.digest, track) if entry.error is None else track
        if entry.error is not None:
            note = f" (known: {notes[track.id]})" if track.id in notes else ""
            problems.append(Problem(track.path, entry.error + note))
        elif seconds < min_seconds:
            problems.append(Problem(track.path, f"too short: {seconds:.2f} s, {min_seconds:g} s are needed"))
        elif twin is not track and duplicates == "drop":
            problems.append(Problem(track.path, f"duplicate, bit for bit, of {twin.path}"))
        else:
            tracks.append(replace(track, seconds=seconds, artist=track.artist or entry.artist, group=group))
            rows.append(entry)
            kept.append(row)
    if strict and len(problems) > by_name:
        raise SourceError(
            f"{problems[by_name]} ({len(problems) - by_name} such files; --data.strict false goes on without them)"
        )
    if not tracks:
        why = f"; the first: {problems[0]}" if problems else ""
        too_short = shorter and any(0 < entry.samples < min_seconds * sample_rate for entry in decoded)
        ways = f"; shorter windows need less: {shorter}" if too_short else ""
        raise SourceError(f"{source.location}: none of {len(listed)} tracks can be used{why}{ways}")
    ties, samples = ties[kept], np.array([entry.samples for entry in rows])
    whole, before = wholes(ties, samples)
    return Collection(
        tracks=tracks,
        problems=problems,
        items=np.memmap(
            store.audio_file,
            dtype=np.int16,
            mode="r",
            shape=(max(entry.offset + entry.samples for entry in rows),),  # past it another process may be writing
        ),
        offset=np.array([entry.offset for entry in rows]),
        lengths=samples,
        digests=[entry.digest for entry in rows],
        rate=sample_rate,
        whole=whole,
        before=before,
        folder=store.folder,
        grouped=reasons(ties, tracks),
        near=sharing(ties.keys["near"], tracks),
    )


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
    """Put tracks together whose items are in memory; copies, equal bit for bit, become a group.

    Args:
        tracks: the tracks.
        problems: files that were left out.
        parts: of each track its items, `[items, ...]`.
        rate: items a second.
        by_name: whether tracks may be parts of others by their names.
        seconds: lengths of the tracks, where they are not those of their items.
        grouped: what has been put together before, and why.
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
    """The integrity report as text: how many files were left out, and each with its reason, `limit` at most."""
    lines = [f"{counted(len(problems), 'file')} left out:"] + [f"  {problem}" for problem in problems[:limit]]
    if len(problems) > limit:
        lines.append(f"  ... and {len(problems) - limit} more")
    return "\n".join(lines)


def write_tables(collection: Collection) -> tuple[Path, Path]:
    """Write `tracks.csv` and `integrity.csv` beside the store; return where they are."""
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
            raise StoreError(f"{path}: cannot be written ({error.strerror}); set --data.cache_dir elsewhere") from error
    return tracks, integrity


def _row(record: Any) -> dict[str, Any]:
    """A row of a table; names of files that are not UTF-8 with escapes."""
    values = asdict(record)
    return values | {"path": shown(values["path"])}
