"""The interface of networks that continue audio."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Sampling:
    """Options and random numbers of sampling.

    Each recording has its own seeded generator, so that its samples do not depend on the other recordings of the batch.

    Attributes:
        generators: one for each recording, on the CPU, `[batch]`.
        temperature: below 1 for more probable values, above 1 for less probable ones.
        top_p: sample only from the most probable values whose probabilities add up to `top_p`.
        guidance: weight of the genre: 1 as trained, more to make it clearer.
    """

    generators: Sequence[torch.Generator]
    temperature: float = 1.0
    top_p: float = 1.0
    guidance: float = 1.0

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers from 0 to 1, float32 `[batch, *shape]`."""
        return torch.stack([torch.rand(shape, generator=generator) for generator in self.generators])

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, float32 `[batch, *shape]`."""
        return torch.stack([torch.randn(shape, generator=generator) for generator in self.generators])


class Continuation(nn.Module, ABC):
    """A network that continues audio. It is trained on pairs of a context and the audio that follows it.

    It is built as `Network(num_genres, sample_rate, target_samples, ...)`. Every further argument has a default.
    """

    SAMPLING_OPTIONS: ClassVar[frozenset[str]] = frozenset()
    """Those of `temperature`, `top_p` and `guidance` that the network uses."""

    CAN_TRAIN: ClassVar[bool] = True
    """False for a pretrained network, which only predicts, and whose weights are in no checkpoint."""

    @abstractmethod
    def loss(self, context: Tensor, target: Tensor, genre: Tensor) -> Tensor:
        """The training loss, a scalar.

        Args:
            context: waveforms, full scale 1, float32 `[batch, context_samples]`.
            target: the audio that follows each context, float32 `[batch, target_samples]`.
            genre: labels, int64 `[batch]`.
        """

    @abstractmethod
    def stream(self, context: Tensor, genre: Tensor, sampling: Sampling) -> Iterator[Tensor]:
        """Continue recordings without end, one piece after the other, in constant memory.

        Args:
            context: waveforms, full scale 1, float32 `[batch, context_samples]`, as long as the contexts in training.
            genre: labels, int64 `[batch]`.
            sampling: options and random numbers.

        Yields:
            float32 `[batch, samples]`.
        """
