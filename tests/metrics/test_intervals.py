"""Intervals over pieces within genres."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_cls.metrics.intervals import stratified_bootstrap


def test_every_stratum_has_equal_weight() -> None:
    found = stratified_bootstrap([np.ones((30, 1)), np.zeros((2, 1))])
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_the_interval_is_that_of_the_normal_approximation() -> None:
    rng = np.random.default_rng(0)
    strata = [rng.normal(size=(200, 1)), rng.normal(5, 2, size=(100, 1))]
    found = stratified_bootstrap(strata, resamples=4000)
    half = 1.96 * np.sqrt(strata[0].var() / 200 + strata[1].var() / 100) / 2
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)
    assert found.value == pytest.approx((strata[0].mean() + strata[1].mean()) / 2)


def test_a_statistic_of_several_features() -> None:
    rows = np.array([[1.0, 3.0], [3.0, 5.0]])
    found = stratified_bootstrap([rows], lambda means: means[:, 1] - means[:, 0])
    assert (found.value, found.low, found.high) == (2, 2, 2)
