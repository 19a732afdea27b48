"""Recurrent networks on mel spectrograms."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from musicgen_cls.models.classifiers.blocks import check_sizes

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}


class Recurrent(nn.Module):
    """LSTM or GRU over the frames of a spectrogram; the last state goes to the output layer.

    After Xu, Pulappadi, Li and Peacock, "What's in the noise? Advancing Musical Genre Classification using Neural
    Networks", section Methods: the LSTM and the GRU of their comparison. The study does not give the sizes.

    Args:
        num_classes: number of genres.
        cell: `lstm` or `gru`.
        n_mels: mel bands.
        hidden: units of each layer.
        layers: recurrent layers.
        dropout: probability of dropout in training, between layers and before the output layer.
    """

    def __init__(
        self,
        num_classes: int,
        cell: Literal["lstm", "gru"] = "lstm",
        n_mels: int = 64,
        hidden: int = 128,
        layers: int = 2,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes, n_mels=n_mels, hidden=hidden, layers=layers)
        between = dropout if layers > 1 else 0.0
        self.recurrent = CELLS[cell](n_mels, hidden, layers, batch_first=True, dropout=between)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Mel spectrograms `[batch, n_mels, frames]` to logits `[batch, num_classes]`."""
        states, _ = self.recurrent(x.transpose(1, 2))  # [batch, frames, hidden]
        logits: Tensor = self.head(states[:, -1])
        return logits
