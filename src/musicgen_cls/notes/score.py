"""A score: notes on a grid of twelve steps a beat, each with its metre, tempo and key."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

GRID = 12
"""Steps in a beat (a quarter note): sixteenths are 3 steps, triplets 4."""

NOTE = np.dtype(
    [
        ("onset", "<i4"),  # steps from the start of the piece, whose first bar begins at 0
        ("duration", "u1"),  # steps, 1 or more
        ("place", "u1"),  # steps from the start of its bar
        ("bar", "u1"),  # length of its bar, steps; 48 for 4/4
        ("tempo", "u1"),  # beats per minute
        ("key", "u1"),  # tonic of the piece, 0 for C to 11 for B; 12 more for minor
        ("family", "u1"),  # number of the instrument family, see `families.FAMILIES`
        ("pitch", "u1"),  # MIDI pitch; for drums the number of the drum
        ("velocity", "u1"),  # 1 to 127
    ]
)
"""A note, 12 bytes. Notes are sorted by onset, family and pitch."""

Notes = npt.NDArray[np.void]
"""Notes of a piece, `NOTE` `[notes]`."""

LONGEST_BAR = 255
"""Steps in the longest bar that a note can have."""


def notes_of(**columns: npt.ArrayLike) -> Notes:
    """Sorted notes from a column for each field of `NOTE`, `[notes]` or one number for all notes.

    Durations and tempos are clipped to what the fields hold.
    """
    onset = np.asarray(columns["onset"])
    notes = np.zeros(len(onset), NOTE)
    for name in NOTE.names or ():
        values = np.asarray(columns[name])
        if name in ("duration", "tempo", "velocity"):
            values = np.clip(values, 1, 127 if name == "velocity" else 255)
        notes[name] = values
    return sort_notes(notes)


def sort_notes(notes: Notes) -> Notes:
    """Notes by onset, family and pitch; of equal notes the longest stays."""
    order = np.lexsort((-notes["duration"].astype(int), notes["pitch"], notes["family"], notes["onset"]))
    notes = notes[order]
    same = np.zeros(len(notes), bool)
    same[1:] = (
        (notes["onset"][1:] == notes["onset"][:-1])
        & (notes["family"][1:] == notes["family"][:-1])
        & (notes["pitch"][1:] == notes["pitch"][:-1])
    )
    return notes[~same]


def onset_seconds(notes: Notes) -> npt.NDArray[np.float64]:
    """Time of each note, s, from the first beat of the piece; the tempo of a note lasts until the next note."""
    if not len(notes):
        return np.zeros(0)
    steps = np.diff(notes["onset"].astype(np.float64))
    first = notes["onset"][0] * step_seconds(notes["tempo"][:1])
    return np.concatenate([first, first + np.cumsum(steps * step_seconds(notes["tempo"][:-1]))])


def step_seconds(tempo: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Length of a step at a tempo in beats per minute, s."""
    return 60.0 / GRID / np.asarray(tempo, dtype=np.float64)


def length_seconds(notes: Notes) -> float:
    """Time at which the last note ends, s; 0 without notes."""
    if not len(notes):
        return 0.0
    return float(np.max(onset_seconds(notes) + notes["duration"] * step_seconds(notes["tempo"])))


def bar_starts(notes: Notes) -> npt.NDArray[np.int64]:
    """The onset of the bar of each note, steps, int64 `[notes]`."""
    return np.asarray(notes["onset"].astype(np.int64) - notes["place"])


def transposed(notes: Notes, semitones: int) -> Notes:
    """Notes moved by semitones; drums stay.

    Notes that would leave the pitches 0 to 127 all move by an octave less; if they then leave them too, all stay.
    """
    pitch = notes["pitch"][notes["family"] != 0].astype(int)
    fits = [by for by in (semitones, semitones - 12, semitones + 12) if _in_range(pitch + by)]
    by = fits[0] if fits else 0
    return _with_pitches(notes, pitch + by, by)


def moved_back(notes: Notes, semitones: int) -> Notes:
    """Notes moved by semitones, without overlaps; drums stay.

    A note that would leave the pitches 0 to 127 moves to the nearest octave within them. The others move exactly, so
    that a prompt has its own pitches again.
    """
    pitch = notes["pitch"][notes["family"] != 0].astype(int) + semitones
    pitch += 12 * np.maximum(0, -(pitch // 12))  # up, where it is below 0
    pitch -= 12 * np.maximum(0, -((127 - pitch) // 12))  # down, where it is above 127
    return without_overlaps(sort_notes(_with_pitches(notes, pitch, semitones)))


def _with_pitches(notes: Notes, pitch: npt.NDArray[np.int64], semitones: int) -> Notes:
    """Notes whose pitched ones have other pitches, and whose tonic is moved by semitones."""
    moved = notes.copy()
    moved["pitch"][moved["family"] != 0] = pitch
    key = moved["key"].astype(int)
    moved["key"] = key // 12 * 12 + (key % 12 + semitones) % 12
    return moved


def _in_range(pitch: npt.NDArray[np.int64]) -> bool:
    return not len(pitch) or (int(pitch.min()) >= 0 and int(pitch.max()) <= 127)


def without_overlaps(notes: Notes) -> Notes:
    """Notes that end where the same pitch of their family begins again, so that none sounds twice at once."""
    cut = notes.copy()
    order = np.lexsort((notes["onset"], notes["pitch"], notes["family"]))
    now, after = notes[order[:-1]], notes[order[1:]]
    again = (now["family"] == after["family"]) & (now["pitch"] == after["pitch"])
    free = after["onset"] - now["onset"]
    rows = order[:-1][again]
    cut["duration"][rows] = np.minimum(cut["duration"][rows], free[again])
    return cut
