"""Acoustic fingerprints: they find copies of a recording in other formats, at other sample rates and levels.

A fingerprint is a list of landmarks (Wang 2003, "An industrial-strength audio search algorithm"). A landmark is a pair
of spectral peaks: a number made of their two frequencies and the time between them, and the time of the first peak.
Copies share many landmarks at the same offset in time; different recordings share few. A recording of a few seconds can
have too few landmarks to be found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio.io import Waveform

RATE = 8000
"""Sample rate for fingerprints, Hz. Encoders preserve little at higher frequencies."""

LONGEST_S = 60.0
"""Length of the start of a recording that is used, s."""

_N_FFT, _HOP = 1024, 256
_NEAR_BANDS, _NEAR_FRAMES = 12, 9  # a peak is the maximum within these distances
_PEAKS_PER_S = 6
_PAIRS = 4  # landmarks of each peak, with the next peaks
_MAX_DISTANCE = 63  # maximum distance of the two peaks of a landmark, frames
_MAX_OCCURRENCES = 32  # maximum occurrences of a landmark; a more frequent one is not specific to a pair of recordings
_SHIFTS = 1 << 13  # offsets in time; more than twice the frames of the longest fingerprint
_MIN_SHARED, _MIN_SHARE = 10, 0.05  # landmarks of a pair: their number, and their part of the shorter fingerprint

Landmarks = npt.NDArray[np.uint32]
"""`[landmarks, 2]`: the number of each landmark, and the frame of its first peak."""


def fingerprint(waveform: Waveform, sample_rate: int) -> Landmarks:
    """The landmarks in the first `LONGEST_S` of a recording.

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
    level -= level.mean(axis=0)  # so that the peaks are spread over the bands
    peak = level == maximum_filter(level, (2 * _NEAR_FRAMES + 1, 2 * _NEAR_BANDS + 1))
    time, band = np.nonzero(peak & (level > 0))
    if len(time) == 0:
        return np.empty((0, 2), np.uint32)
    count = max(1, int(_PEAKS_PER_S * len(signal) / RATE))
    kept = np.sort(np.argsort(-level[time, band], kind="stable")[:count])
    return _pairs(time[kept].astype(np.int64), band[kept].astype(np.int64))


def _pairs(time: npt.NDArray[np.int64], band: npt.NDArray[np.int64]) -> Landmarks:
    """The landmarks of peaks that are sorted by time."""
    found = []
    for step in range(1, _PAIRS + 1):
        apart = time[step:] - time[:-step]
        near = (apart > 0) & (apart <= _MAX_DISTANCE)
        number = (band[:-step] << 15 | band[step:] << 6 | apart)[near]
        found.append(np.stack([number, time[:-step][near]], axis=1))
    return np.concatenate(found).astype(np.uint32)


def same_sound(fingerprints: Sequence[Landmarks]) -> list[tuple[int, int]]:
    """Pairs of recordings that share many landmarks at the same offset in time.

    The run time is proportional to the number of landmarks, since very frequent landmarks are not used.
    """
    sizes = np.array([len(own) for own in fingerprints], dtype=np.int64)
    if not sizes.sum():
        return []
    votes, count = np.unique(np.concatenate(list(_votes(fingerprints, sizes))), return_counts=True)
    enough = count >= _MIN_SHARED // 2
    votes, count = votes[enough], count[enough]
    pair = votes // _SHIFTS
    beside = np.append(np.where(np.diff(votes) == 1, count[1:], 0), 0)  # for an offset between two frames
    first, second = np.divmod(pair, len(fingerprints))
    shared = count + beside
    same = (shared >= _MIN_SHARED) & (shared >= _MIN_SHARE * np.minimum(sizes[first], sizes[second]))
    return sorted({(int(one), int(other)) for one, other in zip(first[same], second[same], strict=True)})


def _votes(fingerprints: Sequence[Landmarks], sizes: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """For each landmark that two recordings share, a number made of the pair and of the offset in time."""
    landmarks = np.concatenate(list(fingerprints)).astype(np.int64)
    track = np.repeat(np.arange(len(sizes)), sizes)
    order = np.argsort(landmarks[:, 0], kind="stable")  # stable: equal landmarks stay sorted by track
    number, time, track = landmarks[order, 0], landmarks[order, 1], track[order]
    run = np.diff(np.flatnonzero(np.r_[True, number[1:] != number[:-1], True]))
    specific = np.repeat(run <= _MAX_OCCURRENCES, run)
    number, time, track = number[specific], time[specific], track[specific]
    for step in range(1, _MAX_OCCURRENCES):
        same = (number[step:] == number[:-step]) & (track[step:] != track[:-step])
        pair = track[:-step][same] * len(sizes) + track[step:][same]
        yield pair * _SHIFTS + time[step:][same] - time[:-step][same] + _SHIFTS // 2
