"""Beat: how regular the onsets of a recording or of a score are.

A periodic train of onsets has an autocorrelation of 1 at its period, and irregular onsets have one near 0. The onset
envelope of a recording is the spectral flux of Boeck and Widmer 2013, "Maximum filter vibrato suppression for onset
detection", as librosa computes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from musicgen_cls.notes.score import GRID, Notes

Floats = npt.NDArray[np.float64]

TEMPOS = (40.0, 220.0)
"""Slowest and fastest beat that is looked for in a recording, beats per minute."""

RATE = 22_050
"""Recordings are resampled to this rate, Hz, so that figures of different rates can be compared."""

_HOP = 256
_WINDOW_S, _WINDOW_HOP_S = 8.0, 4.0  # windows of the steadiness
_NEAR = 0.04  # relative difference of periods that count as equal, as is usual for tempo (Gouyon et al. 2006)


@dataclass(frozen=True)
class Beat:
    """The beat of a recording.

    `peak` is the highest peak of the autocorrelation of the onset envelope, from 0 to 1. `tempo` is its place, beats
    per minute. `steadiness` is the share of windows of 8 s whose own best period is within 4 % of that of the
    recording, of its half or of its double. All are 0 without a peak, as in silence.
    """

    peak: float
    tempo: float
    steadiness: float


def audio_beat(waveform: npt.NDArray[np.float32], sample_rate: int) -> Beat:
    """The beat of a recording `[samples]`.

    1. The onset envelope has 86 frames a second. Its mean is removed.
    2. The autocorrelation is divided by its value at lag 0.
    3. The highest local peak between the lags of 220 and of 40 beats per minute counts.
    """
    envelope = _onset_envelope(waveform, sample_rate)
    peak, period = _best_period(envelope)
    if not period:
        return Beat(0.0, 0.0, 0.0)
    length, hop = (round(seconds * RATE / _HOP) for seconds in (_WINDOW_S, _WINDOW_HOP_S))
    starts = range(0, max(len(envelope) - length, 0) + 1, hop)
    periods = np.array([_best_period(envelope[start : start + length])[1] for start in starts])
    near = np.abs(periods[:, None] / (period * np.array([0.5, 1.0, 2.0])) - 1) <= _NEAR
    return Beat(peak, 60.0 * RATE / _HOP / period, float(near.any(axis=1).mean()))


def _onset_envelope(waveform: npt.NDArray[np.float32], sample_rate: int) -> Floats:
    import librosa
    import soxr

    if sample_rate != RATE:
        waveform = soxr.resample(waveform, sample_rate, RATE)
    if len(waveform) < 2048:
        return np.zeros(0)
    envelope = librosa.onset.onset_strength(y=np.asarray(waveform, np.float32), sr=RATE, hop_length=_HOP)
    return np.asarray(envelope, dtype=np.float64)


def _best_period(envelope: Floats) -> tuple[float, float]:
    """The highest peak of the autocorrelation of an onset envelope and its lag, frames; zeros if there is none."""
    fastest, slowest = (60.0 / tempo * RATE / _HOP for tempo in TEMPOS[::-1])
    lags = np.arange(int(np.ceil(fastest)), int(slowest) + 1)
    found = autocorrelation(envelope, lags[-1] + 1)
    if len(found) < lags[-1] + 2:
        return 0.0, 0.0
    value, before, after = found[lags], found[lags - 1], found[lags + 1]
    is_peak = (value > before) & (value >= after)
    if not np.any(is_peak & (value > 0)):
        return 0.0, 0.0
    best = int(np.argmax(np.where(is_peak, value, -1.0)))
    bend = before[best] - 2 * value[best] + after[best]  # below 0 at a peak: a parabola through three points
    return float(value[best]), float(lags[best] + (before[best] - after[best]) / (2 * bend))


def autocorrelation(series: npt.ArrayLike, longest: int) -> Floats:
    """Autocorrelation at the lags 0 to `longest`, at most the length of the series, divided by that at lag 0.

    The mean is removed. A constant series has no autocorrelation: all values are 0.
    """
    centred = np.asarray(series, dtype=np.float64)
    if not len(centred) or np.ptp(centred) < 1e-9:
        return np.zeros(min(longest + 1, len(centred)))
    centred = centred - centred.mean()
    spectrum = np.fft.rfft(centred, 2 * len(centred))
    found = np.fft.irfft(np.abs(spectrum) ** 2)[: min(longest + 1, len(centred))]
    return np.asarray(found / found[0])


def score_beat(notes: Notes) -> tuple[float, float]:
    """Autocorrelation of the onsets of a score at the lag of a beat and of a bar; 0 where the score is too short.

    The series has the number of notes that begin at each step, from the first note to the last. The bar is the most
    frequent length of a bar. Each value is divided by the share of the series that overlaps itself at this lag, so
    that a periodic score has 1 at any length.
    """
    if len(notes) < 2:
        return 0.0, 0.0
    onsets = np.bincount(notes["onset"] - notes["onset"].min())
    bar = int(np.bincount(notes["bar"]).argmax())
    found = autocorrelation(onsets, max(bar, GRID))
    beat, at_bar = (
        float(found[lag] * len(onsets) / (len(onsets) - lag)) if lag < len(found) else 0.0 for lag in (GRID, bar)
    )
    return beat, at_bar
