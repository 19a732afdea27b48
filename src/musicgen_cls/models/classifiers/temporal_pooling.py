"""Convolutions over time and global pooling."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from musicgen_cls.models.classifiers.blocks import TimeConvolutions, check_sizes


class TemporalPooling(nn.Module):
    """Three 1-D convolutions with ReLU and max-pooling, the mean and the maximum over time, and the output layer.

    After Titus, "Neural networks for music genre recognition", section 5.2 (its model 2, after Dieleman's network for
    music recommendation). The position of a feature in time does not matter. There are 256 filters of length 4. The
    stride of 2 is that of the author's published weights.

    Args:
        num_classes: number of genres.
        n_mels: mel bands.
        filters: filters of each convolution.
        kernel: length of a filter, frames.
        stride: stride of the convolutions, frames.
        convolutions: number of convolutions, each followed by pooling over 2 frames.
        dropout: probability of dropping a pooled feature in training.
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
        """Mel spectrograms `[batch, n_mels, frames]` to logits `[batch, num_classes]`."""
        features = self.convolutions(x)  # [batch, filters, steps]
        pooled = torch.cat([features.mean(dim=2), features.amax(dim=2)], dim=1)
        logits: Tensor = self.dense(self.dropout(pooled))
        return logits

    def step_probabilities(self, x: Tensor) -> Tensor:
        """Class probabilities of each step alone, `[batch, steps, num_classes]`.

        The features of one step are both its mean and its maximum.
        """
        features = self.convolutions(x).transpose(1, 2)
        return functional.softmax(self.dense(torch.cat([features, features], dim=2)), dim=2)
