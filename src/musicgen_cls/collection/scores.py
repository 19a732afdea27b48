"""Scores of a source: every MIDI file is read once, and its notes are kept in a store, 12 bytes each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from musicgen_cls.collection.collection import Collection, Duplicates, opened, reasons_to_leave_out
from musicgen_cls.collection.grouping import ties_between
from musicgen_cls.collection.journal import Entry, Key
from musicgen_cls.collection.store import Produced, Store, file_keys
from musicgen_cls.errors import ScoreError, SourceError, counted
from musicgen_cls.notes.families import DRUMS
from musicgen_cls.notes.midi import SUFFIXES, read_midi
from musicgen_cls.notes.pulse import LEAST_PULSE, pulse
from musicgen_cls.notes.score import NOTE, Notes, length_seconds
from musicgen_cls.notes.tunes import same_title, same_tune
from musicgen_cls.remote.url import path_of
from musicgen_cls.sources.base import Source, Track

_READING = 2  # raise when the same file gives other notes, so that older stores are not used


def collect_scores(
    source: Source,
    *,
    cache_dir: str | None = None,
    min_notes: int = 1,
    shorter: str = "",
    duplicates: Duplicates = "drop",
    strict: bool = False,
) -> Collection:
    """Read the scores of a source that are not in its store yet, and open the store.

    The items of the collection are notes, `NOTE`; its rate is 1. Versions of one tune are a group.

    Args:
        source: the scores, such as `MidiFolder`.
        cache_dir: folder of the stores; the user's cache folder if None.
        min_notes: pieces with fewer notes are left out.
        shorter: the arguments to lower if all pieces have fewer notes, for the error.
        duplicates: if pieces are equal note for note, `drop` all but the first, or `keep` them in one group.
        strict: raise `SourceError` if a file is unusable, instead of leaving it out.

    Raises:
        SourceError: no piece is usable, the source has recordings, or `strict` is set and a file is unusable.
        StoreError: the store cannot be written.
    """
    if source.suffixes != SUFFIXES:
        raise SourceError(
            f"{source.location}: {source.name} has recordings, not scores; use MidiFolder or SyntheticScores"
        )
    listed = source.tracks()
    store = Store.of(source, f"notes{_READING}", cache_dir, "notes.bin", NOTE.itemsize)
    keys = file_keys(track.path for track in listed)
    found = store.fill(keys, _read_all)
    entries = [found[key] for key in keys]
    pieces = list(_pieces(store, entries))
    lengths = [None if notes is None else length_seconds(notes) for notes in pieces]
    digests = [entry.digest if entry.error is None else None for entry in entries]
    ties = ties_between(listed, digests, lengths, by_name=False)
    reasons_out = reasons_to_leave_out(listed, entries, lengths, 0.0, duplicates, source.notes())
    for row, notes in enumerate(pieces):
        if notes is not None and len(notes) < min_notes:
            reasons_out[row] = f"too short: {counted(len(notes), 'note')}, but {min_notes} are needed"
    if source.has_versions:
        used = [None if reason else notes for notes, reason in zip(pieces, reasons_out, strict=True)]
        ties.keys.update(_versions(listed, used))
    too_short = shorter and any(entry.error is None and entry.samples < min_notes for entry in entries)
    remedy = f"; use shorter windows: lower {shorter}" if too_short else ""
    return opened(source, store, entries, lengths, ties, reasons_out, NOTE, 1, strict, remedy)


def _versions(tracks: Sequence[Track], pieces: Sequence[Notes | None]) -> dict[str, list[str | None]]:
    """Keys that versions of one tune share, by title and by notes; None for pieces that are left out."""
    rows = [row for row, notes in enumerate(pieces) if notes is not None]
    keys = {
        "title": same_title([tracks[row].path.name for row in rows]),
        "tune": same_tune([notes for notes in pieces if notes is not None]),
    }
    found = {why: dict(zip(rows, own, strict=True)) for why, own in keys.items()}
    return {why: [own.get(row) for row in range(len(tracks))] for why, own in found.items()}


def _pieces(store: Store, entries: Sequence[Entry]) -> Iterator[Notes | None]:
    """The notes of each entry; None for a file that cannot be used."""
    usable = [entry for entry in entries if entry.error is None]
    items = np.asarray(store.items(usable, NOTE)) if usable else np.zeros(0, NOTE)
    for entry in entries:
        yield items[entry.offset : entry.end] if entry.error is None else None


def _read_all(keys: Sequence[Key]) -> Produced:
    from tqdm import tqdm

    for key in tqdm(keys, desc="Reading scores", unit="piece"):
        yield _read(key)


def _read(key: Key) -> tuple[Entry, Notes]:
    """Read one file: its entry, still without an offset, and its notes (none if the file is unusable)."""
    path, entry = path_of(key[0]), Entry(*key)
    try:
        notes = read_midi(path)
        _check_music(path, notes)
    except ScoreError as error:
        reason = str(error).removeprefix(f"{path}: ")
        return replace(entry, error=reason, passing=isinstance(error.__cause__, OSError)), np.zeros(0, NOTE)
    digest = hashlib.sha1(notes.tobytes(), usedforsecurity=False).hexdigest()
    return replace(entry, samples=len(notes), digest=digest), notes


def _check_music(path: Path, notes: Notes) -> None:
    """Raise `ScoreError` for notes that no network should learn from."""
    if np.all(notes["family"] == DRUMS):
        raise ScoreError(f"{path}: only drums; use a score with other instruments too")
    if (found := pulse(notes)) < LEAST_PULSE:
        raise ScoreError(
            f"{path}: no metre: its onsets are spread evenly over the beat (pulse {found:.2f}, but {LEAST_PULSE:g} is "
            "needed); use a score that was written or played to a beat"
        )
