"""What neural networks on notes share: embedding, a network over the sequence, heads; training and reading."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from musicgen_cls.models.notes.base import (
    ConditionEmbedding,
    Conditions,
    Heads,
    NoteEmbedding,
    NoteNetwork,
    Reader,
    anchors_of,
)
from musicgen_cls.models.notes.fields import SIZES, Columns, before_first, columns_of
from musicgen_cls.models.notes.form import look_back

REMEMBERED = 1024
"""Notes of the past in which a reader looks back."""


class NeuralNotes(NoteNetwork):
    """A neural network over a sequence of notes.

    Args:
        num_genres: number of genres.
        dim: length of the vectors.
        lags: whether it gets what sounded some bars ago.
        context: notes of the past that it reads at most while it generates; then it starts again from half of them.
    """

    def __init__(self, num_genres: int, dim: int, lags: bool = True, context: int = 384) -> None:
        super().__init__()
        self.lags, self.context = lags, context
        self.condition = ConditionEmbedding(num_genres, dim)
        self.embedding = NoteEmbedding(dim)
        self.heads = Heads(dim, self.embedding, lags)
        self.start = nn.Parameter(torch.zeros(dim))
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    @abstractmethod
    def sequence(self, x: Tensor, onset: Tensor, cache: Any = None) -> tuple[Tensor, Any]:
        """What the network knows after each vector.

        Args:
            x: `[batch, time, dim]`.
            onset: onsets, steps, `[batch, time]`.
            cache: what an earlier call returned; None at the start.

        Returns:
            `[batch, time, dim]`, and the new cache.
        """

    def bits(self, notes: Tensor, conditions: Conditions) -> Tensor:
        """The cost of each field of each note, bits, `[batch, time, 5]`."""
        own = columns_of(notes)
        start = before_first(own.onset[:, 0] - own.place[:, 0], own.bar[:, 0])
        previous = start.joined(own.part(slice(None, -1)))
        time = own.onset.shape[1]
        looked = look_back(own, previous, own.onset, torch.arange(time, device=notes.device))
        vectors = self.embedding(own, looked.matched(own.family, own.pitch) * self.lags)
        x = torch.cat([self.start.expand(len(notes), 1, -1), vectors[:, :-1]], dim=1)
        state, _ = self.sequence(x + self.condition(conditions)[:, None], previous.onset)
        chosen = {field: getattr(own, field) for field in (*SIZES, "place")}
        anchors = anchors_of(own)
        costs = []
        for field in SIZES:
            logits = self.heads(field, state, chosen, looked, previous, anchors)
            cost = cross_entropy(logits.float().flatten(0, 1), chosen[field].flatten(), reduction="none")
            costs.append(cost.view(len(notes), time))
        bits = torch.stack(costs, dim=-1) / math.log(2)
        return torch.where(own.real[..., None], bits, 0.0)

    def reader(self, conditions: Conditions, onset: Tensor, bar: Tensor) -> NeuralReader:
        """What predicts and reads notes after `onset`, in bars of `bar` steps, both `[batch]`."""
        return NeuralReader(self, conditions, before_first(onset, bar))


class NeuralReader(Reader):
    """The state of a neural network between two notes."""

    def __init__(self, network: NeuralNotes, conditions: Conditions, start: Columns) -> None:
        self.network, self.start = network, start
        self.condition = network.condition(conditions)[:, None]
        self.past = start  # its first column is no note
        self.restart(start.part(slice(1, None)))

    def restart(self, notes: Columns) -> None:
        """Begin the sequence again with the last notes."""
        first = self.network.start.expand(len(self.condition), 1, -1) + self.condition
        self.state, self.cache = self.network.sequence(first, self.past.onset[:, :1])
        self.length = 0
        if notes.onset.shape[1]:
            self._advance(notes, self.past.part(slice(None, -notes.onset.shape[1])))

    def read(self, notes: Columns) -> None:
        """Read notes `[batch, time]`."""
        before = self.past
        self.past = before.joined(notes)
        if self.length + notes.onset.shape[1] > self.network.context:
            self.past = self.past.part(slice(-REMEMBERED, None))
            self.restart(self.past.part(slice(-(self.network.context // 2), None)))
        else:
            self._advance(notes, before)

    def _advance(self, notes: Columns, before: Columns) -> None:
        count, known = notes.onset.shape[1], before.onset.shape[1]
        past = before.joined(notes)
        previous = past.part(slice(known - 1, known + count - 1))
        looked = look_back(past, previous, notes.onset, torch.arange(known, known + count, device=notes.onset.device))
        vectors = self.network.embedding(notes, looked.matched(notes.family, notes.pitch) * self.network.lags)
        states, self.cache = self.network.sequence(vectors + self.condition, notes.onset, self.cache)
        self.state, self.length = states[:, -1:], self.length + count

    def logits(self, field: str, chosen: dict[str, Tensor]) -> Tensor:
        """Logits of a field of the next note, `[batch, classes]`."""
        picked = {name: values[:, None] for name, values in chosen.items()}
        previous = self.past.part(slice(-1, None))
        if field in ("step", "family"):  # the other fields look back from the same onset as the family
            onset = previous.onset if field == "step" else picked["onset"]
            known = torch.tensor([self.past.onset.shape[1]], device=onset.device)
            self.looked = look_back(self.past, previous, onset, known)
        anchors = self._anchors(picked, field)
        found: Tensor = self.network.heads(field, self.state, picked, self.looked, previous, anchors)
        return found[:, 0]

    def _anchors(self, picked: dict[str, Tensor], field: str) -> Tensor:
        """The anchors of intervals for the next note, `[batch, 1, 2]`."""
        if field != "pitch":
            return torch.zeros(*self.past.onset[:, -1:].shape, 2, dtype=torch.int64)
        last = self.past.part(slice(-1, None))
        following = Columns(last.onset, last.step, last.place, last.bar, picked["family"], last.pitch, last.duration,
                            last.velocity, last.real)  # fmt: skip
        return anchors_of(self.past.joined(following))[:, -1:]
