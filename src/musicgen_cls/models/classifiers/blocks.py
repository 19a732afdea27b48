"""Layers and functions that several networks share."""

from __future__ import annotations

from numbers import Real

import torch
from torch import Tensor, nn

from musicgen_cls.errors import UsageError, given


def check_sizes(**sizes: int) -> None:
    """Raise `UsageError` for the first size that is less than 1, or is not a number."""
    for name, size in sizes.items():
        if not (isinstance(size, Real) and size >= 1):
            raise UsageError(f"network.{name} {given(size)}: must be 1 or more")


def apply_memory_format(network: nn.Module) -> nn.Module:
    """Put the weights of a network into channels-last memory order if its class has `channels_last = True`.

    Weights are `[out, in, height, width]`. Activations take the order from the weights. On a CPU 2-D convolutions are
    1.2 to 2.3 times as fast in this order (benchmarks/speed.py --only layout), with the same values to rounding.
    Shapes do not change: a checkpoint of one order loads in the other. It is not the default because a network that
    calls `view` on its activations fails with it. Networks of 1-D convolutions have no such weights.
    """
    if getattr(network, "channels_last", False):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


class ConvBlock(nn.Sequential):
    """3x3 convolution, batch norm, ReLU: `[batch, channels, height, width]` to the same height and width."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),  # batch norm has a bias
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )


class GlobalAverage(nn.Module):
    """Mean over height and width: `[batch, channels, height, width]` to `[batch, channels]`."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        return x.mean(dim=(2, 3))


class TimeConvolutions(nn.Sequential):
    """1-D convolutions over time, each with ReLU and max-pooling over 2 frames.

    `[batch, n_mels, frames]` to `[batch, filters, steps]`. The bands are channels, since music is not invariant to a
    shift in frequency.
    """

    def __init__(self, n_mels: int, filters: int, kernel: int, convolutions: int, stride: int = 1) -> None:
        check_sizes(filters=filters, kernel=kernel, convolutions=convolutions, stride=stride)
        layers: list[nn.Module] = []
        channels = n_mels
        for _ in range(convolutions):
            layers += [nn.Conv1d(channels, filters, kernel, stride), nn.ReLU(inplace=True), nn.MaxPool1d(2)]
            channels = filters
        super().__init__(*layers)
