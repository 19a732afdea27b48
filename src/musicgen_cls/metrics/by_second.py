"""What can be said of a sound second by second: how loud, how noisy, how bright."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio.compiled import import_librosa

Floats = npt.NDArray[np.float64]

FLOOR_DB = -100.0
"""Loudness of silence."""

MEASURES = {"loudness": "dB", "flatness": "", "centroid": "Hz"}
"""Names of the measures, and their units."""


def loudness(waveform: npt.NDArray[np.float32]) -> float:
    """Root mean square of samples `[samples]`, dB below full scale; `FLOOR_DB` for silence."""
    power = float(np.mean(np.square(waveform, dtype=np.float64)))
    return max(10.0 * float(np.log10(power)), FLOOR_DB) if power > 0 else FLOOR_DB


def by_second(waveform: npt.NDArray[np.float32], sample_rate: int) -> dict[str, Floats]:
    """Each of `MEASURES` in every whole second, `[seconds]`.

    Flatness is the geometric over the arithmetic mean of the power spectrum, from 0 for a tone to exp(-0.577) = 0.56
    for white noise (a spectrum of one frame is exponentially distributed around its mean, whose logarithm is lower by
    Euler's constant), and 1 for digital silence; centroid is the mean frequency, weighted by magnitude. Both are
    librosa's, averaged over frames of 1024 samples.

    Args:
        waveform: full scale 1, `[samples]`.
        sample_rate: Hz.
    """
    librosa = import_librosa()
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    for start in range(0, len(waveform) - sample_rate + 1, sample_rate):
        second = np.asarray(waveform[start : start + sample_rate], dtype=np.float32)
        magnitude = np.abs(librosa.stft(second, n_fft=1024, hop_length=256, center=False))
        found["loudness"].append(loudness(second))
        found["flatness"].append(float(librosa.feature.spectral_flatness(S=magnitude).mean()))
        found["centroid"].append(float(librosa.feature.spectral_centroid(S=magnitude, sr=sample_rate).mean()))
    return {name: np.array(values) for name, values in found.items()}


def median_error(beginnings: Sequence[Floats], draws: int = 1000) -> Floats:
    """Standard error of the median over tracks of each second, `[seconds]`, by bootstrap over beginnings.

    Args:
        beginnings: the takes of each, `[takes, seconds]`: they are no independent samples, and are drawn together.
        draws: with replacement, of as many beginnings as there are.
    """
    rng = np.random.default_rng(0)
    count = len(beginnings)
    chosen = (rng.integers(count, size=count) for _ in range(draws))
    medians = [np.median(np.concatenate([beginnings[i] for i in chance]), axis=0) for chance in chosen]
    return np.asarray(np.std(medians, axis=0))


def bands(tracks: npt.ArrayLike, shares: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95)) -> Floats:
    """Quantiles over tracks `[tracks, seconds]` of each second, `[shares, seconds]`."""
    return np.quantile(np.asarray(tracks, dtype=np.float64), shares, axis=0)
