"""The calibration error against theory."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_cls.metrics.reliability import calibration_error, reliability_bins, summarise_confidence
from musicgen_cls.metrics.scores import Scores


def test_the_error_of_a_perfect_network_tends_to_0():
    rng, errors = np.random.default_rng(0), []
    for n in (100, 2000, 20_000):
        confidence = rng.uniform(0.3, 1, n)
        error, perfect = calibration_error(confidence, rng.random(n) < confidence)
        assert error.low == 0
        assert error.value == pytest.approx(perfect, rel=0.7)
        errors.append(error.value)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.015


def test_the_error_of_an_overconfident_network_is_known():
    """The network is right in 30 % fewer cases than it claims, at every confidence."""
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.4, 1, 5000)
    error, perfect = calibration_error(confidence, rng.random(5000) < confidence - 0.3)
    assert error.value == pytest.approx(0.3, abs=0.02)
    assert 0.25 < error.low < 0.3 < error.high < 0.35
    assert perfect < 0.03


def test_too_low_and_too_high_confidence_do_not_cancel():
    confidence = np.repeat([0.5, 0.9], 100)
    correct = np.concatenate([np.arange(100) % 10 < 7, np.arange(100) % 10 < 7])
    assert calibration_error(confidence, correct)[0].value == pytest.approx(0.2)


def test_bins_have_equal_numbers_and_enough_tracks():
    rng = np.random.default_rng(2)
    for n, bins in ((1, 1), (39, 1), (40, 2), (207, 10), (1000, 10)):
        confidence = rng.uniform(0.2, 1, n)
        correct = rng.random(n) < 0.5
        found = reliability_bins(confidence, correct)
        sizes = [part.tracks for part in found]
        assert len(found) == bins
        assert sum(sizes) == n
        assert max(sizes) - min(sizes) <= 1
        assert sum(part.accuracy.value * part.tracks for part in found) == pytest.approx(correct.sum())
        assert all(part.low <= part.confidence <= part.high for part in found)
        assert [part.low for part in found] == sorted(part.low for part in found)


@pytest.mark.parametrize("correct", [True, False])
def test_a_single_track(correct: bool):
    error, perfect = calibration_error([0.8], [correct])
    assert error.value == pytest.approx(0.2 if correct else 0.8)
    assert 0 <= error.low <= error.value <= error.high <= 1
    assert perfect == pytest.approx(0.32, abs=0.03)  # 0.8 * 0.2 + 0.2 * 0.8


def test_the_summary_of_a_report():
    probs = np.array([[0.9, 0.1], [0.4, 0.6], [0.55, 0.45], [0.2, 0.8]])
    y = np.array([0, 1, 1, 0])
    scores = Scores(np.arange(4), np.arange(4), np.zeros(4), y, np.log(probs))
    found = summarise_confidence(scores, 0.7)
    assert found["unsure"]["value"] == 0.5
    assert found["sure_accuracy"]["value"] == 0.5
    assert found["brier"]["value"] == pytest.approx(2 * np.mean(np.array([0.1, 0.4, 0.55, 0.8]) ** 2))
    assert found["calibration_error"]["value"] == pytest.approx(abs((0.9 + 0.6 + 0.55 + 0.8) / 4 - 0.5))
    assert len(found["reliability"]) == 1
    nobody = summarise_confidence(scores, 0.95)
    assert nobody["unsure"]["value"] == 1
    assert nobody["sure_accuracy"] is None
    assert summarise_confidence(scores, 0)["unsure"]["value"] == 0
