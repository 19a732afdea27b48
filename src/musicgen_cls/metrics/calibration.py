"""Temperature and bias of probabilities, fitted on validation tracks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicgen_cls.metrics.scores import Floats, Scores

TEMPERATURES = (0.05, 20.0)
"""The lowest and the highest temperature."""
TRACKS_FOR_BIAS = 20
"""The bias is fitted if every genre has at least this number of tracks; otherwise it is 0."""
_SPREAD_TEMPERATURE, _SPREAD_BIAS = 1.0, 0.5  # standard deviations of the prior of log T, and of each b
_LOWEST = -1e4  # of a log-probability: a network that averages over time can give a probability of 0

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """A fitted calibration.

    Attributes:
        temperature: T, above 0.
        bias: b, `[num_classes]`; zeros if only the temperature was fitted.
        tracks: number of tracks.
        before: mean negative log-likelihood of the tracks before, in nats.
        after: the same after calibration.
    """

    temperature: float
    bias: Vector
    tracks: int
    before: float
    after: float

    @property
    def line(self) -> str:
        """The result in words, on one line."""
        bias = "" if self.bias.any() else f" (no bias: fewer than {TRACKS_FOR_BIAS} validation tracks in a genre)"
        return (
            f"temperature {self.temperature:.3g}{bias}; loss of {self.tracks} validation "
            f"track{'s' * (self.tracks != 1)} {self.before:.4f} before, {self.after:.4f} after"
        )


def fit_calibration(scores: Scores) -> Fit:
    """Find the temperature T and the bias b with the most probable true genres of tracks.

    The probabilities of a window with logits z are p = softmax(z / T + b). Those of a track are the mean of p over its
    windows. T > 1 makes them more even, T < 1 less even; b changes the odds between genres. In steps:

    1. The likelihood of a track is P = mean over its windows of p[y], where y is its genre. The loss is the sum of
       -log P over tracks.
    2. Few tracks must not give extreme values. So the loss has a penalty: log T has a normal prior with mean 0 and
       standard deviation 1, and each b one with standard deviation 0.5. In nats, that is (log T)^2 / 2 and
       sum(b^2) / (2 * 0.5^2). The penalty is small beside the loss of a hundred tracks.
    3. If a genre has fewer than `TRACKS_FOR_BIAS` tracks, b is 0, and only T is fitted.
    4. T stays within `TEMPERATURES`. Without bounds and penalty, T would go to 0 if all predictions are right.
    5. Let u = z / T + b. The derivative of -log P by u[k] of a window is -r * ((k == y) - p[k]), where r is the share
       of the window in P: r = p[y] / sum of p[y] over the windows of the track. The chain rule gives the derivatives by
       b (du/db = 1) and by log T (du/dlog T = -z / T).
    6. L-BFGS-B minimises the loss, from T = 1 and b = 0.

    Log-probabilities can replace logits: both differ by a constant for each window, which softmax removes.

    Args:
        scores: predictions for validation tracks with T = 1 and b = 0.

    Raises:
        ValueError: a probability is NaN.

    References:
        C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger (2017), On Calibration of Modern Neural Networks, ICML,
        https://arxiv.org/abs/1706.04599: temperature scaling, and vector scaling, which also has a bias.
        R. Rahaman and A. H. Thiery (2021), Uncertainty Quantification and Deep Ensembles, NeurIPS,
        https://arxiv.org/abs/2007.08792: averages of probabilities are calibrated after the average.

    """
    from scipy.optimize import Bounds, minimize

    if np.isnan(scores.log_probs).any():
        raise ValueError("a probability is NaN: expected numbers")
    with_bias = bool(np.bincount(scores.track_y, minlength=scores.num_classes).min() >= TRACKS_FOR_BIAS)
    size = 1 + with_bias * scores.num_classes
    low, high = np.full(size, -np.inf), np.full(size, np.inf)
    low[0], high[0] = np.log(TEMPERATURES)
    found = minimize(
        penalised_loss, np.zeros(size), args=(scores,), jac=True, method="L-BFGS-B", bounds=Bounds(low, high)
    )
    best: Vector = found.x
    tracks = len(scores.track_ids)
    bias = best[1:] if with_bias else np.zeros(scores.num_classes)
    before, after = (track_loss(at, scores)[0] / tracks for at in (np.zeros(1), best))
    return Fit(float(np.exp(best[0])), bias, tracks, before, after)


def penalised_loss(at: Vector, scores: Scores) -> tuple[float, Vector]:
    """The loss of `fit_calibration` with its penalty, and the gradient; arguments as for `track_loss`."""
    loss, gradient = track_loss(at, scores)
    spread = np.full(len(at), _SPREAD_BIAS)
    spread[0] = _SPREAD_TEMPERATURE
    return loss + float(np.sum((at / spread) ** 2)) / 2, gradient + at / spread**2


def track_loss(at: Vector, scores: Scores) -> tuple[float, Vector]:
    """Sum of the negative log-likelihoods of tracks, in nats, and its gradient.

    Args:
        at: log T, and b unless it is 0: `[1]` or `[1 + num_classes]`.
        scores: predictions with T = 1 and b = 0.
    """
    windows = np.arange(len(scores.y))
    z = np.maximum(scores.log_probs.astype(np.float64), _LOWEST) / np.exp(at[0])  # logits / T, [windows, classes]
    log_p = _log_softmax(z + at[1:] if len(at) > 1 else z)
    place = np.searchsorted(scores.track_ids, scores.track)  # of the track of each window
    right = log_p[windows, scores.y]
    most = np.full(len(scores.track_ids), -np.inf)
    np.maximum.at(most, place, right)
    share = np.exp(right - most[place])  # of p[y], relative to the largest of the track
    total = np.bincount(place, weights=share)
    loss = -float(np.sum(most + np.log(total) - np.log(scores.track_windows)))
    by_u = np.exp(log_p)  # derivative by z / T + b, [windows, classes]
    by_u[windows, scores.y] -= 1
    by_u *= (share / total[place])[:, None]
    by_log_t = -float(np.sum(by_u * z))
    return loss, np.concatenate([[by_log_t], by_u.sum(axis=0)])[: len(at)]


def _log_softmax(u: Floats) -> Vector:
    u = u - u.max(axis=1, keepdims=True)
    log_p: Vector = u - np.log(np.exp(u).sum(axis=1, keepdims=True))
    return log_p
