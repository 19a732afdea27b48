"""A stand-in for the network that transcribes: it finds sine tones, and needs no file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from musicgen_cls.notes.transcribe import FRAMES, HOP, KEYS, LOWEST, RATE, Frames

_LENGTH = 2048  # samples of a spectrum
_HERTZ = 440.0 * 2 ** ((LOWEST + np.arange(KEYS) - 69) / 12)
_WAVES = np.hanning(_LENGTH)[:, None] * np.exp(-2j * np.pi * np.outer(np.arange(_LENGTH) / RATE, _HERTZ))


def sine_network(_: Path | None = None) -> Callable[[Frames], tuple[Frames, Frames]]:
    """Takes the place of `transcribe.network`: tones of an amplitude near 0.5 from C4 upwards sound."""

    def run(windows: Frames) -> tuple[Frames, Frames]:
        padded = np.pad(windows[:, :, 0], ((0, 0), (_LENGTH // 2, _LENGTH)))
        parts = np.lib.stride_tricks.sliding_window_view(padded, _LENGTH, axis=1)[:, ::HOP][:, :FRAMES]
        levels = np.abs(parts @ _WAVES) / (_LENGTH / 8)
        around = np.maximum(np.roll(levels, 1, axis=2), np.roll(levels, -1, axis=2))
        sounds = np.where((levels > around) & (np.arange(KEYS) >= 39), np.clip(levels, 0, 1), 0).astype(np.float32)
        before = np.pad(sounds, ((0, 0), (4, 0), (0, 0)))[:, :-4]
        rises = np.clip(sounds - before, 0, 1)
        return sounds, rises * (rises >= 0.5)

    return run


def write_tones(path: Path, pitches: list[int], tempo: float, lead_s: float = 0.0, rate: int = RATE) -> Path:
    """A recording of a tone on each beat, which decays, after silence."""
    beat = 60 / tempo
    time = np.arange(round((lead_s + len(pitches) * beat) * rate)) / rate - lead_s
    number = np.clip(np.floor(time / beat).astype(int), 0, len(pitches) - 1)
    place = time - number * beat
    hertz = 440.0 * 2 ** ((np.array(pitches)[number] - 69) / 12)
    shape = np.minimum(place / 0.003, 1) * np.exp(-1.5 * place / beat) * (time >= 0)
    soundfile.write(path, 0.5 * shape * np.sin(2 * np.pi * hertz * place), rate)
    return path
