"""What sounded at the same place some bars ago, as features for the prediction of each field of a note.

A plain Transformer learns beat and harmony of scores in minutes, but its bars do not return. Here a network gets, for
each lag of 1, 2, 4 and 8 bars, the classes that a field had in the notes that began exactly so long ago; it learns a
gate for each lag, by which these classes become more probable. Copying thus costs one number and not a search.

Notes are sorted by onset, family and pitch. The notes of an onset, those of one family in it, and those of one pitch of
that family are therefore neighbours, and two binary searches find their first and last row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from musicgen_cls.models.notes.fields import SIZES, STEPS, Columns
from musicgen_cls.notes.families import FAMILIES

LAGS = (1, 2, 4, 8)
"""Bars."""

PITCHES = SIZES["pitch"]
ORDERS = PITCHES * len(FAMILIES)
"""Places that a note can have among those of one onset, see `Columns.order`."""

BEFORE_ALL = -(1 << 60)


@dataclass(frozen=True)
class Lookback:
    """Features of the next notes, each from the notes before.

    Args:
        past: all notes so far, `[batch, time]`.
        keys: the place of each in the order of all, ascending, `[batch, time]`.
        step: when the next note begins if it repeats what began a lag ago, float `[batch, next, lags, STEPS]`.
        onset: the key at which the notes begin that began a lag before the next note, `[batch, next, lags]`.
        first: the key of the first of them that can still follow the note before the next note.
    """

    past: Columns
    keys: Tensor
    step: Tensor
    onset: Tensor
    first: Tensor

    def family(self) -> Tensor:
        """Families that began a lag ago, `[batch, next, lags, families]`."""
        return self._classes("family", self.onset, ORDERS)

    def pitch(self, family: Tensor) -> Tensor:
        """Pitches of this family, `[batch, next]`, that began a lag ago, `[batch, next, lags, 128]`."""
        return self._classes("pitch", self.onset + PITCHES * family[..., None], PITCHES)

    def of_same(self, field: str, family: Tensor, pitch: Tensor) -> Tensor:
        """Durations or velocities of the same pitch a lag ago, `[batch, next, lags, classes]`."""
        return self._classes(field, self._key(family, pitch), 1)

    def matched(self, family: Tensor, pitch: Tensor) -> Tensor:
        """Whether the next note itself sounded a lag ago, float `[batch, next, lags]`."""
        start, end = self._rows(self._key(family, pitch), 1)
        return (end > start).float()

    def _key(self, family: Tensor, pitch: Tensor) -> Tensor:
        return self.onset + (PITCHES * family + pitch)[..., None]

    def _rows(self, key: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The first row whose key is at least `key`, and the first after `count` keys; `[batch, next, lags]`."""
        return rows_from(self.keys, torch.maximum(key, self.first)), rows_from(self.keys, key + count)

    def _classes(self, field: str, key: Tensor, count: int) -> Tensor:
        """The classes of a field in the notes of `count` keys, 0 or 1, float `[batch, next, lags, classes]`."""
        start, end = self._rows(key, count)
        most = max(1, int((end - start).max()))
        rows = start[..., None] + torch.arange(most, device=key.device)  # [batch, next, lags, most]
        values = getattr(self.past, field)
        within = rows.clamp(max=values.shape[1] - 1).flatten(1)
        found = torch.where(rows < end[..., None], values.gather(1, within).view_as(rows), SIZES[field])
        return torch.zeros(*key.shape, SIZES[field] + 1, device=key.device).scatter_(-1, found, 1.0)[..., :-1]


def look_back(past: Columns, previous: Columns, onset: Tensor, known: Tensor) -> Lookback:
    """The features of the next notes.

    Args:
        past: all notes so far, `[batch, time]`.
        previous: the note before each next note, `[batch, next]`.
        onset: onset of each next note, steps, `[batch, next]`; not used by `Lookback.step`.
        known: how many rows of the past precede each next note, `[next]`.
    """
    keys = torch.where(past.real, past.onset * ORDERS + past.order, BEFORE_ALL).cummax(1).values
    lag = previous.bar[..., None] * torch.tensor(LAGS, device=onset.device)  # [batch, next, lags], steps
    still = previous.order[..., None] + 1  # what can follow within the same onset
    next_row = rows_from(keys, (previous.onset[..., None] - lag) * ORDERS + still)
    there = next_row < known[:, None]
    found = past.onset.gather(1, next_row.clamp(max=keys.shape[1] - 1).flatten(1)).view_as(next_row)
    ahead = found + lag - previous.onset[..., None]
    step = torch.where(there, ahead, STEPS).clamp(0, STEPS)  # one class more, for a lag without any candidate
    steps = torch.zeros(*step.shape, STEPS + 1, device=step.device).scatter_(-1, step[..., None], 1.0)
    began = (onset[..., None] - lag) * ORDERS
    together = (onset == previous.onset)[..., None]
    return Lookback(past, keys, steps[..., :-1], began, torch.where(together, began + still, began))


def rows_from(keys: Tensor, key: Tensor) -> Tensor:
    """The first row of ascending keys `[batch, time]` that is at least each of `[batch, next, lags]`."""
    return torch.searchsorted(keys, key.flatten(1).contiguous()).view_as(key)
