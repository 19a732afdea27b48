"""Metrics that the config of a task names: torchmetrics, over the probabilities of tracks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from musicgen_cls.errors import UsageError
from musicgen_cls.metrics.intervals import Interval
from musicgen_cls.metrics.scores import Scores

_TAKEN = ("loss", "accuracy", "track_accuracy")
_RESAMPLES = 500


def named_metrics(metrics: Mapping[str, Callable[[int], Metric]], num_classes: int) -> MetricCollection:
    """Build the metrics with the number of classes.

    Every process has the predictions of all tracks, so that nothing is gathered between processes.

    Raises:
        UsageError: a name is in use already, or has characters other than letters, digits and _.
    """
    for name in metrics:
        if name in _TAKEN or not name.isidentifier():
            raise UsageError(
                f"--model.metrics {name}: give it another name, of letters, digits and _, but not {', '.join(_TAKEN)}"
            )
    made = MetricCollection({name: make(num_classes) for name, make in metrics.items()})
    for metric in made.values():
        metric.sync_on_compute = False
    return made


def values_of(metrics: MetricCollection, probabilities: Tensor, y: Tensor) -> dict[str, float]:
    """The value of each metric.

    Args:
        metrics: from `named_metrics`.
        probabilities: of tracks, `[tracks, classes]`.
        y: true classes, `[tracks]`.

    Raises:
        UsageError: a metric gives more than one number.
    """
    metrics.reset()
    metrics.update(probabilities, y)
    found = metrics.compute()
    metrics.reset()
    if several := next((name for name, value in found.items() if value.numel() != 1), None):
        raise UsageError(
            f"--model.metrics {several}: gives {found[several].numel()} numbers, not one; set its average, as macro"
        )
    return {name: float(value) for name, value in found.items()}


def metric_values(metrics: MetricCollection, scores: Scores) -> dict[str, float]:
    """The value of each metric over the tracks of an evaluation set; NaN if a class has no track.

    torchmetrics gives such a class a 0: an average over classes would be too low.
    """
    if not len(metrics):
        return {}
    if len(np.unique(scores.track_y)) < scores.num_classes:
        return dict.fromkeys(map(str, metrics), math.nan)
    return values_of(metrics, *_tracks(metrics, scores))


def metric_intervals(metrics: MetricCollection, scores: Scores, seed: int = 0) -> dict[str, Interval]:
    """Each metric over tracks, with its 95 % percentile bootstrap interval.

    A resample has as many tracks of each class as the evaluation set, drawn with replacement. The interval is NaN if a
    class has fewer than two tracks, and the value too if a class has none.

    Reference:
        B. Efron and R. J. Tibshirani (1993), An Introduction to the Bootstrap, Chapman & Hall, chapter 13.
    """
    values = metric_values(metrics, scores)
    sizes = np.bincount(scores.track_y, minlength=scores.num_classes)
    if not values or sizes.min() < 2:
        return {name: Interval(value, math.nan, math.nan) for name, value in values.items()}
    probabilities, y = _tracks(metrics, scores)
    rng = np.random.default_rng(seed)
    classes = [np.flatnonzero(scores.track_y == label) for label in range(scores.num_classes)]
    drawn: list[dict[str, float]] = []
    for _ in range(_RESAMPLES):
        rows = torch.from_numpy(np.concatenate([rng.choice(members, len(members)) for members in classes])).to(y.device)
        drawn.append(values_of(metrics, probabilities[rows], y[rows]))
    intervals = {}
    for name, value in values.items():
        low, high = np.quantile([sample[name] for sample in drawn], (0.025, 0.975)).tolist()
        intervals[name] = Interval(value, low, high)
    return intervals


def _tracks(metrics: MetricCollection, scores: Scores) -> tuple[Tensor, Tensor]:
    device = next(iter(metrics.values())).device
    probabilities = torch.from_numpy(scores.track_probs.astype(np.float32)).to(device)
    return probabilities, torch.from_numpy(scores.track_y).to(device)
