"""How well the probabilities of predictions agree with their accuracy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from musicgen_cls.metrics.intervals import Interval, at_once, resampled, student, wilson
from musicgen_cls.metrics.scores import Scores

BINS, TRACKS_IN_BIN = 10, 20
"""The largest number of bins, and the smallest number of tracks in a bin if there is more than one."""
_RESAMPLES = 2000

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Bin:
    """Tracks with similar confidence.

    Attributes:
        low: lowest confidence.
        high: highest confidence.
        tracks: number of tracks.
        confidence: mean confidence.
        accuracy: proportion of correct predictions, with Wilson's interval.
    """

    low: float
    high: float
    tracks: int
    confidence: float
    accuracy: Interval


def reliability_bins(confidence: ArrayLike, correct: ArrayLike) -> list[Bin]:
    """Predictions in bins of equal numbers, the lowest confidence first.

    There are `BINS` bins, or fewer so that each has `TRACKS_IN_BIN` tracks; at least one. Bins of equal numbers are
    less biased than bins of equal width, because many of those have only a few tracks.

    Args:
        confidence: probability of the predicted class, `[n]`, n > 0.
        correct: whether the prediction is correct, booleans `[n]`.

    Reference:
        R. Roelofs, N. Cain, J. Shlens and M. C. Mozer (2022), Mitigating Bias in Calibration Error Estimation, AISTATS,
        https://arxiv.org/abs/2012.08668: bins of equal numbers.

    """
    sure, right, starts = _sorted(confidence, correct)
    parts = zip(np.split(sure, starts[1:]), np.split(right, starts[1:]), strict=True)
    return [
        Bin(float(part[0]), float(part[-1]), len(part), float(part.mean()), wilson(float(hits.sum()), len(part)))
        for part, hits in parts
    ]


def calibration_error(confidence: ArrayLike, correct: ArrayLike, seed: int = 0) -> tuple[Interval, float]:
    """Expected calibration error (ECE) of the predicted class, and the value that a perfect network would have.

    The ECE is the mean over predictions of |accuracy - mean confidence| of their bin (`reliability_bins`). In each bin
    sampling noise adds to the difference, never subtracts. So the ECE of few tracks is too high, and a bootstrap
    distribution is higher still. The steps:

    1. The second value is the mean ECE of networks with these confidences that are correct with just that probability.
    2. The interval is the basic bootstrap interval over tracks with fixed bins: if the resamples exceed the ECE by d,
       the ECE exceeds the truth by about d. Its ends are ECE - d at the quantiles 97.5 % and 2.5 % of d.
    3. The lower end is 0 if more than 2.5 % of the perfect networks of step 1 have an ECE at least as high.

    In simulations with 40 to 1,000 tracks the interval contains the true value in 82 to 98 % of cases. The percentile
    interval of a perfect network contains it in none.

    Args:
        confidence: probability of the predicted class, `[n]`, n > 0.
        correct: whether the prediction is correct, booleans `[n]`.
        seed: random seed of the resampling.

    References:
        M. P. Naeini, G. F. Cooper and M. Hauskrecht (2015), Obtaining Well Calibrated Probabilities Using Bayesian
        Binning, AAAI: the ECE.
        A. C. Davison and D. V. Hinkley (1997), Bootstrap Methods and their Application, chapter 5: the basic interval.

    """
    sure, right, starts = _sorted(confidence, correct)
    n, rng = len(sure), np.random.default_rng(seed)
    value = float(_error(sure - right, starts))
    of_resamples, of_perfect = [], []
    for count in at_once(_RESAMPLES, n):
        rows, numbers = zip(*((rng.integers(n, size=n), rng.random(n)) for _ in range(count)), strict=True)
        of_resamples.append(_error(resampled(np.array(rows)) * (sure - right), starts))
        of_perfect.append(_error(sure - (np.array(numbers) < sure), starts))
    low, high = (2 * value - np.quantile(np.concatenate(of_resamples), [0.975, 0.025])).tolist()
    perfect = np.concatenate(of_perfect)
    low = 0.0 if (perfect >= value).mean() > 0.025 else max(0.0, low)
    return Interval(value, min(low, value), min(1.0, max(high, value))), float(perfect.mean())


def summarise_confidence(scores: Scores, threshold: float) -> dict[str, Any]:
    """The figures of a report on probabilities of tracks, as plain values.

    Args:
        scores: from `TrackScores`.
        threshold: predictions with a lower probability are unsure.
    """
    probs, y = scores.track_probs, scores.track_y
    confidence, correct = probs.max(axis=1), scores.track_pred == y
    error, perfect = calibration_error(confidence, correct)
    sure = confidence >= threshold
    brier = ((probs - np.eye(scores.num_classes)[y]) ** 2).sum(axis=1)
    return {
        "calibration_error": asdict(error),
        "calibration_error_if_perfect": perfect,
        "brier": asdict(student(brier)),
        "reliability": [asdict(part) for part in reliability_bins(confidence, correct)],
        "threshold": threshold,
        "unsure": asdict(wilson(int((~sure).sum()), len(sure))),
        "sure_accuracy": asdict(wilson(int(correct[sure].sum()), int(sure.sum()))) if sure.any() else None,
    }


def _sorted(confidence: ArrayLike, correct: ArrayLike) -> tuple[Vector, Vector, NDArray[np.int64]]:
    """Confidence and correctness in the order of confidence, `[n]`, and the first position of each bin, `[bins]`."""
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    order = np.argsort(sure, kind="stable")
    bins = max(1, min(BINS, len(sure) // TRACKS_IN_BIN))
    starts = np.array([part[0] for part in np.array_split(np.arange(len(sure)), bins)])
    return sure[order], right[order], starts


def _error(difference: Vector, starts: NDArray[np.int64]) -> Vector:
    """Mean over predictions, `[..., n]`, of the absolute mean difference in their bin."""
    return np.asarray(np.abs(np.add.reduceat(difference, starts, axis=-1)).sum(axis=-1) / difference.shape[-1])
