"""Copying: the longest run of notes of a score that stands in a training score, at any pitch and any tempo.

A line is the pitched notes of one family, sorted by onset and pitch. It is compared as steps: the interval to the next
note in semitones and the time to it on the grid. Transposed copies, copies by another instrument and copies in another
place are thus found. Drums do not count: many pieces share their patterns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from musicgen_cls.notes.families import DRUMS
from musicgen_cls.notes.score import Notes

Ints = npt.NDArray[np.int64]

LONGEST_GAP = 255
"""Longer times to the next note, in steps of the grid, count as this one."""


class RunIndex:
    """Finds runs of notes in training scores with a suffix array.

    Manber and Myers 1993, "Suffix arrays: a new method for on-line string searches", SIAM Journal on Computing 22(5),
    935-948: the sorting by doubled prefixes. Building takes n log n time for n notes.

    Args:
        training: the training scores.
    """

    def __init__(self, training: Iterable[Notes]) -> None:
        parts: list[Ints] = []
        for notes in training:
            for steps in lines(notes):
                parts += [steps, np.array([-1])]  # no step of a score is -1, so that no run crosses it
        self._steps = np.concatenate([*parts, np.array([-1])]).astype(np.int32)
        self._order = _suffix_array(self._steps)

    def longest_runs(self, notes: Notes) -> Ints:
        """Number of notes of the longest run that begins at each note but the last of each line, `[notes]`.

        A note whose step to the next one stands nowhere in the training scores has a run of 1 note.
        """
        return np.concatenate([np.zeros(0, np.int64), *(self._matches(steps) + 1 for steps in lines(notes))])

    def longest_run(self, notes: Notes) -> int:
        """Number of notes of the longest run that stands in a training score; 0 without a line of two notes."""
        return int(self.longest_runs(notes).max(initial=0))

    def _matches(self, steps: Ints) -> Ints:
        """Length of the longest match that begins at each step, `[steps]`.

        The suffixes that match are an interval of the suffix array. Each turn narrows the intervals of all steps by
        one step more, until they are empty.
        """
        length = np.zeros(len(steps), np.int64)
        active = np.arange(len(steps))
        low, high = np.zeros(len(steps), np.int64), np.full(len(steps), len(self._order))
        depth = 0
        while len(active):
            wanted = steps[active + depth]
            low, high = self._first(low, high, depth, wanted), self._first(low, high, depth, wanted + 1)
            found = high > low
            active, low, high = active[found], low[found], high[found]
            depth += 1
            length[active] = depth
            inside = active + depth < len(steps)
            active, low, high = active[inside], low[inside], high[inside]
        return length

    def _first(self, low: Ints, high: Ints, depth: int, wanted: Ints) -> Ints:
        """The first suffix of each interval whose step at `depth` is `wanted` or more, by binary search, `[steps]`."""
        low, high = low.copy(), high.copy()
        last = len(self._steps) - 1
        while np.any(open_ := low < high):
            middle = (low + high) // 2
            at = self._order[np.minimum(middle, last)]
            below = open_ & (self._steps[np.minimum(at + depth, last)] < wanted)
            low = np.where(below, middle + 1, low)
            high = np.where(open_ & ~below, middle, high)
        return low


def lines(notes: Notes) -> Iterator[Ints]:
    """The steps of each line of a score with two notes or more, `[notes of the line - 1]`."""
    for family in np.unique(notes["family"]):
        line = notes[notes["family"] == family]
        if family != DRUMS and len(line) > 1:
            interval = np.diff(line["pitch"].astype(np.int64)) + 128
            gap = np.minimum(np.diff(line["onset"].astype(np.int64)), LONGEST_GAP)
            yield interval * (LONGEST_GAP + 1) + gap


def _suffix_array(steps: npt.NDArray[np.int32]) -> Ints:
    """Starts of all suffixes in lexicographic order: sorted by one step, by two, by four, until all differ."""
    _, rank = np.unique(steps, return_inverse=True)
    width = 1
    order = np.argsort(rank, kind="stable")
    while rank.max() < len(steps) - 1:
        after = np.zeros(len(steps), np.int64)
        after[:-width] = rank[width:] + 1
        pair = rank.astype(np.int64) * (len(steps) + 1) + after
        order = np.argsort(pair, kind="stable")
        rank = np.empty(len(steps), np.int64)
        rank[order] = np.cumsum(np.concatenate([[0], np.diff(pair[order]) > 0]))
        width *= 2
    return np.asarray(order)
