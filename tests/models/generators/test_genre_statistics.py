"""Moments of tokens, genre by genre, as if all had been there at once."""

from __future__ import annotations

import torch

from musicgen_cls.models.generators.genre_statistics import Moments


def test_batches_add_up_to_the_moments_of_all():
    chance = torch.Generator().manual_seed(0)
    tokens = torch.randn(50, 4, 6, generator=chance) * torch.tensor([1.0, 2, 3, 0])[:, None] + 5
    genre = torch.arange(50) % 2
    tokens[genre == 1] *= 10
    moments = Moments(3, 4, least=0.1)
    for start, end in ((0, 7), (7, 8), (8, 50)):
        moments.measure(tokens[start:end], genre[start:end])
    for label in (0, 1):
        own = tokens[genre == label]
        mean, spread = moments(torch.tensor([label]))
        torch.testing.assert_close(mean[0, :, 0], own.mean(dim=(0, 2)), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            spread[0, :, 0], own.std(dim=(0, 2), correction=0).clamp_min(0.1), rtol=1e-3, atol=0.01
        )
        low, high = moments.limits(torch.tensor([label]))
        torch.testing.assert_close(low[0, :, 0], own.amin(dim=(0, 2)))
        torch.testing.assert_close(high[0, :, 0], own.amax(dim=(0, 2)))


def test_a_genre_not_met_has_mean_0_spread_1_and_no_limits():
    moments = Moments(2, 3, least=0.1)
    moments.measure(torch.full((1, 3, 2), 7.0), torch.tensor([0]))
    mean, spread = moments(torch.tensor([1]))
    assert (mean.unique().item(), spread.unique().item()) == (0, 1)
    low, high = moments.limits(torch.tensor([1]))
    assert (low < -1e5).all()
    assert (high > 1e5).all()
