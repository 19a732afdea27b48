"""Running statistics equal those of all frames together."""

from __future__ import annotations

import torch

from musicgen_cls.models.generators.genre_statistics import GenreStatistics


def test_batches_add_up_to_the_statistics_of_all_frames():
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(50, 4, 6, generator=generator) * torch.tensor([1.0, 2, 3, 0])[:, None] + 5
    genre = torch.arange(50) % 2
    frames[genre == 1] *= 10
    statistics = GenreStatistics(3, 4, min_std=0.1)
    for start, end in ((0, 7), (7, 8), (8, 50)):
        statistics.update(frames[start:end], genre[start:end])
    for label in (0, 1):
        own = frames[genre == label]
        mean, std = statistics(torch.tensor([label]))
        torch.testing.assert_close(mean[0, :, 0], own.mean(dim=(0, 2)), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(std[0, :, 0], own.std(dim=(0, 2), correction=0).clamp_min(0.1), rtol=1e-3, atol=0.01)
        low, high = statistics.limits(torch.tensor([label]))
        torch.testing.assert_close(low[0, :, 0], own.amin(dim=(0, 2)))
        torch.testing.assert_close(high[0, :, 0], own.amax(dim=(0, 2)))


def test_a_genre_without_frames_has_mean_0_standard_deviation_1_and_no_limits():
    statistics = GenreStatistics(2, 3, min_std=0.1)
    statistics.update(torch.full((1, 3, 2), 7.0), torch.tensor([0]))
    mean, std = statistics(torch.tensor([1]))
    assert (mean.unique().item(), std.unique().item()) == (0, 1)
    low, high = statistics.limits(torch.tensor([1]))
    assert (low < -1e5).all()
    assert (high > 1e5).all()
