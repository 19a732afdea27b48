"""Distances between two sets of tracks. A track is a set of windows, and a window is a vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Distance:
    """A distance with the ends of its 95 % interval, or None if there is no interval."""

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        return f"{self.value:.4g}" + (f" [{self.low:.3g}, {self.high:.3g}]" if self.low is not None else "")


def mmd(
    ours: Sequence[Floats], real: Sequence[Floats], bandwidth: float, related: Sequence[tuple[int, int]] = ()
) -> Distance:
    """Unbiased estimate of the squared maximum mean discrepancy (MMD^2), with a Gaussian kernel.

    After Gretton et al. 2012, "A Kernel Two-Sample Test", Journal of Machine Learning Research 13, 723-773, lemma 6.

    1. The samples are tracks. The kernel of two tracks is the mean of k(u, v) = exp(-|u - v|^2 / (2 bandwidth^2)) over
       all pairs of a window u of one and a window v of the other. Windows of one track are not independent, and pairs
       of a track with itself are left out.
    2. MMD^2 is the mean kernel over pairs of tracks of the first set, plus that of the second set, minus twice the mean
       kernel over pairs of a track of each. It is 0 on average if both sets have the same distribution. It can be
       negative.
    3. The interval is that of the jackknife over the tracks of both sets. There is none for a set of two tracks.

    Args:
        ours: the windows of each track of the first set, `[windows, features]`; at least two tracks.
        real: the windows of each track of the second set; at least two tracks.
        bandwidth: distance at which the kernel is exp(-1/2); see `median_distance`.
        related: pairs of indices (in `ours`, in `real`) that are left out. A continuation and the recording of its
            prompt are not independent, which would make the distance too small.
    """
    xx, yy, xy = (_kernels(a, b, bandwidth) for a, b in ((ours, ours), (real, real), (ours, real)))
    for pair in related:
        xy[pair] = np.nan
    value = _mmd(xx, yy, xy)
    if min(len(xx), len(yy)) < 3:  # the jackknife needs two tracks after it leaves one out
        return Distance(value)
    without = [_mmd(np.delete(np.delete(xx, i, 0), i, 1), yy, np.delete(xy, i, 0)) for i in range(len(xx))]
    variance = _jackknife(without)
    without = [_mmd(xx, np.delete(np.delete(yy, i, 0), i, 1), np.delete(xy, i, 1)) for i in range(len(yy))]
    half = 1.96 * float(np.sqrt(variance + _jackknife(without)))
    return Distance(value, value - half, value + half)


def median_distance(tracks: Sequence[Floats]) -> float:
    """Median distance between windows; a random 2,000 of them if there are more."""
    from scipy.spatial.distance import pdist

    windows = np.concatenate(list(tracks))
    if len(windows) < 2:
        return 1e-12
    rows = np.random.default_rng(0).permutation(len(windows))[:2000]
    return max(float(np.median(pdist(windows[rows]))), 1e-12)


def frechet(ours: Sequence[Floats], real: Sequence[Floats]) -> Distance:
    """Frechet distance between normal distributions that are fitted to all windows of two sets.

    1. The means are a and b, the covariances A and B. The covariances are shrunk after Ledoit and Wolf 2004
       (https://doi.org/10.1016/S0047-259X(03)00096-4), since there are few windows and many features.
    2. The distance is |a - b|^2 + trace(A) + trace(B) - 2 trace((A B)^(1/2)) (Heusel et al. 2017,
       https://arxiv.org/abs/1706.08500; for audio, Kilgour et al. 2019, https://arxiv.org/abs/1812.08466).
    3. The trace of the matrix root is the sum of the square roots of the eigenvalues of A B.

    The distance is biased upwards for few tracks. Compare it with the distance between two halves of real music.
    """
    from sklearn.covariance import ledoit_wolf

    x, y = np.concatenate(list(ours)), np.concatenate(list(real))
    (a, _), (b, _) = ledoit_wolf(x), ledoit_wolf(y)
    roots = np.sqrt(np.maximum(np.linalg.eigvals(a @ b).real, 0.0))  # step 3
    gap = x.mean(axis=0) - y.mean(axis=0)
    return Distance(max(0.0, float(gap @ gap + np.trace(a) + np.trace(b) - 2 * roots.sum())))


def nearest(ours: Floats, training: Floats, chunk: int = 512) -> Floats:
    """Root mean square difference of each vector `[n, features]` from the nearest one in `[m, features]`, `[n]`."""
    x, y = ours.astype(np.float32), training.astype(np.float32)
    lengths = np.einsum("ij,ij->i", y, y)
    found = []
    for start in range(0, len(x), chunk):
        part = x[start : start + chunk]
        closest = (lengths - 2 * part @ y.T).argmin(axis=1)
        found.append(np.sqrt(np.mean(np.square(part - y[closest], dtype=np.float64), axis=1)))
    return np.concatenate(found)


def _kernels(a: Sequence[Floats], b: Sequence[Floats], bandwidth: float) -> Floats:
    """Mean kernel over the windows of each pair of tracks, `[tracks of a, tracks of b]`."""
    y = np.concatenate(list(b))
    lengths = np.einsum("ij,ij->i", y, y)
    counts = np.array([len(track) for track in b])
    firsts = np.cumsum(counts) - counts
    means = []
    for x in a:
        squares = (np.einsum("ij,ij->i", x, x)[:, None] + lengths - 2 * x @ y.T).clip(0)
        means.append(np.add.reduceat(np.exp(squares / (-2 * bandwidth**2)).mean(axis=0), firsts) / counts)
    return np.array(means)


def _mmd(xx: Floats, yy: Floats, xy: Floats) -> float:
    """Step 2 of `mmd`, from the mean kernels of pairs of tracks."""
    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (xx, yy)]
    return float(within[0] + within[1] - 2 * np.nanmean(xy))


def _jackknife(without: Sequence[float]) -> float:
    """Jackknife variance of a statistic, from its values with each track left out."""
    return float((len(without) - 1) * np.var(without))
