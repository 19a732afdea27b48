"""Form of a score: bars that return.

A bar is the set of its notes as (place in the bar, family, pitch). Two bars match as well as their sets do: the number
of common notes divided by the number of different notes of both (Jaccard index), 1 for equal bars. Durations and
velocities do not count, and neither do bars without notes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from musicgen_cls.notes.score import Notes, bar_starts

Floats = npt.NDArray[np.float64]

DISTANCES = (1, 2, 4, 8)
"""Bars between the bars that are compared."""


def bars_that_return(notes: Notes) -> float:
    """Best match of each bar with any earlier bar, mean over the bars after the first; NaN with fewer than two bars."""
    matches, _ = bar_matches(notes)
    if len(matches) < 2:
        return float("nan")
    earlier = np.tril(matches, -1)
    return float(earlier[1:].max(axis=1).mean())


def self_similarity(notes: Notes) -> dict[int, float]:
    """Mean match of bars that are 1, 2, 4 and 8 bars apart; NaN where no two bars are that far apart.

    Each pair has at least one bar with notes. If the other one has none, then the match is 0.
    """
    matches, number = bar_matches(notes)
    row_of = {int(bar): row for row, bar in enumerate(number)}
    last = int(number.max(initial=-1))
    found: dict[int, float] = {}
    for apart in DISTANCES:
        pairs = [(row_of.get(bar), row_of.get(bar - apart)) for bar in range(apart, last + 1)]
        values = [0.0 if None in pair else float(matches[pair]) for pair in pairs if pair != (None, None)]
        found[apart] = float(np.mean(values)) if values else float("nan")
    return found


def bar_matches(notes: Notes) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The match of every pair of bars with notes, `[bars, bars]`, and the number of each such bar, `[bars]`."""
    from scipy.sparse import csr_array

    starts, first, bar = np.unique(bar_starts(notes), return_index=True, return_inverse=True)
    kind = np.stack([notes[field].astype(np.int64) for field in ("place", "family", "pitch")], axis=1)
    kinds, kind_of = np.unique(kind @ [256 * 256, 256, 1], return_inverse=True)
    held = csr_array((np.ones(len(notes)), (bar, kind_of)), shape=(len(starts), len(kinds)))
    held.data[:] = 1.0  # equal notes of a bar count once
    common = np.asarray((held @ held.T).todense(), dtype=np.float64)
    size = common.diagonal()
    return common / np.maximum(size[:, None] + size - common, 1.0), _bar_numbers(notes, starts, first)


def _bar_numbers(notes: Notes, starts: npt.NDArray[np.int64], first: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The number of each bar with notes: bars without notes have the length of the bar before them."""
    lengths = np.maximum(notes["bar"][first].astype(np.float64), 1)
    passed = np.maximum(np.rint(np.diff(starts) / lengths[:-1]), 1).astype(np.int64)
    return np.concatenate([np.zeros(min(1, len(starts)), np.int64), np.cumsum(passed)])
