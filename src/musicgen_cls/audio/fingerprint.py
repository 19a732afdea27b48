"""Acoustic fingerprints: what a recording keeps of itself in other formats, at other rates and levels.

A fingerprint is a list of landmarks (Wang 2003, "An industrial-strength audio search algorithm"): pairs of spectral
peaks, each a number made of the two frequencies and the time between them, with the time of the first. Recordings of
the same sound share many landmarks at one distance in time; others share few. Recordings of a few seconds have too
few to be found for certain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio.io import Waveform

RATE = 8000
"""Fingerprints are made at this rate, Hz: of higher frequencies encoders keep little."""

LONGEST_S = 60.0
"""Only so much of the beginning is looked at, s."""

_N_FFT, _HOP = 1024, 256
_NEAR_BANDS, _NEAR_FRAMES = 12, 9  # a peak is the greatest value so far around
_PEAKS_PER_S = 6
_PAIRS = 4  # of each peak with those that follow
_FURTHEST = 63  # frames from a peak to its partner
_MOST = 32  # places that have one landmark: a landmark of more tells nothing of a pair
_SHIFTS = 1 << 13  # more than twice the frames of the longest fingerprint
_LEAST_SHARED, _LEAST_SHARE = 10, 0.05

Landmarks = npt.NDArray[np.uint32]
"""`[landmarks, 2]`: the numbers, and the frames at which they are."""


def fingerprint(waveform: Waveform, sample_rate: int) -> Landmarks:
    """The landmarks of a recording, of `LONGEST_S` at most.

    Args:
        waveform: mono, `[samples]`.
        sample_rate: Hz.
    """
    import soxr
    from scipy.ndimage import maximum_filter

    start = waveform[: int(LONGEST_S * sample_rate)]
    signal = start if sample_rate == RATE else soxr.resample(start, sample_rate, RATE, quality="LQ")
    if len(signal) < _N_FFT:
        return np.empty((0, 2), np.uint32)
    frames = np.lib.stride_tricks.sliding_window_view(signal, _N_FFT)[::_HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(_N_FFT).astype(np.float32), axis=1)[:, 1:-1]) ** 2
    level = np.log(power + 1e-6 * power.max() + 1e-20).astype(np.float32)
    level -= level.mean(axis=0)  # so that no band has all the peaks
    peak = level == maximum_filter(level, (2 * _NEAR_FRAMES + 1, 2 * _NEAR_BANDS + 1))
    time, band = np.nonzero(peak & (level > 0))
    if len(time) == 0:
        return np.empty((0, 2), np.uint32)
    count = max(1, int(_PEAKS_PER_S * len(signal) / RATE))
    kept = np.sort(np.argsort(-level[time, band], kind="stable")[:count])
    return _pairs(time[kept].astype(np.int64), band[kept].astype(np.int64))


def _pairs(time: npt.NDArray[np.int64], band: npt.NDArray[np.int64]) -> Landmarks:
    """Each peak, in order of time, with those that follow."""
    found = []
    for step in range(1, _PAIRS + 1):
        apart = time[step:] - time[:-step]
        near = (apart > 0) & (apart <= _FURTHEST)
        number = (band[:-step] << 15 | band[step:] << 6 | apart)[near]
        found.append(np.stack([number, time[:-step][near]], axis=1))
    return np.concatenate(found).astype(np.uint32)


def same_sound(fingerprints: Sequence[Landmarks]) -> list[tuple[int, int]]:
    """Pairs of recordings that share many landmarks at one distance in time.

    The time that it takes grows with the number of landmarks: those that many recordings have are left out.
    """
    sizes = np.array([len(own) for own in fingerprints], dtype=np.int64)
    if not sizes.sum():
        return []
    votes, count = np.unique(np.concatenate(list(_votes(fingerprints, sizes))), return_counts=True)
    enough = count >= _LEAST_SHARED // 2
    votes, count = votes[enough], count[enough]
    pair = votes // _SHIFTS
    beside = np.append(np.where(np.diff(votes) == 1, count[1:], 0), 0)  # a distance that lies between two frames
    first, second = np.divmod(pair, len(fingerprints))
    shared = count + beside
    same = (shared >= _LEAST_SHARED) & (shared >= _LEAST_SHARE * np.minimum(sizes[first], sizes[second]))
    return sorted({(int(one), int(other)) for one, other in zip(first[same], second[same], strict=True)})


def _votes(fingerprints: Sequence[Landmarks], sizes: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """For each landmark that two recordings share a number made of the two and of the distance in time."""
    landmarks = np.concatenate(list(fingerprints)).astype(np.int64)
    track = np.repeat(np.arange(len(sizes)), sizes)
    order = np.argsort(landmarks[:, 0], kind="stable")  # within one landmark tracks are in order
    number, time, track = landmarks[order, 0], landmarks[order, 1], track[order]
    run = np.diff(np.flatnonzero(np.r_[True, number[1:] != number[:-1], True]))
    telling = np.repeat(run <= _MOST, run)
    number, time, track = number[telling], time[telling], track[telling]
    for step in range(1, _MOST):
        same = (number[step:] == number[:-step]) & (track[step:] != track[:-step])
        pair = track[:-step][same] * len(sizes) + track[step:][same]
        yield pair * _SHIFTS + time[step:][same] - time[:-step][same] + _SHIFTS // 2
