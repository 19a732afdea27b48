"""A classifier with one hidden layer on embeddings."""

from __future__ import annotations

from torch import Tensor, nn

from musicgen_cls.models.classifiers.blocks import check_sizes


class MLP(nn.Module):
    """The mean of the rows through one hidden layer with ReLU and dropout.

    Args:
        num_classes: number of genres.
        hidden: size of the hidden layer.
        dropout: probability of dropping a hidden number in training; half of it for the embedding.
    """

    def __init__(self, num_classes: int, hidden: int = 256, dropout: float = 0.5) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes, hidden=hidden)
        self.layers = nn.Sequential(
            nn.Dropout(dropout / 2),
            nn.LazyLinear(hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings `[batch, rows, dim]` to logits `[batch, num_classes]`."""
        logits: Tensor = self.layers(x.mean(1))
        return logits
