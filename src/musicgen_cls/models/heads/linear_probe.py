"""A linear classifier on embeddings, with the weight decay that validates best."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from musicgen_cls.errors import UsageError
from musicgen_cls.models.classifiers.blocks import check_sizes


class LinearProbe(nn.Module):
    """Multinomial logistic regression on the mean of the rows, as it is usual for pretrained embeddings.

    (Alain and Bengio 2016, https://arxiv.org/abs/1610.01644.) The best weight decay depends on the data: on their
    number, and on the length and the noise of the embeddings. So several classifiers train side by side, one for each
    weight decay. They share no weight, and the gradient of the sum of their losses is for each its own gradient: Adam
    trains each as if it was alone. After each epoch, `GenreClassifier` takes the one that has the lowest loss on the
    validation tracks.

    Args:
        num_classes: number of genres.
        decays: weight decays: half their product with the sum of squared weights is added to the cross-entropy.
    """

    chosen: Tensor
    strength: Tensor

    def __init__(
        self, num_classes: int, decays: Sequence[float] = (0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
    ) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes)
        if not decays or any(decay < 0 for decay in decays):
            raise UsageError(f"network.decays {list(decays)}: give one or more numbers that are not negative")
        self.num_classes, self.decays = num_classes, list(decays)
        self.candidate_count = len(decays)
        self.linear = nn.LazyLinear(len(decays) * num_classes)
        self.register_buffer("chosen", torch.tensor(len(decays) // 2))
        self.register_buffer("strength", torch.tensor(self.decays)[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings `[batch, rows, dim]` to logits `[batch, num_classes]` of the chosen classifier."""
        return self._of_chosen(self.candidates(x))

    def candidates(self, x: Tensor) -> Tensor:
        """Embeddings `[batch, rows, dim]` to logits of all classifiers, `[batch, decays, num_classes]`."""
        logits: Tensor = self.linear(x.mean(1))
        return logits.reshape(-1, len(self.decays), self.num_classes)

    def choose(self, number: int) -> None:
        """Take a classifier, by the number of its weight decay."""
        self.chosen.fill_(number)

    def loss(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the chosen classifier, and the sum of the losses of all.

        Args:
            x: embeddings `[batch, rows, dim]`.
            y: labels `[batch]`.
        """
        logits = self.candidates(x)
        errors = functional.cross_entropy(logits.float().transpose(1, 2), y[:, None].expand(-1, len(self.decays)))
        squares = self.linear.weight.reshape(len(self.decays), self.num_classes, -1).square()
        return self._of_chosen(logits), len(self.decays) * errors + 0.5 * (self.strength * squares).sum()

    def _of_chosen(self, logits: Tensor) -> Tensor:
        return logits.index_select(1, self.chosen.reshape(1))[:, 0]  # an index in a tensor, as exporters need it
