"""The fit of temperature and bias against theory."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad

from musicgen_cls.metrics.calibration import TEMPERATURES, TRACKS_FOR_BIAS, fit_calibration, penalised_loss, track_loss
from musicgen_cls.metrics.scores import Scores


def softmax(z: np.ndarray) -> np.ndarray:
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def scores_of(z: np.ndarray, y: np.ndarray, windows: int = 1) -> Scores:
    """Scores of logits `[tracks * windows, classes]` and genres `[tracks]`."""
    n = len(z)
    return Scores(
        index=np.arange(n), track=np.repeat(np.arange(len(y)) * 3, windows), start_s=np.zeros(n),
        y=np.repeat(y, windows), log_probs=np.log(softmax(z)),
    )  # fmt: skip


def drawn(rng: np.random.Generator, probs: np.ndarray) -> np.ndarray:
    """A class for each row, with these probabilities."""
    return (probs.cumsum(axis=1) < rng.random((len(probs), 1))).sum(axis=1)


def test_the_temperature_and_the_bias_of_a_known_softmax_are_found():
    rng, bias = np.random.default_rng(0), np.array([0.4, -0.3, 0.0, -0.1])
    z = rng.normal(0, 5, (20_000, 4))
    fit = fit_calibration(scores_of(z, drawn(rng, softmax(z / 2.5 + bias))))
    assert fit.temperature == pytest.approx(2.5, rel=0.03)
    np.testing.assert_allclose(fit.bias - fit.bias.mean(), bias - bias.mean(), atol=0.06)
    assert fit.after < fit.before
    assert fit.tracks == 20_000


def test_the_temperature_of_averages_over_windows_is_found():
    """The genre of a track follows the mean of its windows' probabilities at T = 2.5."""
    rng = np.random.default_rng(1)
    z = rng.normal(0, 6, (20_000, 3)).repeat(4, axis=0) + rng.normal(0, 3, (80_000, 3))
    y = drawn(rng, softmax(z / 2.5).reshape(20_000, 4, 3).mean(axis=1))
    assert fit_calibration(scores_of(z, y, windows=4)).temperature == pytest.approx(2.5, rel=0.06)


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("loss", [track_loss, penalised_loss])
def test_the_gradient_is_that_of_finite_differences(size: int, loss: object):
    rng = np.random.default_rng(2)
    scores = scores_of(rng.normal(0, 3, (60, 3)), rng.integers(3, size=20), windows=3)
    for at in (np.zeros(size), rng.normal(0, 0.7, size)):
        value, gradient = loss(at, scores)
        difference = check_grad(lambda x: loss(x, scores)[0], lambda x: loss(x, scores)[1], at)
        assert difference < 1e-5 * max(1.0, np.abs(gradient).max())
        assert value > 0


def test_the_loss_is_that_of_the_tracks():
    rng = np.random.default_rng(3)
    scores = scores_of(rng.normal(0, 3, (60, 3)), rng.integers(3, size=20), windows=3)
    assert track_loss(np.zeros(1), scores)[0] == pytest.approx(20 * scores.track_loss)
    assert fit_calibration(scores).before == pytest.approx(scores.track_loss)


def test_few_tracks_in_a_genre_give_no_bias():
    rng = np.random.default_rng(4)
    z = rng.normal(0, 3, (400, 3))
    y = np.repeat([0, 1, 2], [200, 200 - TRACKS_FOR_BIAS + 1, TRACKS_FOR_BIAS - 1])
    assert not fit_calibration(scores_of(z, y)).bias.any()
    assert "no bias" in fit_calibration(scores_of(z, y)).line
    y[0] = 2
    assert fit_calibration(scores_of(z, y)).bias.any()
    assert "bias" not in fit_calibration(scores_of(z, y)).line


@pytest.mark.parametrize("tracks", [1, 12, 5000])
def test_without_a_mistake_the_temperature_is_bounded(tracks: int):
    """The more tracks without a mistake, the lower the temperature, but never below the bound."""
    y = np.arange(tracks) % 3
    fit = fit_calibration(scores_of(2.0 * np.eye(3)[y], y))
    assert TEMPERATURES[0] <= fit.temperature < 1
    assert fit.after < fit.before
    if tracks == 1:
        assert fit.temperature > 0.7
    assert not fit_calibration(scores_of(2.0 * np.eye(3)[np.zeros(5, int)], np.zeros(5, int))).bias.any()


def test_predictions_without_information_get_a_high_temperature():
    rng = np.random.default_rng(5)
    fit = fit_calibration(scores_of(rng.normal(0, 5, (3000, 3)), rng.integers(3, size=3000)))
    assert 10 < fit.temperature <= TEMPERATURES[1]


def test_a_probability_of_0_is_no_failure():
    scores = scores_of(np.random.default_rng(6).normal(0, 2, (50, 3)), np.arange(50) % 3)
    scores.log_probs[0] = [-np.inf, 0.0, -np.inf]
    fit = fit_calibration(scores)
    assert np.isfinite([fit.temperature, fit.after]).all()
    scores.log_probs[1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        fit_calibration(scores)
