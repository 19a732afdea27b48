"""An n-gram of notes: the baseline that stands beside every neural network.

The probability of a field's class after a context of n notes is the count of both, smoothed with the probability after
n - 1 notes as a Dirichlet prior (MacKay and Peto 1995, "A hierarchical Dirichlet language model"):

    p_n(class) = (count(context, class) + strength_n * p_{n-1}(class)) / (count(context) + strength_n)

and p before any context is uniform. Contexts are numbered by a hash; the strengths are learned by gradient, while the
counts grow during training: each note is predicted before it is counted, so that in the first epoch the training loss
is as honest as that of validation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from musicgen_cls.models.notes.base import Conditions, NoteNetwork, Reader, impossible, row_before
from musicgen_cls.models.notes.fields import SIZES, Columns, before_first, columns_of
from musicgen_cls.models.processes import of_all_processes

REMEMBERED = 384
"""Notes of the past in which a reader looks for those of the same family."""


class NoteMarkov(NoteNetwork):
    """Interpolated n-grams of each field.

    The contexts of a field, from the shortest: none; the genre; fields of the same note that are chosen already, or the
    place in the bar; then also the last note, then the last two, and so on. For time and family these are the last
    notes of the piece, for pitch, duration and velocity those of the same family.

    Args:
        num_genres: number of genres; each has counts of its own, and all share the prior.
        order: notes in the longest context.
        buckets: numbers for the pairs of a context with notes and a class; two pairs with the same number share their
            count. Contexts without notes have an eighth of it.
    """

    def __init__(self, num_genres: int, order: int = 2, buckets: int = 1 << 21) -> None:
        super().__init__()
        self.order = order
        levels = order + 3  # without any context, genre, own fields, and 1 to `order` notes
        self.strength = nn.ParameterDict({field: nn.Parameter(torch.full((levels,), 1.0)) for field in SIZES})
        for field in SIZES:
            for level in range(levels):
                size = buckets if level >= levels - order else max(1, buckets // 8)
                self.register_buffer(f"counts_{field}_{level}", torch.zeros(size))

    def bits(self, notes: Tensor, conditions: Conditions) -> Tensor:
        """The cost of each field of each note, bits, `[batch, time, 5]`; in training the notes are counted then."""
        own = columns_of(notes)
        start = before_first(own.onset[:, 0] - own.place[:, 0], own.bar[:, 0])
        previous = start.joined(own.part(slice(None, -1)))
        chosen = {field: getattr(own, field) for field in (*SIZES, "place")}
        costs = []
        for field in SIZES:
            keys = self._keys(field, chosen, previous, conditions.genre)
            found = self.distribution(field, keys).masked_fill(impossible(field, chosen, previous), 0.0)
            right = found.gather(-1, chosen[field][..., None])[..., 0] / found.sum(-1)
            costs.append(-right.clamp(min=1e-9).log2())
            if self.training:
                self._count(field, of_all_processes(keys[own.real]), of_all_processes(chosen[field][own.real]))
        return torch.where(own.real[..., None], torch.stack(costs, dim=-1), 0.0)

    def reader(self, conditions: Conditions, onset: Tensor, bar: Tensor) -> MarkovReader:
        """What predicts and reads notes."""
        return MarkovReader(self, conditions.genre, before_first(onset, bar))

    def _keys(self, field: str, chosen: dict[str, Tensor], past: Columns, genre: Tensor) -> Tensor:
        """The hashes of the contexts of the next notes, from the shortest, int64 `[batch, next, levels]`.

        Args:
            field: the field that is predicted.
            chosen: fields of the next notes, `[batch, next]`, at least those before `field`.
            past: the notes before; the last of them is before the last of the next notes.
            genre: labels, `[batch]`.
        """
        count = next(iter(chosen.values())).shape[1] if chosen else 1
        nothing = torch.zeros_like(past.onset[:, :count])
        keys = [nothing, mixed(nothing, genre[:, None] + 2)]
        own = keys[1]
        for value in self._own(field, chosen, past, count):
            own = mixed(own, value)
        keys.append(own)
        rows = rows_of_piece(past, count, self.order)
        if field in ("pitch", "duration", "velocity"):
            rows = rows_of_family(past, chosen["family"], self.order)
        for row in rows:
            own = mixed(own, self._note(field, past, row))
            keys.append(own)
        return torch.stack(keys, dim=-1)

    @staticmethod
    def _own(field: str, chosen: dict[str, Tensor], past: Columns, count: int) -> list[Tensor]:
        """What a context has of the note itself."""
        if field == "step":
            return [past.place[:, -count:], past.bar[:, -count:]]
        if field == "family":
            return [chosen["place"], (chosen["step"] == 0).long()]
        if field == "pitch":
            return [chosen["family"], (chosen["step"] == 0).long()]
        return [chosen["family"], chosen["pitch"] if field == "duration" else chosen["place"]]

    @staticmethod
    def _note(field: str, past: Columns, rows: Tensor) -> Tensor:
        """What a context has of notes of the past, whose rows are given: a hash, `[batch, next]`; 1 for row -1."""
        there, rows = rows >= 0, rows.clamp(min=0)
        parts = {"pitch": ("pitch",), "duration": ("duration",), "velocity": ("velocity",)}
        value = torch.zeros_like(rows)
        for name in parts.get(field, ("family", "step")):
            value = mixed(value, getattr(past, name).gather(1, rows) + 1)
        return torch.where(there, value, 1)

    def distribution(self, field: str, keys: Tensor) -> Tensor:
        """The probability of each class, `[batch, next, classes]`."""
        size = SIZES[field]
        classes = torch.arange(size, device=keys.device)
        found = torch.full((*keys.shape[:2], size), 1.0 / size, device=keys.device)
        for level in range(keys.shape[-1]):
            strength = self.strength[field][level].exp()
            counts = getattr(self, f"counts_{field}_{level}")
            count = counts[mixed(keys[..., level, None], classes) % len(counts)]
            found = (count + strength * found) / (count.sum(-1, keepdim=True) + strength)
        return found

    @torch.no_grad()
    def _count(self, field: str, keys: Tensor, value: Tensor) -> None:
        one = torch.ones(len(value), device=value.device)
        for level in range(keys.shape[-1]):
            counts = getattr(self, f"counts_{field}_{level}")
            counts.index_add_(0, mixed(keys[:, level], value) % len(counts), one)


class MarkovReader(Reader):
    """The last notes of a batch of pieces."""

    def __init__(self, network: NoteMarkov, genre: Tensor, start: Columns) -> None:
        self.network, self.genre, self.past = network, genre, start

    def read(self, notes: Columns) -> None:
        """Read notes `[batch, time]`."""
        self.past = self.past.joined(notes).part(slice(-REMEMBERED, None))

    def logits(self, field: str, chosen: dict[str, Tensor]) -> Tensor:
        """Logits of a field of the next note, `[batch, classes]`."""
        picked = {name: values[:, None] for name, values in chosen.items()}
        previous = self.past.part(slice(-1, None))
        keys = self.network._keys(field, picked, self.past, self.genre)
        found = self.network.distribution(field, keys).log()
        return found.masked_fill(impossible(field, picked, previous), -math.inf)[:, 0]


def mixed(key: Tensor, value: Tensor) -> Tensor:
    """A hash of a hash and a number, non-negative int64; multiplication modulo 2^61 - 1 spreads the bits."""
    return (key * 0x5851F42D + value * 0x14057B7E + 0x2545F491) % ((1 << 31) - 1)


def rows_of_piece(past: Columns, count: int, order: int) -> list[Tensor]:
    """Rows of the last note before each of `count` next notes, of the note before it, and so on; -1 for none."""
    length = past.onset.shape[1]
    last = torch.arange(length - count, length, device=past.onset.device).expand(len(past.onset), -1)
    return [(last - back).clamp(min=-1) for back in range(order)]


def rows_of_family(past: Columns, family: Tensor, order: int) -> list[Tensor]:
    """The same for notes of the family of each next note, `[batch, next]`."""
    families = torch.cat([past.family, family[:, -1:]], dim=1)
    real = torch.cat([past.real, torch.ones_like(family[:, -1:], dtype=torch.bool)], dim=1)
    before = row_before(torch.where(real, families, -1))
    rows = [before[:, -family.shape[1] :]]
    for _ in range(order - 1):
        rows.append(torch.where(rows[-1] >= 0, before.gather(1, rows[-1].clamp(min=0)), -1))
    return rows
