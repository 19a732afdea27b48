"""Seconds to samples, and where windows lie: every such rounding in the package is made here."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def to_samples(seconds: float, sample_rate: int) -> int:
    """Number of samples nearest to a duration in s."""
    return round(seconds * sample_rate)


def spaced_starts(samples: int, window: int, limit: int) -> npt.NDArray[np.int64]:
    """First samples of windows evenly spaced over a track, none overlapping another.

    Args:
        samples: length of the track.
        window: length of a window, samples.
        limit: at most so many windows; a short track has fewer, one shorter than a window none.

    Returns:
        int64 `[windows]`, ascending. Fewer windows than fit are spread from the first sample to the last.
    """
    count = min(limit, samples // window)
    if count == 1:
        return np.array([(samples - window) // 2])
    return np.linspace(0, samples - window, count).astype(np.int64)


def sliding_starts(samples: int, window: int, hop: int) -> npt.NDArray[np.int64]:
    """First samples of windows every `hop` samples that cover a track to its end.

    The last one is moved back so that it ends with the track; a track shorter than a window has one, at 0.
    """
    last = max(0, samples - window)
    starts = np.arange(0, last + 1, hop)
    return starts if starts[-1] == last else np.append(starts, last)
