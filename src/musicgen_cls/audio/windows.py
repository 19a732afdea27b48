"""Seconds to samples, and the positions of windows. All such rounding in the package is done here."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def to_samples(seconds: float, sample_rate: int) -> int:
    """A duration in s as a number of samples, rounded."""
    return round(seconds * sample_rate)


def spaced_starts(samples: int, window: int, limit: int) -> npt.NDArray[np.int64]:
    """First samples of windows that are evenly spaced over a track and do not overlap.

    Args:
        samples: length of the track, samples.
        window: length of a window, samples.
        limit: maximum number of windows. A short track has fewer; a track shorter than a window has none.

    Returns:
        int64 `[windows]`, ascending. The first window begins with the track and the last one ends with it; a single
        window is in the middle.
    """
    count = min(limit, samples // window)
    if count == 1:
        return np.array([(samples - window) // 2])
    return np.linspace(0, samples - window, count).astype(np.int64)


def sliding_starts(samples: int, window: int, hop: int) -> npt.NDArray[np.int64]:
    """First samples of windows, `hop` samples apart, that cover a whole track.

    The last window ends with the track. A track shorter than a window has one window, at 0.
    """
    last = max(0, samples - window)
    starts = np.arange(0, last + 1, hop)
    return starts if starts[-1] == last else np.append(starts, last)
