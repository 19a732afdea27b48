"""Persistence against the Gaussian process that it describes, conditioned by brute force."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from musicgen_cls.models.generators.ar_prior import _NOISE, Persistence

KEEP, STAYS, LENGTH, HEARD = (1.1, -0.5), 0.4, 9, 4


def correlations() -> list[float]:
    """Of tokens 0, 1, ... apart: what stays, and what swings back and forth as the second order does."""
    passes = [1.0, KEEP[0] / (1 - KEEP[1])]
    while len(passes) < LENGTH:
        passes.append(KEEP[0] * passes[-1] + KEEP[1] * passes[-2])
    return [STAYS + (1 - STAYS) * passed for passed in passes]


def covariance() -> Tensor:
    """Of nine tokens of one part."""
    place = torch.arange(LENGTH)
    return torch.tensor(correlations(), dtype=torch.float64)[(place[:, None] - place).abs()]


def measured() -> Tensor:
    """What `measure` would find in endless windows, at order 2, less the noise that is added, `[4, 1]`."""
    return torch.tensor([1 / (1 + _NOISE), *correlations()[1:3], STAYS], dtype=torch.float64)[:, None]


@pytest.fixture
def persistence() -> Persistence:
    made = Persistence(2, 1, order=2).double()
    made.products[1] = measured()  # of genre 1; of 0 nothing is known
    return made


def genre(tokens: Tensor, label: int = 1) -> Tensor:
    return torch.full((len(tokens),), label)


def follow(persistence: Persistence, heard: Tensor, known: int, white: Tensor) -> tuple[Tensor, Tensor]:
    mask = (torch.arange(LENGTH) < known).double().expand(len(heard), 1, LENGTH)
    expected, noise, *_ = persistence.follow(heard[:, None], mask, white, genre(heard))
    return expected[:, 0, known:], noise[:, 0, known:]


def drawn(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    white = torch.randn(count, LENGTH, generator=generator, dtype=torch.float64)
    return white @ torch.linalg.cholesky(covariance()).T


@pytest.mark.parametrize("known", [0, 1, HEARD, LENGTH - 1])
def test_what_is_expected_is_the_conditional_mean(persistence: Persistence, known: int) -> None:
    tokens = drawn(5)
    among = covariance()
    mean = tokens[:, :known] @ torch.linalg.solve(among[:known, :known], among[:known, known:])
    expected, _ = follow(persistence, tokens, known, torch.zeros(5, 1, LENGTH + 1).double())
    torch.testing.assert_close(expected, mean)


@pytest.mark.parametrize("known", [0, 1, 2, HEARD])
def test_the_noise_has_the_conditional_covariance(persistence: Persistence, known: int) -> None:
    among = covariance()
    inner = torch.linalg.solve(among[:known, :known], among[:known, known:])
    spread = among[known:, known:] - among[known:, :known] @ inner
    # the noise is linear in the white numbers: its covariance is that of the map, exactly
    each = torch.eye(LENGTH + 1).double()[:, None]
    _, noise = follow(persistence, torch.zeros(LENGTH + 1, LENGTH).double(), known, each)
    torch.testing.assert_close(noise.T @ noise, spread)


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_the_past_is_all_that_must_be_remembered(persistence: Persistence, gone: int) -> None:
    tokens, white = drawn(5)[:, None], torch.randn(5, 1, LENGTH + 1).double()
    mask = (torch.arange(LENGTH) < HEARD).double().expand(5, 1, LENGTH)
    at_once, noise, wider, end = persistence.follow(tokens, mask, white, genre(tokens))
    past = persistence.remember(tokens[:, :, :gone], genre(tokens))
    later = persistence.follow(tokens[:, :, gone:], mask[:, :, gone:], white[:, :, gone:], genre(tokens), past)
    torch.testing.assert_close(at_once[:, :, gone:], later[0])
    torch.testing.assert_close(noise[:, :, HEARD:], later[1][:, :, HEARD - gone :])
    torch.testing.assert_close(wider, later[2])
    torch.testing.assert_close(end, later[3])


def test_measures_what_it_is_made_of() -> None:
    persistence = Persistence(2, 1, order=2)
    for seed in range(20):
        labels = torch.arange(500) % 2
        tokens = drawn(500, seed) * labels[:, None]  # of genre 0 nothing persists
        persistence.measure(tokens[:, None].float(), labels)
    assert persistence.products[0].tolist() == [[0], [0], [0], [0]]
    ends = correlations()[LENGTH - 1]
    assert persistence.products[1, :, 0].tolist() == pytest.approx([*correlations()[:3], ends], abs=0.03)


def test_unmeasured_it_expects_nothing() -> None:
    persistence = Persistence(1, 3, order=4)
    ones = torch.ones(2, 3, 5)
    expected, noise, *_ = persistence.follow(ones, ones[:, :1], torch.randn(2, 3, 6), genre(ones, 0))
    assert torch.isfinite(noise).all()
    assert expected.abs().max() < 0.05


def test_what_was_surprising_stays_so():
    persistence = Persistence(1, 64, 2, torch.arange(64) // 32).double()
    persistence.products.copy_(measured())
    told = genre(torch.zeros(3), 0)
    chance = torch.Generator().manual_seed(0)
    white = torch.randn(3, 64, LENGTH, generator=chance, dtype=torch.float64)
    heard = white @ torch.linalg.cholesky(covariance()).T
    heard[1, 32:] *= 3
    heard[2, 32:] *= 0.3
    mask = torch.ones(3, 1, LENGTH).double()
    _, _, wider, _ = persistence.follow(heard, mask, torch.zeros(3, 64, LENGTH + 1).double(), told)
    assert wider[:, 0, 0].tolist() == pytest.approx([1, 1, 1], abs=0.1)
    assert wider[:, -1, 0].tolist() == pytest.approx([1, 2.9, 0.4], rel=0.15)  # shrunk by what is taken for granted
    _, _, wider, _ = persistence.follow(heard, 0 * mask, torch.zeros(3, 64, LENGTH + 1).double(), told)
    assert (wider == 1).all()
