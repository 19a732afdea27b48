"""The interface of networks that generate notes, and what the neural ones share: embeddings, heads, and conditions."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from musicgen_cls.models.notes.fields import SIZES, Columns
from musicgen_cls.models.notes.form import LAGS, Lookback
from musicgen_cls.notes.families import DRUMS, FAMILIES
from musicgen_cls.notes.score import GRID

TEMPOS = 16
"""Classes of tempo, 16 beats per minute each."""

DENSITIES = 12
"""Classes of density; each begins at about 1.4 times as many notes a beat as the one before."""


@dataclass(frozen=True)
class Conditions:
    """What a piece shall be; each is None-like where it is left out, so that guidance works.

    `genre` int64 `[batch]`, -1 if left out; `tempo` beats per minute, 0 if left out; `bar` length of a bar, steps, 0 if
    left out; `minor` 0, 1 or -1; `families` float `[batch, 12]`, all 0 if left out; `density` notes a beat, float
    `[batch]`, 0 if left out.
    """

    genre: Tensor
    tempo: Tensor
    bar: Tensor
    minor: Tensor
    families: Tensor
    density: Tensor

    def without(self, drop: Tensor) -> Conditions:
        """Conditions with some left out: `drop` bool `[batch, 6]`, in the order above."""
        left_out = (-1, 0, 0, -1, 0, 0)
        values = (getattr(self, field.name) for field in fields(self))
        kept = [
            torch.where(drop[:, i, None] if value.dim() == 2 else drop[:, i], torch.full_like(value, empty), value)
            for i, (value, empty) in enumerate(zip(values, left_out, strict=True))
        ]
        return Conditions(*kept)

    def nothing(self) -> Conditions:
        """All conditions left out."""
        return self.without(torch.ones(len(self.genre), len(fields(self)), dtype=torch.bool, device=self.genre.device))


def conditions_of(notes: Tensor, genre: Tensor) -> Conditions:
    """The conditions that a window of notes `[batch, time, 9]` itself fulfils."""
    real = notes[..., 8] > 0
    families = torch.zeros(len(notes), len(FAMILIES) + 1, device=notes.device)
    families.scatter_(1, torch.where(real, notes[..., 6], len(FAMILIES)), 1.0)
    beats = (notes[:, -1, 0] - notes[:, 0, 0]).clamp(min=GRID) / GRID
    minor = (notes[:, 0, 5] >= 12).long()
    return Conditions(genre, notes[:, 0, 4], notes[:, 0, 3], minor, families[:, :-1], real.sum(1) / beats)


class NoteNetwork(nn.Module, ABC):
    """A network that predicts the next note from the notes before it. It is built as `Network(num_genres, ...)`."""

    @abstractmethod
    def bits(self, notes: Tensor, conditions: Conditions) -> Tensor:
        """The cost of each field of each note, bits, float `[batch, time, 5]`; 0 where a window is filled up.

        Args:
            notes: int64 `[batch, time, 9]`, see `fields.COLUMNS`.
            conditions: what the pieces shall be.
        """

    @abstractmethod
    def reader(self, conditions: Conditions, onset: Tensor, bar: Tensor) -> Reader:
        """What predicts the next note, and then reads it.

        Args:
            conditions: what the pieces shall be.
            onset: where the pieces begin, steps, `[batch]`.
            bar: length of the first bar, steps, `[batch]`.
        """


class Reader(ABC):
    """The state of a network between two notes of a batch of pieces."""

    @abstractmethod
    def read(self, notes: Columns) -> None:
        """Read one or more notes, `[batch, time]`."""

    @abstractmethod
    def logits(self, field: str, chosen: dict[str, Tensor]) -> Tensor:
        """Logits of a field of the next note, `[batch, classes]`.

        Args:
            field: its name, see `fields.SIZES`.
            chosen: the fields that are chosen already, int64 `[batch]`; from `family` on also `onset` and `place`.
        """


class ConditionEmbedding(nn.Module):
    """Conditions as a vector that is added to each note, `[batch, dim]`; a condition that is left out adds nothing."""

    def __init__(self, num_genres: int, dim: int) -> None:
        super().__init__()
        self.genre = nn.Embedding(num_genres + 1, dim, padding_idx=num_genres)
        self.tempo = nn.Embedding(TEMPOS + 1, dim, padding_idx=0)
        self.bar = nn.Embedding(256, dim, padding_idx=0)
        self.mode = nn.Embedding(3, dim, padding_idx=2)
        self.families = nn.Linear(len(FAMILIES), dim, bias=False)
        self.density = nn.Embedding(DENSITIES + 1, dim, padding_idx=0)

    def forward(self, conditions: Conditions) -> Tensor:
        """The sum of the embeddings of what is set."""
        genre = torch.where(conditions.genre < 0, self.genre.num_embeddings - 1, conditions.genre)
        tempo = torch.where(conditions.tempo > 0, conditions.tempo // 16 + 1, 0)
        mode = torch.where(conditions.minor < 0, 2, conditions.minor)
        total: Tensor = self.genre(genre) + self.tempo(tempo) + self.bar(conditions.bar) + self.mode(mode)
        total = total + self.families(conditions.families) + self.density(density_class(conditions.density))
        return total


def density_class(density: Tensor) -> Tensor:
    """The class of densities, notes a beat: 1 to `DENSITIES`, 0 for 0."""
    found = (2 * torch.log2(1 + density)).round().long().clamp(1, DENSITIES)
    return torch.where(density > 0, found, 0)


class NoteEmbedding(nn.Module):
    """A note as a vector: the sum of embeddings of its fields, its place in the bar, and what it repeats."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.pitch = nn.Embedding(256, dim)  # drums behind the pitches
        self.chroma = nn.Embedding(13, dim)
        self.family = nn.Embedding(len(FAMILIES), dim)
        self.step = nn.Embedding(SIZES["step"], dim)
        self.place = nn.Embedding(256, dim)
        self.duration = nn.Embedding(SIZES["duration"], dim)
        self.velocity = nn.Embedding(SIZES["velocity"], dim)
        self.repeats = nn.Linear(len(LAGS), dim, bias=False)

    def forward(self, notes: Columns, matched: Tensor) -> Tensor:
        """Vectors `[batch, time, dim]` of notes `[batch, time]`; `matched` `[batch, time, lags]`, see `Lookback`."""
        when = self.place(notes.place) + self.step(notes.step)
        how = self.duration(notes.duration) + self.velocity(notes.velocity) + self.repeats(matched)
        return self.head(notes.family, notes.pitch) + when + how  # type: ignore[no-any-return]

    def head(self, family: Tensor, pitch: Tensor) -> Tensor:
        """The part of instrument and pitch."""
        drum = family == DRUMS
        chroma = torch.where(drum, 12, pitch % 12)
        total: Tensor = self.pitch(pitch + 128 * drum) + self.chroma(chroma) + self.family(family)
        return total


class Heads(nn.Module):
    """Logits of the fields in turn. Each sees the fields before it, and what sounded some bars ago.

    The logits of a pitch are the sum of one for the pitch, one for the interval from the last note of the family, and
    one for the interval from the last note of any pitched family: intervals are what melodies and chords share.
    """

    def __init__(self, dim: int, embedding: NoteEmbedding, lags: bool = True) -> None:
        super().__init__()
        self.embedding, self.lags = (embedding,), lags  # in a tuple: its parameters belong to the network
        self.mix = nn.ModuleDict({f: nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU()) for f in SIZES})
        self.out = nn.ModuleDict({field: nn.Linear(dim, size) for field, size in SIZES.items()})
        self.drum = nn.Linear(dim, 128)
        self.interval = nn.ModuleList([nn.Linear(dim, 255) for _ in range(2)])
        self.gates = nn.ModuleDict({field: nn.Linear(dim, len(LAGS)) for field in SIZES})

    def forward(self, field: str, state: Tensor, chosen: dict[str, Tensor], looked: Lookback, previous: Columns,
                anchors: Tensor) -> Tensor:  # fmt: skip
        """Logits `[batch, next, classes]`; impossible classes have minus infinity.

        Args:
            field: its name.
            state: what the network knows of the notes before, `[batch, next, dim]`.
            chosen: fields of the next notes, `[batch, next]`, at least those before `field`.
            looked: what sounded some bars ago.
            previous: the notes before, `[batch, next]`.
            anchors: pitches from which intervals are counted, `[batch, next, 2]`; used for the field `pitch`.
        """
        mixed = self.mix[field](state + self._known(field, chosen))
        logits: Tensor = self.out[field](mixed)
        if field == "pitch":
            logits = torch.where(
                (chosen["family"] == DRUMS)[..., None], self.drum(mixed), logits + self._from(mixed, anchors)
            )
        if self.lags:
            found = self._found(field, chosen, looked)  # [batch, next, lags, classes]
            logits = logits + torch.einsum("bnl,bnlc->bnc", self.gates[field](mixed), found)
        return logits.masked_fill(impossible(field, chosen, previous), -math.inf)

    def _known(self, field: str, chosen: dict[str, Tensor]) -> Tensor | float:
        note = self.embedding[0]
        known: Any = 0.0
        if field != "step":
            known = note.step(chosen["step"]) + note.place(chosen["place"])
        if field == "pitch":
            known = known + note.family(chosen["family"])
        if field in ("duration", "velocity"):
            known = known + note.head(chosen["family"], chosen["pitch"])
        if field == "velocity":
            known = known + note.duration(chosen["duration"])
        return known  # type: ignore[no-any-return]

    def _from(self, mixed: Tensor, anchors: Tensor) -> Tensor:
        """The logits of all pitches by their intervals from the anchors."""
        pitches = torch.arange(128, device=mixed.device)
        total: Any = 0.0
        for number, layer in enumerate(self.interval):
            index = pitches - anchors[..., number, None].clamp(min=0) + 127
            total = total + layer(mixed).gather(-1, index)
        return total  # type: ignore[no-any-return]

    def _found(self, field: str, chosen: dict[str, Tensor], looked: Lookback) -> Tensor:
        if field == "step":
            return looked.step
        if field == "family":
            return looked.family()
        if field == "pitch":
            return looked.pitch(chosen["family"])
        return looked.of_same(field, chosen["family"], chosen["pitch"])


def impossible(field: str, chosen: dict[str, Tensor], previous: Columns) -> Tensor:
    """Classes that cannot follow, since notes of one onset are sorted by family and pitch, `[batch, next, classes]`."""
    classes = torch.arange(SIZES[field], device=previous.onset.device)
    if field == "family":
        together = chosen["step"] == 0
        return together[..., None] & (classes < previous.family[..., None])
    if field == "pitch":
        together = (chosen["step"] == 0) & (chosen["family"] == previous.family)
        return together[..., None] & (classes <= previous.pitch[..., None])
    return torch.zeros(*previous.onset.shape, SIZES[field], dtype=torch.bool, device=classes.device)


def anchors_of(notes: Columns) -> Tensor:
    """For each note the last pitch before it of its family, and of any pitched family, `[batch, time, 2]`; else 60."""
    pitch = torch.cat([torch.full_like(notes.pitch[:, :1], 60), notes.pitch], dim=1)
    rows = row_before(notes.family), last_row(notes.pitched)
    return torch.stack([pitch.gather(1, row + 1) for row in rows], dim=-1)


def row_before(family: Tensor) -> Tensor:
    """The row of the last note of the same family before each note, -1 if none, `[batch, time]`."""
    found = torch.full_like(family, -1)
    for number in range(len(FAMILIES)):
        own = family == number
        found = torch.where(own, last_row(own), found)
    return found


def last_row(mask: Tensor) -> Tensor:
    """The row of the last true item before each item, -1 if none, `[batch, time]`."""
    rows = torch.arange(mask.shape[1], device=mask.device)
    seen = torch.where(mask, rows, -1).cummax(1).values
    return torch.cat([torch.full_like(seen[:, :1], -1), seen[:, :-1]], dim=1)
