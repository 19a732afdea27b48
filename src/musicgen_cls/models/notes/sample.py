"""Sampling of pieces, note by note, from any network on notes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from msgspec import Struct
from torch import Tensor

from musicgen_cls.models.notes.base import Conditions, NoteNetwork, Reader
from musicgen_cls.models.notes.fields import COLUMNS, SIZES, Columns, columns_of, duration_of, velocity_of
from musicgen_cls.notes.score import GRID, NOTE, Notes, without_overlaps

MOST_TOGETHER = 12
"""Notes that begin at one onset at most."""

MOST_IN_BEAT = 48
"""Notes that begin within one beat at most."""


@dataclass(frozen=True)
class Settings:
    """How to sample.

    Args:
        temperature: above 1 for less probable notes, below 1 for more probable ones.
        top_p: each field is drawn from its most probable classes whose probabilities add up to `top_p`.
        guidance: weight of the conditions: 1 as trained; above 1, what they make more probable gets more so (Ho and
            Salimans 2022, "Classifier-free diffusion guidance", https://arxiv.org/abs/2207.12598).
    """

    temperature: float = 1.0
    top_p: float = 1.0
    guidance: float = 1.0


class Wanted(Struct, frozen=True):  # not a dataclass, which Lightning refuses in a batch
    """What a piece shall be: label of its genre, tempo in beats per minute, length of a bar in steps, mode, families.

    `density` is the number of notes a beat, 0 if it does not matter. `prompt` is what it begins with, in C; without
    notes it begins with nothing.
    """

    genre: int
    tempo: int
    bar: int
    minor: bool
    families: tuple[int, ...]
    density: float = 0.0
    prompt: Notes = msgspec.field(default_factory=lambda: np.zeros(0, NOTE))


@torch.inference_mode()
def generate(
    network: NoteNetwork,
    prompts: Sequence[Notes],
    conditions: Conditions,
    ends: Sequence[int],
    seeds: Sequence[int],
    settings: Settings,
    progress: Callable[[float], object] = lambda share: None,
) -> list[Notes]:
    """Continue pieces, all at once.

    Args:
        network: the network, in evaluation mode.
        prompts: the notes to continue, the onset of the first bar 0; empty to start from nothing.
        conditions: what the pieces shall be, `[batch]`; tempo and metre must be set. Only its families play, unless
            they are left out.
        ends: for each piece the step before which its notes begin.
        seeds: random seed of each piece.
        settings: how to sample.
        progress: called with the share that is done, 0 to 1.

    Returns:
        Each prompt with its continuation, of the metre, tempo and key in the conditions, without overlaps.
        A piece has at least one note; one without a prompt begins within its first beat.
    """
    writer = PieceWriter(network, prompts, conditions, ends, seeds, settings)
    while writer.unfinished():
        writer.write_note()
        progress(writer.share())
    return [without_overlaps(piece) for piece in writer.pieces()]


class PieceWriter:
    """The pieces while they are written. All have the same prompt length in notes, or are written one by one."""

    def __init__(self, network: NoteNetwork, prompts: Sequence[Notes], conditions: Conditions, ends: Sequence[int],
                 seeds: Sequence[int], settings: Settings) -> None:  # fmt: skip
        self.ends, self.settings, self.conditions = torch.tensor(ends), settings, conditions
        self.random = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.written: list[dict[str, Tensor]] = []
        self.prompts = list(prompts)
        batch = len(prompts)
        zero = torch.zeros(batch, dtype=torch.int64)
        self.last = {"onset": zero, "place": zero, "family": zero, "pitch": zero - 1}
        self.together, self.in_beat = zero, zero
        self.readers: list[Reader] = [network.reader(conditions, zero, conditions.bar)]
        if settings.guidance != 1.0:
            self.readers.append(network.reader(conditions.nothing(), zero, conditions.bar))
        if len(prompts[0]):
            self._read_prompts()

    def _read_prompts(self) -> None:
        notes = torch.from_numpy(np.stack([matrix_of(prompt) for prompt in self.prompts]))
        columns = columns_of(notes)
        for reader in self.readers:
            reader.read(columns)
        self.last = {name: getattr(columns, name)[:, -1] for name in self.last}
        self.together = torch.full_like(self.together, 1)

    def unfinished(self) -> bool:
        """Whether a piece has not reached its end."""
        return bool((self.last["onset"] < self.ends).any())

    def share(self) -> float:
        """The share of the piece that is the least advanced, 0 to 1."""
        return min(float((self.last["onset"] / self.ends).min()), 1.0)

    def write_note(self) -> None:
        """Choose the five fields of one note in each piece, and read it."""
        chosen: dict[str, Tensor] = {}
        for name in SIZES:
            chosen[name] = self._choose(name, chosen)
            if name == "step":
                chosen["onset"] = self.last["onset"] + chosen["step"]
                chosen["place"] = (self.last["place"] + chosen["step"]) % self.conditions.bar
        self.together = torch.where(chosen["step"] == 0, self.together + 1, 1)
        same_beat = chosen["onset"] // GRID == self.last["onset"] // GRID
        self.in_beat = torch.where(same_beat, self.in_beat + 1, 1)
        self.last = {name: chosen[name] for name in self.last}
        self.written.append(chosen)
        ones = torch.ones_like(chosen["step"])
        note = Columns(**{name: chosen[name][:, None] for name in chosen}, bar=self.conditions.bar[:, None],
                       real=ones.bool()[:, None])  # fmt: skip
        for reader in self.readers:
            reader.read(note)

    def _choose(self, name: str, chosen: dict[str, Tensor]) -> Tensor:
        logits = self.readers[0].logits(name, chosen).float()
        if len(self.readers) > 1:
            free = self.readers[1].logits(name, chosen).float()
            both = free + self.settings.guidance * (logits - free)
            logits = torch.where(torch.isfinite(logits), both, -math.inf)
        if name == "step":
            logits[self.together >= MOST_TOGETHER, 0] = -math.inf
            to_next_beat = GRID - self.last["onset"] % GRID
            steps = torch.arange(SIZES["step"])
            early = steps < to_next_beat[:, None]
            logits = logits.masked_fill(early & (self.in_beat >= MOST_IN_BEAT)[:, None], -math.inf)
            if not (self.written or len(self.prompts[0])):  # a piece has a note, and begins within its first beat
                logits = logits.masked_fill(steps >= self.ends.clamp(max=GRID)[:, None], -math.inf)
        if name == "family":
            logits = self._only(logits)
        return pick(logits / self.settings.temperature, self.settings.top_p, self.random)

    def _only(self, logits: Tensor) -> Tensor:
        """Logits of families with only those of the conditions; with the last one where none of them can follow."""
        allowed = self.conditions.families > 0
        allowed = allowed | ~allowed.any(-1, keepdim=True)  # all, where the conditions leave them out
        kept = logits.masked_fill(~allowed, -math.inf)
        last = SIZES["family"] - 1 - allowed.flip(-1).long().argmax(-1)
        none = torch.isinf(kept).all(-1)
        kept[none, last[none]] = 0.0
        return kept

    def pieces(self) -> list[Notes]:
        """The notes of each piece up to its end."""
        return [self._piece(row) for row in range(len(self.prompts))]

    def _piece(self, row: int) -> Notes:
        if not self.written:
            return self.prompts[row]
        own = {name: [int(note[name][row]) for note in self.written] for name in self.written[0]}
        notes = np.zeros(len(self.written), NOTE)
        for name in ("onset", "place", "family", "pitch"):
            notes[name] = own[name]
        notes["duration"], notes["velocity"] = duration_of(own["duration"]), velocity_of(own["velocity"])
        notes["bar"], notes["tempo"] = int(self.conditions.bar[row]), int(self.conditions.tempo[row])
        notes["key"] = 12 * int(self.conditions.minor[row] == 1)
        joined = np.concatenate([self.prompts[row], notes])
        return np.asarray(joined[joined["onset"] < int(self.ends[row])])


def matrix_of(notes: Notes) -> npt.NDArray[np.int64]:
    """Notes as int64 `[notes, 9]`, see `fields.COLUMNS`."""
    return np.stack([notes[name].astype(np.int64) for name in COLUMNS], axis=1)


def pick(logits: Tensor, top_p: float, random: Sequence[torch.Generator]) -> Tensor:
    """Draw a class in each row of logits `[batch, classes]` from its own random numbers, `[batch]`."""
    probabilities, classes = logits.softmax(-1).sort(-1, descending=True)
    before = probabilities.cumsum(-1) - probabilities
    kept = torch.where(before < top_p, probabilities, 0.0)
    total = kept.cumsum(-1)
    drawn = torch.stack([torch.rand(1, generator=one) for one in random]) * total[:, -1:]
    place = torch.searchsorted(total, drawn.clamp(max=total[:, -1:].nextafter(torch.zeros(1))), right=True)
    return classes.gather(-1, place.clamp(max=logits.shape[1] - 1))[:, 0]
