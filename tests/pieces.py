"""Scores that are constructed, so that their measures are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from musicgen_cls.notes.families import FAMILIES
from musicgen_cls.notes.score import Notes, notes_of

PIANO, FLUTE = FAMILIES.index("piano"), FAMILIES.index("flute")


def melody(pitches: Sequence[int], step: int = 12, family: int = PIANO, duration: int = 0, bar: int = 48) -> Notes:
    """One note every `step` steps, each until the next one unless a duration is given."""
    onset = np.arange(len(pitches)) * step
    return notes_of(onset=onset, duration=duration or step, place=onset % bar, bar=bar, tempo=120, key=0,
                    family=family, pitch=list(pitches), velocity=80)  # fmt: skip


def bars(*contents: Sequence[int]) -> Notes:
    """4/4 bars of quarters with these pitches; a bar can be empty."""
    onset = np.concatenate([48 * number + 12 * np.arange(len(own)) for number, own in enumerate(contents)]).astype(int)
    return notes_of(onset=onset, duration=12, place=onset % 48, bar=48, tempo=120, key=0, family=PIANO,
                    pitch=[pitch for own in contents for pitch in own], velocity=80)  # fmt: skip


def random_melody(seed: int, length: int = 200) -> Notes:
    """Notes of random pitches and times."""
    rng = np.random.default_rng(seed)
    onset = np.cumsum(rng.integers(1, 12, length))
    return notes_of(onset=onset, duration=1, place=onset % 48, bar=48, tempo=120, key=0, family=PIANO,
                    pitch=rng.integers(40, 90, length), velocity=80)  # fmt: skip
