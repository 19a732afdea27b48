"""How tokens of each genre are spread."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_FAR = 1e6  # no token goes there


class Moments(nn.Module):
    """Mean, spread and limits of each part of the tokens of each genre, over all that was trained on.

    Genres differ in both: the beats of one are the noise of another.

    Args:
        num_genres: genres.
        size: of a token.
        least: spread below which none is believed.
    """

    def __init__(self, num_genres: int, size: int, least: float) -> None:
        super().__init__()
        self.least = least
        self.count: Tensor
        self.mean: Tensor
        self.square: Tensor
        self.lowest: Tensor
        self.highest: Tensor
        self.register_buffer("count", torch.zeros(num_genres))  # of tokens
        self.register_buffer("mean", torch.zeros(num_genres, size))
        self.register_buffer("square", torch.ones(num_genres, size))
        self.register_buffer("lowest", torch.full((num_genres, size), _FAR))
        self.register_buffer("highest", torch.full((num_genres, size), -_FAR))

    def measure(self, tokens: Tensor, genre: Tensor) -> None:
        """Take tokens `[batch, size, tokens]` of genres `[batch]` into account."""
        for label in sorted(set(genre.tolist())):
            own = tokens[genre == label]
            count = own.shape[0] * own.shape[2]
            self.count[label] += count
            share = count / self.count[label]
            self.mean[label] = self.mean[label].lerp(own.mean(dim=(0, 2)), share)
            self.square[label] = self.square[label].lerp(own.square().mean(dim=(0, 2)), share)
            self.lowest[label] = self.lowest[label].minimum(own.amin(dim=(0, 2)))
            self.highest[label] = self.highest[label].maximum(own.amax(dim=(0, 2)))

    def forward(self, genre: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread of genres `[batch]`, `[batch, size, 1]` each; 0 and 1 of a genre not met yet."""
        mean = self.mean[genre]
        spread = (self.square[genre] - mean.square()).clamp_min(0).sqrt().clamp_min(self.least)
        return mean[:, :, None], spread[:, :, None]

    def limits(self, genre: Tensor) -> tuple[Tensor, Tensor]:
        """The least and the greatest met of genres `[batch]`, `[batch, size, 1]` each."""
        met = torch.stack([self.lowest[genre], self.highest[genre]]).sort(dim=0).values  # none met: no limits
        return met[0, :, :, None], met[1, :, :, None]
