"""The five fields of a note that a network predicts in turn, as classes, and the columns of a batch of notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from musicgen_cls.notes.families import DRUMS, FAMILIES

COLUMNS = ("onset", "duration", "place", "bar", "tempo", "key", "family", "pitch", "velocity")
"""The last axis of a batch of notes, int64 `[batch, time, 9]`; a note of velocity 0 fills up a short window."""

STEPS = 97
"""Classes of the time since the note before: 0 to 96 steps; longer ones count as 96, two bars of 4/4."""

LENGTHS = (*range(1, 13), 14, 16, 18, 21, 24, 30, 36, 42, 48, 60, 72, 96, 144, 192)
"""Durations, steps; others are rounded to the nearest."""

LOUDNESS = 8
"""Classes of velocity, 16 values each."""

SIZES = {"step": STEPS, "family": len(FAMILIES), "pitch": 128, "duration": len(LENGTHS), "velocity": LOUDNESS}
"""Classes of each field, in the order of their prediction."""


@dataclass(frozen=True)
class Columns:
    """Notes by column, int64 `[batch, time]` each; `real` is false where a window is filled up.

    `step`, `duration` and `velocity` are classes; `onset`, `place` and `bar` are in steps of the grid.
    """

    onset: Tensor
    step: Tensor
    place: Tensor
    bar: Tensor
    family: Tensor
    pitch: Tensor
    duration: Tensor
    velocity: Tensor
    real: Tensor

    @property
    def order(self) -> Tensor:
        """The place of a note among those of one onset: by family, then by pitch."""
        return self.family * 128 + self.pitch

    @property
    def pitched(self) -> Tensor:
        """Whether a note is no drum."""
        return self.family != DRUMS

    def part(self, rows: slice) -> Columns:
        """Some of the notes."""
        return Columns(*(getattr(self, field.name)[:, rows] for field in fields(self)))

    def joined(self, later: Columns) -> Columns:
        """These notes, and later ones."""
        pairs = ((getattr(self, field.name), getattr(later, field.name)) for field in fields(self))
        return Columns(*(torch.cat(pair, dim=1) for pair in pairs))


def columns_of(notes: Tensor, before: Tensor | None = None) -> Columns:
    """The columns of a batch of notes.

    Args:
        notes: int64 `[batch, time, 9]`, see `COLUMNS`.
        before: onset before the first note, `[batch]`; the start of its bar if None.
    """
    onset, duration, place, bar, _, _, family, pitch, velocity = notes.unbind(-1)
    first = onset[:, :1] - place[:, :1] if before is None else before[:, None]
    step = (onset - torch.cat([first, onset[:, :-1]], dim=1)).clamp(0, STEPS - 1)
    return Columns(
        onset=onset,
        step=step,
        place=place,
        bar=bar.clamp(min=1),
        family=family,
        pitch=pitch,
        duration=duration_class(duration),
        velocity=velocity // (128 // LOUDNESS),
        real=velocity > 0,
    )


def duration_class(duration: Tensor) -> Tensor:
    """The class of durations in steps."""
    lengths = torch.tensor(LENGTHS, device=duration.device)
    middle = (lengths[1:] + lengths[:-1]) / 2
    return torch.bucketize(duration.float(), middle)


def duration_of(classes: Sequence[int]) -> list[int]:
    """Durations of classes, steps."""
    return [LENGTHS[number] for number in classes]


def velocity_of(classes: Sequence[int]) -> list[int]:
    """Velocities of classes: the middle of each."""
    width = 128 // LOUDNESS
    return [number * width + width // 2 for number in classes]


def before_first(onset: Tensor, bar: Tensor) -> Columns:
    """A column before the first note: nothing that sounds, at `onset`, in a bar of `bar` steps; both `[batch]`."""
    nothing = torch.zeros_like(onset)[:, None]
    return Columns(
        onset=onset[:, None],
        step=nothing,
        place=nothing,
        bar=bar.clamp(min=1)[:, None],
        family=nothing,
        pitch=nothing - 1,
        duration=nothing,
        velocity=nothing,
        real=nothing.bool(),
    )
