"""Convolutions in time and global pooling over it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from musicgen_cls.models.classifiers.blocks import TimeConvolutions, check_sizes


class TemporalPooling(nn.Module):
    """Three one-dimensional convolutions with ReLU and max-pooling, then mean and maximum over time, and the output.

    After Titus, "Neural networks for music genre recognition", section 5.2 (its model 2, after Dieleman's for music
    recommendation): a feature of rock heard at the start is the same as one heard at the end. 256 filters of length 4;
    the stride of 2 is that of the weights that the author published.

    Args:
        num_classes: genres.
        n_mels: bands of the pictures.
        filters: of each convolution.
        kernel: frames that a filter sees.
        stride: of the convolutions, frames.
        convolutions: how many, each followed by pooling over 2 frames.
        dropout: share of the pooled features dropped in training.
    """

    def __init__(
        self,
        num_classes: int,
        n_mels: int = 128,
        filters: int = 256,
        kernel: int = 4,
        stride: int = 2,
        convolutions: int = 3,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes, n_mels=n_mels)
        self.convolutions = TimeConvolutions(n_mels, filters, kernel, convolutions, stride)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(2 * filters, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Mel pictures `[batch, n_mels, frames]` to logits `[batch, num_classes]`."""
        features = self.convolutions(x)  # [batch, filters, steps]
        pooled = torch.cat([features.mean(dim=2), features.amax(dim=2)], dim=1)
        logits: Tensor = self.dense(self.dropout(pooled))
        return logits

    def step_probabilities(self, x: Tensor) -> Tensor:
        """What it would say of each step alone, its features being both mean and maximum, `[batch, steps, genres]`."""
        features = self.convolutions(x).transpose(1, 2)
        return functional.softmax(self.dense(torch.cat([features, features], dim=2)), dim=2)
