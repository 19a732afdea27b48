"""Metrics that a config names: values against torchmetrics, intervals, errors."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassAUROC, MulticlassConfusionMatrix, MulticlassF1Score

from musicgen_cls.errors import UsageError
from musicgen_cls.metrics.named import metric_intervals, metric_values, named_metrics
from musicgen_cls.metrics.scores import Scores


@pytest.fixture
def scores():
    """Twelve windows of six tracks in three classes."""
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(3), 12).astype(np.float32)
    probs[:4, 0] += 1
    probs /= probs.sum(axis=1, keepdims=True)
    track = np.repeat(np.arange(6), 2)
    y = np.array([0, 1, 2, 0, 1, 2])[track]
    return Scores(np.arange(12), track, np.zeros(12, np.float32), y, np.log(probs))


def test_values_are_those_of_torchmetrics_over_tracks(scores):
    metrics = named_metrics({"auroc": MulticlassAUROC, "f1": partial(MulticlassF1Score, average="macro")}, 3)
    probs, y = torch.tensor(scores.track_probs, dtype=torch.float32), torch.tensor(scores.track_y)
    expected = {
        "auroc": float(MulticlassAUROC(3)(probs, y)),
        "f1": float(MulticlassF1Score(3, average="macro")(probs, y)),
    }
    assert metric_values(metrics, scores) == pytest.approx(expected)
    assert metric_values(metrics, scores) == pytest.approx(expected)  # nothing stays from the call before


def test_intervals_hold_the_value_and_are_the_same_again(scores):
    metrics = named_metrics({"f1": partial(MulticlassF1Score, average="micro")}, 3)
    first, again = (metric_intervals(metrics, scores)["f1"] for _ in range(2))
    assert first == again
    assert first.low <= first.value <= first.high
    assert first.low < first.high


def test_a_class_of_one_track_leaves_no_interval(scores):
    one = Scores(*(getattr(scores, name)[:8] for name in ("index", "track", "start_s", "y", "log_probs")))
    found = metric_intervals(named_metrics({"auroc": MulticlassAUROC}, 3), one)["auroc"]
    assert np.isfinite(found.value)
    assert np.isnan([found.low, found.high]).all()


def test_a_class_without_tracks_leaves_no_value(scores):
    two = scores.y < 2
    some = Scores(*(getattr(scores, name)[two] for name in ("index", "track", "start_s", "y", "log_probs")))
    metrics = named_metrics({"auroc": MulticlassAUROC}, 3)
    assert np.isnan(metric_values(metrics, some)["auroc"])
    assert np.isnan(metric_intervals(metrics, some)["auroc"].value)


def test_no_metric_costs_nothing(scores):
    assert metric_values(named_metrics({}, 3), scores) == {}
    assert metric_intervals(named_metrics({}, 3), scores) == {}


@pytest.mark.parametrize("name", ["loss", "accuracy", "track_accuracy", "my metric", "a.b"])
def test_names_that_are_refused(name):
    with pytest.raises(UsageError, match=f"--model.metrics {name}: give it another name"):
        named_metrics({name: MulticlassAUROC}, 3)


def test_a_metric_of_several_numbers_is_refused(scores):
    metrics = named_metrics({"confusion": MulticlassConfusionMatrix}, 3)
    with pytest.raises(UsageError, match="confusion: gives 9 numbers, not one"):
        metric_values(metrics, scores)
