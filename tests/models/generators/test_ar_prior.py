"""The prior against its Gaussian process, conditioned by solving with the full covariance matrix."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from musicgen_cls.models.generators.ar_prior import _WHITE_NOISE, AutoregressivePrior

COEFFICIENTS, OFFSET_VARIANCE, LENGTH, KNOWN = (1.1, -0.5), 0.4, 9, 4


def correlations() -> list[float]:
    """At lags 0, 1, ...: the offset, and an oscillating process of order 2."""
    process = [1.0, COEFFICIENTS[0] / (1 - COEFFICIENTS[1])]
    while len(process) < LENGTH:
        process.append(COEFFICIENTS[0] * process[-1] + COEFFICIENTS[1] * process[-2])
    return [OFFSET_VARIANCE + (1 - OFFSET_VARIANCE) * r for r in process]


def covariance() -> Tensor:
    """Of nine frames of one coefficient."""
    place = torch.arange(LENGTH)
    return torch.tensor(correlations(), dtype=torch.float64)[(place[:, None] - place).abs()]


def measured() -> Tensor:
    """What `update` measures at order 2 in infinitely many windows, `[4, 1]`; less the white noise of `_estimate`."""
    return torch.tensor([1 / (1 + _WHITE_NOISE), *correlations()[1:3], OFFSET_VARIANCE], dtype=torch.float64)[:, None]


@pytest.fixture
def prior() -> AutoregressivePrior:
    made = AutoregressivePrior(2, 1, order=2).double()
    made.covariances[1] = measured()  # of genre 1; genre 0 has no windows
    return made


def genre(frames: Tensor, label: int = 1) -> Tensor:
    return torch.full((len(frames),), label)


def predict(prior: AutoregressivePrior, frames: Tensor, known: int, white: Tensor) -> tuple[Tensor, Tensor]:
    mask = (torch.arange(LENGTH) < known).double().expand(len(frames), 1, LENGTH)
    expected, noise, *_ = prior.predict(frames[:, None], mask, white, genre(frames))
    return expected[:, 0, known:], noise[:, 0, known:]


def drawn(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    white = torch.randn(count, LENGTH, generator=generator, dtype=torch.float64)
    return white @ torch.linalg.cholesky(covariance()).T


@pytest.mark.parametrize("known", [0, 1, KNOWN, LENGTH - 1])
def test_the_mean_is_the_conditional_mean(prior: AutoregressivePrior, known: int) -> None:
    frames = drawn(5)
    full = covariance()
    mean = frames[:, :known] @ torch.linalg.solve(full[:known, :known], full[:known, known:])
    expected, _ = predict(prior, frames, known, torch.zeros(5, 1, LENGTH + 1).double())
    torch.testing.assert_close(expected, mean)


@pytest.mark.parametrize("known", [0, 1, 2, KNOWN])
def test_the_noise_has_the_conditional_covariance(prior: AutoregressivePrior, known: int) -> None:
    full = covariance()
    inner = torch.linalg.solve(full[:known, :known], full[:known, known:])
    conditional = full[known:, known:] - full[known:, :known] @ inner
    # the noise is linear in the white numbers, so that its covariance follows exactly from that linear map
    each = torch.eye(LENGTH + 1).double()[:, None]
    _, noise = predict(prior, torch.zeros(LENGTH + 1, LENGTH).double(), known, each)
    torch.testing.assert_close(noise.T @ noise, conditional)


@pytest.mark.parametrize("earlier", [1, 2, 3])
def test_the_state_holds_everything_about_earlier_frames(prior: AutoregressivePrior, earlier: int) -> None:
    frames, white = drawn(5)[:, None], torch.randn(5, 1, LENGTH + 1).double()
    mask = (torch.arange(LENGTH) < KNOWN).double().expand(5, 1, LENGTH)
    at_once, noise, scale, end = prior.predict(frames, mask, white, genre(frames))
    state = prior.advance(frames[:, :, :earlier], genre(frames))
    later = prior.predict(frames[:, :, earlier:], mask[:, :, earlier:], white[:, :, earlier:], genre(frames), state)
    torch.testing.assert_close(at_once[:, :, earlier:], later[0])
    torch.testing.assert_close(noise[:, :, KNOWN:], later[1][:, :, KNOWN - earlier :])
    torch.testing.assert_close(scale, later[2])
    torch.testing.assert_close(end, later[3])


def test_covariances_are_measured() -> None:
    prior = AutoregressivePrior(2, 1, order=2)
    for seed in range(20):
        labels = torch.arange(500) % 2
        frames = drawn(500, seed) * labels[:, None]  # genre 0 is constant 0
        prior.update(frames[:, None].float(), labels)
    assert prior.covariances[0].tolist() == [[0], [0], [0], [0]]
    ends = correlations()[LENGTH - 1]
    assert prior.covariances[1, :, 0].tolist() == pytest.approx([*correlations()[:3], ends], abs=0.03)


def test_without_training_windows_the_mean_is_near_0() -> None:
    prior = AutoregressivePrior(1, 3, order=4)
    ones = torch.ones(2, 3, 5)
    expected, noise, *_ = prior.predict(ones, ones[:, :1], torch.randn(2, 3, 6), genre(ones, 0))
    assert torch.isfinite(noise).all()
    assert expected.abs().max() < 0.05


def test_the_scale_follows_the_deviations_of_known_frames():
    prior = AutoregressivePrior(1, 64, 2, torch.arange(64) // 32).double()
    prior.covariances.copy_(measured())
    labels = genre(torch.zeros(3), 0)
    generator = torch.Generator().manual_seed(0)
    white = torch.randn(3, 64, LENGTH, generator=generator, dtype=torch.float64)
    frames = white @ torch.linalg.cholesky(covariance()).T
    frames[1, 32:] *= 3
    frames[2, 32:] *= 0.3
    mask = torch.ones(3, 1, LENGTH).double()
    _, _, scale, _ = prior.predict(frames, mask, torch.zeros(3, 64, LENGTH + 1).double(), labels)
    assert scale[:, 0, 0].tolist() == pytest.approx([1, 1, 1], abs=0.1)
    assert scale[:, -1, 0].tolist() == pytest.approx([1, 2.9, 0.4], rel=0.15)  # nearer to 1 by the pseudo-count
    _, _, scale, _ = prior.predict(frames, 0 * mask, torch.zeros(3, 64, LENGTH + 1).double(), labels)
    assert (scale == 1).all()
