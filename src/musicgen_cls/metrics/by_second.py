"""Loudness, spectral flatness and spectral centroid of audio, for each second."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio.compiled import import_librosa
from musicgen_cls.metrics.intervals import at_once, resampled

Floats = npt.NDArray[np.float64]

MIN_DB = -100.0
"""Lower bound of the loudness, and the loudness of silence."""

MEASURES = {"loudness": "dB", "flatness": "", "centroid": "Hz"}
"""Names of the measures, and their units."""


def loudness(waveform: npt.NDArray[np.float32]) -> float:
    """Root mean square of samples `[samples]` in dB, 0 for full scale; at least `MIN_DB`."""
    power = float(np.mean(np.square(waveform, dtype=np.float64)))
    return max(10.0 * float(np.log10(power)), MIN_DB) if power > 0 else MIN_DB


def by_second(waveform: npt.NDArray[np.float32], sample_rate: int) -> dict[str, Floats]:
    """Each of `MEASURES` in every whole second, `[seconds]`.

    Flatness is the geometric mean of the power spectrum divided by its arithmetic mean. It is 0 for a tone, 1 for
    digital silence, and exp(-0.577) = 0.56 for white noise: the power of white noise in one frame is exponentially
    distributed, and the mean of its logarithm is below the logarithm of its mean by Euler's constant. The centroid is
    the mean frequency, weighted by magnitude. Both are librosa's, averaged over frames of 1024 samples.

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


def median_error(prompts: Sequence[Floats], resamples: int = 1000) -> Floats:
    """Standard error of the median of each second over all continuations, `[seconds]`, by bootstrap over prompts.

    Args:
        prompts: the values of all continuations of each prompt, `[continuations, seconds]`. Continuations of one prompt
            are not independent, so that they are resampled together.
        resamples: bootstrap samples; each has as many prompts as there are, drawn with replacement.
    """
    rng = np.random.default_rng(0)
    count = len(prompts)
    of = np.repeat(np.arange(count), [len(values) for values in prompts])  # the prompt of each continuation
    seconds, medians = np.concatenate(prompts).T, list[Floats]()
    for some in at_once(resamples, len(of)):
        times = resampled(rng.integers(count, size=(some, count)))[:, of]
        medians.append(np.stack([_medians(second, times) for second in seconds], axis=1))
    return np.asarray(np.std(np.concatenate(medians), axis=0))


def _medians(values: Floats, times: npt.NDArray[np.int64]) -> Floats:
    """The median of values `[n]` in each sample, `[samples]`; `times` says how often a sample has each value."""
    order = np.argsort(values)
    passed = times[:, order].cumsum(axis=1)
    n = passed[:, -1:]
    middle = [values[order[(passed > before).argmax(axis=1)]] for before in ((n - 1) // 2, n // 2)]
    return np.asarray(np.mean(middle, axis=0))


def bands(tracks: npt.ArrayLike, shares: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95)) -> Floats:
    """Quantiles over tracks `[tracks, seconds]` of each second, `[shares, seconds]`."""
    return np.quantile(np.asarray(tracks, dtype=np.float64), shares, axis=0)
