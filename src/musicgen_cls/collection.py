"""A source's usable tracks with what is in them, and the report on its files that are not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from musicgen_cls.errors import SourceError, StoreError, counted
from musicgen_cls.journal import Entry
from musicgen_cls.paths import writing
from musicgen_cls.sources.track import Problem, Source, Track, connected
from musicgen_cls.store import Store, file_keys


@dataclass(frozen=True)
class Collection:
    """A source's usable tracks: decoded audio, or whatever else stands in a row in time.

    `items` are those of all tracks, of audio the int16 memory map `[samples]`; track `i` is
    `items[offset[i]:offset[i] + lengths[i]]`, and `digests[i]` is a hash of that. `rate` is in items a second; `folder`
    that of the store, if they are kept in one.
    """

    tracks: list[Track]
    problems: list[Problem]
    items: npt.NDArray[Any]
    offset: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    digests: list[str]
    rate: float
    folder: Path | None = None


def collect(
    source: Source,
    sample_rate: int,
    *,
    cache_dir: str | None = None,
    min_seconds: float = 0.0,
    shorter: str = "",
    duplicates: Literal["drop", "keep"] = "drop",
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
        duplicates: of tracks equal bit for bit `drop` all but the first, or `keep` them tied into one group.
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
    groups = groups_of_copies(listed, [entry.digest if entry.error is None else None for entry in decoded])
    tracks: list[Track] = []
    rows: list[Entry] = []
    first: dict[str, Track] = {}
    for track, entry, group in zip(listed, decoded, groups, strict=True):
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
    if strict and len(problems) > by_name:
        raise SourceError(
            f"{problems[by_name]} ({len(problems) - by_name} such files; --data.strict false goes on without them)"
        )
    if not tracks:
        why = f"; the first: {problems[0]}" if problems else ""
        too_short = shorter and any(0 < entry.samples < min_seconds * sample_rate for entry in decoded)
        ways = f"; shorter windows need less: {shorter}" if too_short else ""
        raise SourceError(f"{source.location}: none of {len(listed)} tracks can be used{why}{ways}")
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
        lengths=np.array([entry.samples for entry in rows]),
        digests=[entry.digest for entry in rows],
        rate=sample_rate,
        folder=store.folder,
    )


def join(
    tracks: Sequence[Track], problems: list[Problem], parts: Sequence[npt.NDArray[Any]], rate: float
) -> Collection:
    """Put tracks together whose items are in memory; copies, equal bit for bit, become a group.

    Args:
        tracks: the tracks.
        problems: files that were left out.
        parts: of each track its items, `[items, ...]`.
        rate: items a second.
    """
    digests = [hashlib.sha256(part.tobytes()).hexdigest() for part in parts]
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    groups = groups_of_copies(tracks, digests)
    return Collection(
        tracks=[replace(track, group=group) for track, group in zip(tracks, groups, strict=True)],
        problems=problems,
        items=np.concatenate(parts),
        offset=np.cumsum(lengths) - lengths,
        lengths=lengths,
        digests=digests,
        rate=rate,
    )


def groups_of_copies(tracks: Sequence[Track], digests: Sequence[str | None]) -> list[str | None]:
    """A name for every set of tracks that are the same recording: known to be, or equal bit for bit.

    Args:
        tracks: the tracks.
        digests: a hash of what is in each; None for one that cannot be read.
    """
    ties = [
        [("known", track.group)] * (track.group is not None) + [("digest", digest)] * (digest is not None)
        for track, digest in zip(tracks, digests, strict=True)
    ]
    labels = connected(ties)
    sizes = np.bincount(labels)
    names = {label: track.group for track, label in zip(tracks, labels, strict=True) if track.group is not None}
    return [names.get(label, f"copies {label}") if sizes[label] > 1 else None for label in labels]


def describe_problems(problems: Sequence[Problem], limit: int = 10) -> str:
    """The integrity report as text: how many files were left out, and each with its reason, `limit` at most."""
    lines = [f"{counted(len(problems), 'file')} left out:"] + [f"  {problem}" for problem in problems[:limit]]
    if len(problems) > limit:
        lines.append(f"  ... and {len(problems) - limit} more")
    return "\n".join(lines)


def write_tables(collection: Collection) -> tuple[Path, Path]:
    """Write `tracks.csv` and `integrity.csv` beside the store; return where they are."""
    import pandas as pd

    assert collection.folder is not None
    tracks, integrity = collection.folder / "tracks.csv", collection.folder / "integrity.csv"
    tables = {
        tracks: pd.DataFrame([asdict(track) for track in collection.tracks]),
        integrity: pd.DataFrame([asdict(problem) for problem in collection.problems], columns=["path", "reason"]),
    }
    for path, table in tables.items():
        try:
            with writing(path) as temporary:
                table.to_csv(temporary, index=False)
        except OSError as error:
            raise StoreError(f"{path}: cannot be written ({error.strerror}); set --data.cache_dir elsewhere") from error
    return tracks, integrity
