"""LSTM layers on consecutive rows of features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from musicgen_cls.models.classifiers.blocks import check_sizes


class FeatureLSTM(nn.Module):
    """Two LSTM layers over rows of features, a dense layer with ReLU, and the output layer.

    After Tsilifonis, Charitos and Vaios, "Music Generation and Classification", slides "LSTM: Implementation": LSTM 64,
    LSTM 64, dense 64; 69,322 parameters with 58 columns and 10 genres. Keras has one bias for each gate of an LSTM.
    PyTorch has two that are added, so that one of them stays at 0 here.

    Args:
        num_classes: number of genres.
        features: columns of a row.
        hidden: units of each LSTM.
        dense: units of the dense layer.
    """

    def __init__(self, num_classes: int, features: int = 58, hidden: int = 64, dense: int = 64) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes, features=features, hidden=hidden, dense=dense)
        self.lstm = nn.LSTM(features, hidden, num_layers=2, batch_first=True)
        for name, bias in self.lstm.named_parameters():
            if name.startswith("bias_hh"):
                bias.requires_grad_(False)
                with torch.no_grad():
                    bias.zero_()
        self.head = nn.Sequential(nn.Linear(hidden, dense), nn.ReLU(inplace=True), nn.Linear(dense, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Consecutive rows `[batch, rows, features]` to logits `[batch, num_classes]`."""
        states, _ = self.lstm(x)  # [batch, rows, hidden]
        logits: Tensor = self.head(states[:, -1])
        return logits
