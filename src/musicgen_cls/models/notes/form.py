"""What sounded at the same place some bars ago, as features for the prediction of each field of a note.

A plain Transformer learns beat and harmony of scores in minutes, but its bars do not return. Here a network gets, for
each lag of 1, 2, 4 and 8 bars, the classes that a field had in the notes that began exactly so long ago; it learns a
gate for each lag, by which these classes become more probable. Copying thus costs one number and not a search.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from musicgen_cls.models.notes.fields import SIZES, STEPS, Columns

LAGS = (1, 2, 4, 8)
"""Bars."""


@dataclass(frozen=True)
class Lookback:
    """Features of the next notes, each from the notes before.

    `step` `[batch, next, lags, STEPS]`: when the next note begins if it repeats what began a lag ago. `at` `[batch,
    next, time, lags]`: whether a note of the past began exactly a lag before the next note, and can still follow the
    note before it.
    """

    past: Columns
    step: Tensor
    at: Tensor

    def family(self) -> Tensor:
        """Families that began a lag ago, `[batch, next, lags, families]`."""
        return self._found(self.at, "family")

    def pitch(self, family: Tensor) -> Tensor:
        """Pitches of this family, `[batch, next]`, that began a lag ago, `[batch, next, lags, 128]`."""
        return self._found(self._same(family), "pitch")

    def of_same(self, field: str, family: Tensor, pitch: Tensor) -> Tensor:
        """Durations or velocities of the same pitch a lag ago, `[batch, next, lags, classes]`."""
        same = self.past.pitch[:, None, :] == pitch[:, :, None]
        return self._found(self._same(family) & same[..., None], field)

    def matched(self, family: Tensor, pitch: Tensor) -> Tensor:
        """Whether the next note itself sounded a lag ago, float `[batch, next, lags]`."""
        same = self.past.pitch[:, None, :] == pitch[:, :, None]
        return (self._same(family) & same[..., None]).any(2).float()

    def _same(self, family: Tensor) -> Tensor:
        return self.at & (self.past.family[:, None, :] == family[:, :, None])[..., None]

    def _found(self, at: Tensor, field: str) -> Tensor:
        batch, after, time, lags = at.shape
        rows = at.permute(0, 1, 3, 2).reshape(batch, after * lags, time).float()
        classes = one_hot(getattr(self.past, field).clamp(min=0), SIZES[field]).float()
        return torch.bmm(rows, classes).clamp(max=1).reshape(batch, after, lags, -1)


def look_back(past: Columns, previous: Columns, onset: Tensor, earlier: Tensor) -> Lookback:
    """The features of the next notes.

    Args:
        past: all notes so far, `[batch, time]`.
        previous: the note before each next note, `[batch, next]`.
        onset: onset of each next note, steps, `[batch, next]`; not used by `Lookback.step`.
        earlier: which notes of the past precede each next note, `[batch, next, time]`.
    """
    lag = previous.bar[..., None] * torch.tensor(LAGS, device=onset.device)  # [batch, next, lags], steps
    back = past.onset[:, None, :, None] + lag[:, :, None, :]  # where a repetition of each note would begin
    valid = (earlier & past.real[:, None, :])[..., None]
    still = (past.order[:, None, :] > previous.order[:, :, None])[..., None]  # can follow within the same onset
    ahead = back - previous.onset[:, :, None, None]
    right = valid & ((ahead > 0) | ((ahead == 0) & still)) & (ahead < STEPS)
    nearest = torch.where(right, ahead, STEPS).amin(2)  # one class more, for a lag without any candidate
    step = one_hot(nearest, STEPS + 1).float()
    together = (onset == previous.onset)[:, :, None, None]
    at = valid & (back == onset[:, :, None, None]) & (still | ~together)
    return Lookback(past, step[..., :STEPS], at)
