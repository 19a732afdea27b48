"""Excerpts of scores: of equal length, so that their measures can be compared."""

from __future__ import annotations

import numpy as np

from musicgen_cls.notes.score import Notes, bar_starts, onset_seconds


def excerpt(notes: Notes, seconds: float | None = 30.0, most: int | None = 384, start_s: float = 0.0) -> Notes:
    """Whole bars of a score from a time on: at most `seconds` and at most `most` notes, but one bar at least.

    The first bar of the excerpt begins at onset 0. An excerpt that would begin after the last bar is empty.

    Args:
        notes: the score.
        seconds: longest time from the first onset to the last one, s; without limit if None.
        most: highest number of notes; without limit if None.
        start_s: time from which on the first bar may begin, s from the first beat of the score.
    """
    times, starts = onset_seconds(notes), bar_starts(notes)
    opens = np.append([True], starts[1:] != starts[:-1])[: len(notes)]  # the first note of a bar
    rows = np.flatnonzero(opens & (times >= start_s))
    if not len(rows):
        return notes[:0]
    bars = np.append(rows, len(notes)) - rows[0]  # the first note of each bar, and the end
    kept, at = notes[rows[0] :].copy(), times[rows[0] :] - times[rows[0]]
    within = len(kept) if seconds is None else int(np.searchsorted(at, seconds))
    within = within if most is None else min(within, most)
    kept = kept[: max(bars[bars <= within][-1], bars[1])]
    kept["onset"] -= int(starts[rows[0]])
    return kept
