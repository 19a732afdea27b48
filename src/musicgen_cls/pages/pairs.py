"""A listening test as one self-contained page: the listener chooses the real recording of each pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from musicgen_cls.pages.page import embedded_sound, write_page

Waveform = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """A real and a generated waveform `[samples]`, and whether the real one is the first."""

    real: Waveform
    generated: Waveform
    real_first: bool


def write_pairs(path: Path, name: str, pairs: Sequence[Pair], sample_rate: int) -> None:
    """Write the page of a listening test. Its sounds are mono MP3, about 12 kB a second at most.

    Args:
        path: path of the page.
        name: what generated the music.
        pairs: the pairs, in order.
        sample_rate: Hz.
    """
    sounds = [[embedded_sound(sound, sample_rate, compress=True) for sound in _ordered(pair)] for pair in pairs]
    write_page(path, "pairs.html", name=name, sounds=sounds, key=_hidden([pair.real_first for pair in pairs]))


def _ordered(pair: Pair) -> tuple[Waveform, Waveform]:
    return (pair.real, pair.generated) if pair.real_first else (pair.generated, pair.real)


def _hidden(answers: Sequence[bool]) -> str:
    """Answers as the lowest bits of random bytes, in hexadecimal, so that nobody reads them by accident."""
    noise = np.random.default_rng(len(answers)).integers(128, size=len(answers))
    return bytes(int(2 * byte + answer) for byte, answer in zip(noise, answers, strict=True)).hex()
