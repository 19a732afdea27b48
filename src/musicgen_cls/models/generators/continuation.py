"""What every network that continues audio offers; its task knows no more of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Draw:
    """How chance enters: one seeded generator a recording, so that none depends on its neighbours in the batch.

    Attributes:
        generators: of each recording, on the CPU, `[batch]`.
        temperature: below 1 draws likelier values, above 1 rarer ones.
        top_p: draw from the likeliest values only that together have this probability.
    """

    generators: Sequence[torch.Generator]
    temperature: float = 1.0
    top_p: float = 1.0

    def uniform(self, *shape: int) -> Tensor:
        """Numbers from 0 to 1, float32 `[batch, *shape]`."""
        return torch.stack([torch.rand(shape, generator=generator) for generator in self.generators])

    def normal(self, *shape: int) -> Tensor:
        """Numbers of mean 0 and spread 1, float32 `[batch, *shape]`."""
        return torch.stack([torch.randn(shape, generator=generator) for generator in self.generators])


class Continuation(nn.Module, ABC):
    """A network that is trained on pairs of a context and what follows it, and continues any context without end.

    Made as `Network(num_genres, sample_rate, target_samples, ...)`, every further argument having a default.
    """

    HEEDS: ClassVar[frozenset[str]] = frozenset()
    """Which of `temperature` and `top_p` change what it makes."""

    @abstractmethod
    def loss(self, context: Tensor, target: Tensor, genre: Tensor) -> Tensor:
        """What training makes small, a scalar.

        Args:
            context: waveforms, full scale 1, float32 `[batch, context_samples]`.
            target: what follows each, float32 `[batch, target_samples]`.
            genre: their labels, int64 `[batch]`.
        """

    @abstractmethod
    def stream(self, context: Tensor, genre: Tensor, draw: Draw) -> Iterator[Tensor]:
        """What may follow, piece by piece, for ever: float32 `[batch, samples]`, in memory that does not grow.

        Args:
            context: waveforms, full scale 1, float32 `[batch, context_samples]`; as long as those trained on.
            genre: their labels, int64 `[batch]`.
            draw: chance.
        """
