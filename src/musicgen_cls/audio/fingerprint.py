"""Acoustic fingerprints: what a recording keeps of itself in other formats, at other rates and levels.

A fingerprint is a list of landmarks (Wang 2003, "An industrial-strength audio search algorithm"): pairs of spectral peaks,
each a number made of the two frequencies and the time between them, with the time of the first. Two recordings of the same
sound share many landmarks at one distance in time; others share few.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio.io import Waveform

RATE = 8000
"""Fingerprints are made at this rate, Hz: of higher frequencies encoders keep little."""

LONGEST_S = 60.0
"""Only so much of the beginning is looked at, s."""

_N_FFT, _HOP = 1024, 256
_NEAR_BANDS, _NEAR_FRAMES = 12, 9  # a peak is the greatest value so far around
_PEAKS_PER_S = 12
_PAIRS = 5  # of each peak with those that follow
_FURTHEST = 63  # frames from a peak to its partner
_MOST = 24  # tracks with one landmark: more tell nothing of a pair
_LEAST_SHARED, _LEAST_SHARE = 12, 0.04

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
    sizes = np.array([len(own) for own in fingerprints])
    if sizes.sum() == 0:
        return []
    landmarks = np.concatenate([own for own in fingerprints])
    track = np.repeat(np.arange(len(fingerprints)), sizes)
    order = np.lexsort((landmarks[:, 1], track, landmarks[:, 0]))
    number, time, track = landmarks[order, 0], landmarks[order, 1].astype(np.int64), track[order]
    pairs: dict[tuple[int, int], int] = {}
    starts = np.flatnonzero(np.r_[True, number[1:] != number[:-1]])
    run = np.diff(np.r_[starts, len(number)])
    crowded = np.repeat(run > _MOST, run)
    number, time, track = number[~crowded], time[~crowded], track[~crowded]
    firsts, seconds, shifts = [], [], []
    for step in range(1, _MOST):
        same = (number[step:] == number[:-step]) & (track[step:] != track[:-step])
        firsts.append(track[:-step][same])
        seconds.append(track[step:][same])
        shifts.append((time[step:] - time[:-step])[same])
    first, second, shift = (np.concatenate(own) for own in (firsts, seconds, shifts))
    for more in (0, 1):  # a shift that lies between two frames counts in both
        votes, count = np.unique(np.stack([first, second, (shift + more) // 2]), axis=1, return_counts=True)
        for (one, other, _), shared in zip(votes.T[count >= _LEAST_SHARED], count[count >= _LEAST_SHARED], strict=True):
            pairs[int(one), int(other)] = max(int(shared), pairs.get((int(one), int(other)), 0))
    return [
        (one, other)
        for (one, other), shared in sorted(pairs.items())
        if shared >= _LEAST_SHARE * min(sizes[one], sizes[other])
    ]
