"""A classifier that weights the rows of a window before it averages them."""

from __future__ import annotations

from torch import Tensor, nn

from musicgen_cls.models.classifiers.blocks import check_sizes


class AttentionPool(nn.Module):
    """Logits of a weighted mean of the rows; a small network gives each row its weight.

    Ilse, Tomczak and Welling 2018, "Attention-based deep multiple instance learning"
    (https://arxiv.org/abs/1802.04712), equation 8: the weights are the softmax over the rows of w tanh(V row).

    Args:
        num_classes: number of genres.
        hidden: size of the layer that computes the weights.
        dropout: probability of dropping a number of an embedding in training.
    """

    def __init__(self, num_classes: int, hidden: int = 128, dropout: float = 0.3) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes, hidden=hidden)
        self.dropout = nn.Dropout(dropout)
        self.attention = nn.Sequential(nn.LazyLinear(hidden), nn.Tanh(), nn.Linear(hidden, 1))
        self.output = nn.LazyLinear(num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings `[batch, rows, dim]` to logits `[batch, num_classes]`."""
        x = self.dropout(x)
        weights = self.attention(x).softmax(1)  # [batch, rows, 1]
        logits: Tensor = self.output((weights * x).sum(1))
        return logits
