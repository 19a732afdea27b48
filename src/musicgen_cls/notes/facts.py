"""What a score is, in short: key, tempo, metre, notes, instruments, length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from musicgen_cls.errors import ScoreError, counted
from musicgen_cls.notes.families import FAMILIES
from musicgen_cls.notes.key import key_name
from musicgen_cls.notes.midi import metre
from musicgen_cls.notes.score import Notes, bar_starts, length_seconds, onset_seconds, step_seconds


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts on a score. Of tempos and metres, `tempo` and `metre` are those of most notes."""

    key: str
    tempo: int
    slowest: int
    fastest: int
    metre: str
    notes: int
    families: dict[str, int]
    """Number of notes of each instrument family, the most frequent first."""

    seconds: float

    def __str__(self) -> str:
        tempo = f"{self.tempo} beats per minute"
        if self.slowest != self.fastest:
            tempo += f" ({self.slowest} to {self.fastest})"
        families = ", ".join(f"{name} {number:,}" for name, number in self.families.items())
        return f"{self.key}, {self.metre}, {tempo}, {self.seconds:.1f} s, {counted(self.notes, 'note')}: {families}"


def facts_of(notes: Notes) -> Facts:
    """The facts on a score.

    Raises:
        ScoreError: there are no notes.
    """
    if not len(notes):
        raise ScoreError("no notes; use a score with at least one")
    numbers = np.bincount(notes["family"], minlength=len(FAMILIES))
    order = [int(family) for family in np.argsort(-numbers, kind="stable") if numbers[family]]
    numerator, denominator = metre(_most_frequent(notes["bar"]))
    return Facts(
        key=key_name(int(notes["key"][0])),
        tempo=_most_frequent(notes["tempo"]),
        slowest=int(notes["tempo"].min()),
        fastest=int(notes["tempo"].max()),
        metre=f"{numerator}/{denominator}",
        notes=len(notes),
        families={FAMILIES[family]: int(numbers[family]) for family in order},
        seconds=length_seconds(notes),
    )


def bar_times(notes: Notes) -> npt.NDArray[np.float64]:
    """The start of each bar up to the last note, s, `[bars]`; bars without notes are there too."""
    if not len(notes):
        return np.zeros(0)
    known, first = np.unique(bar_starts(notes), return_index=True)
    lengths = notes["bar"][first].astype(np.int64)
    starts = [np.arange(0, known[0], lengths[0])]
    for start, length, following in zip(known, lengths, [*known[1:], known[-1] + 1], strict=True):
        starts.append(np.arange(start, following, length))
    return seconds_at(notes, np.concatenate(starts))


def seconds_at(notes: Notes, steps: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The times of steps of the grid, s; the tempo of a note lasts until the next note."""
    at = np.asarray(steps, dtype=np.float64)
    row = np.clip(np.searchsorted(notes["onset"], at, side="right") - 1, 0, len(notes) - 1)
    return np.asarray(onset_seconds(notes)[row] + (at - notes["onset"][row]) * step_seconds(notes["tempo"][row]))


def _most_frequent(values: npt.NDArray[np.uint8]) -> int:
    return int(np.argmax(np.bincount(values)))
