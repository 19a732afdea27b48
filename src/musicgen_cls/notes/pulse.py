"""How well onsets keep to the beat."""

from __future__ import annotations

import numpy as np

from musicgen_cls.notes.score import GRID, Notes

LEAST_PULSE = 0.1
"""A piece with less was played without a metronome or written without a metre: its grid and bars mean nothing."""


def pulse(notes: Notes) -> float:
    """How well the onsets keep to the beat and its equal parts: 1 for all on the beat, 0 for evenly spread.

    The places of the onsets in the beat are angles: a whole turn is a beat, its half, third or fourth. The measure is
    the length of the mean of their unit vectors, the largest of these four. Chords count once.
    """
    if not len(notes):
        return 0.0
    places = np.bincount(np.unique(notes["onset"]) % GRID, minlength=GRID)
    turns = np.abs(np.fft.rfft(places / places.sum()))
    return float(turns[1:5].max())
