"""A generator for tests, quick to train: it repeats the end of its context with some noise."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from musicgen_cls.models.generators.continuation import Continuation, Sampling


class Echo(Continuation):
    SAMPLING_OPTIONS = frozenset({"temperature"})

    def __init__(self, num_genres: int, sample_rate: int, target_samples: int, noise: float = 0.01) -> None:
        super().__init__()
        self.target_samples = target_samples
        self.noise = noise
        self.gain = nn.Parameter(torch.zeros(num_genres))

    def loss(self, context: Tensor, target: Tensor, genre: Tensor) -> Tensor:
        return (self.gain[genre][:, None] * context[:, -self.target_samples :] - target).square().mean()

    def stream(self, context: Tensor, genre: Tensor, sampling: Sampling) -> Iterator[Tensor]:
        last = context[:, -self.target_samples :]
        while True:
            yield last + self.noise * sampling.temperature * sampling.normal(self.target_samples)
