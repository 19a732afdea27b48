"""Whether a score can be played: notes at once, notes that clash, notes that never end, instruments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen_cls.notes.families import DRUMS
from musicgen_cls.notes.score import GRID, Notes

LONGEST_BEATS = 16.0
"""A pitched note that lasts longer, in beats, counts as one that never ends: four bars of 4/4."""


@dataclass(frozen=True)
class Playing:
    """How a score is to be played.

    `clashes`: notes that begin while the same pitch of their family sounds. `endless`: pitched notes of more than 16
    beats. `most_at_once`: the highest number of notes that sound together. `mean_at_once`: its mean over the time from
    the first onset to the last end. `instruments`: number of families. `notes_per_beat`: over the same time.
    """

    clashes: int
    endless: int
    most_at_once: int
    mean_at_once: float
    instruments: int
    notes_per_beat: float


def playing(notes: Notes) -> Playing:
    """How a score is to be played; all values are 0 without notes."""
    if not len(notes):
        return Playing(0, 0, 0, 0.0, 0, 0.0)
    onset = notes["onset"].astype(np.int64) - int(notes["onset"].min())
    end = onset + notes["duration"]
    length = int(end.max())
    begun, ended = (np.bincount(at, minlength=length + 1) for at in (onset, end))
    sounding = np.cumsum(begun - ended)[:length]
    pitched = notes["family"] != DRUMS
    return Playing(
        clashes=_clashes(notes),
        endless=int(np.sum(pitched & (notes["duration"] > LONGEST_BEATS * GRID))),
        most_at_once=int(sounding.max()),
        mean_at_once=float(sounding.mean()),
        instruments=len(np.unique(notes["family"])),
        notes_per_beat=len(notes) * GRID / length,
    )


def _clashes(notes: Notes) -> int:
    """Notes that begin before the last one of the same family and pitch has ended."""
    ordered = notes[np.lexsort((notes["onset"], notes["pitch"], notes["family"]))]
    now, after = ordered[:-1], ordered[1:]
    same = (now["family"] == after["family"]) & (now["pitch"] == after["pitch"])
    return int(np.sum(same & (after["onset"] < now["onset"].astype(np.int64) + now["duration"])))
