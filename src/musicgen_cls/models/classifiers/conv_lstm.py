"""Convolutions in time, an LSTM, and a say at every step."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from musicgen_cls.models.classifiers.blocks import TimeConvolutions, check_sizes


class ConvLSTM(nn.Module):
    """One-dimensional convolutions with ReLU and max-pooling, an LSTM, and a softmax at every time step, averaged.

    After Titus, "Neural networks for music genre recognition", section 5.1 (its model 1, on the code of Kozakowski and
    Michalak): P = sum(w_t P_t) / sum(w_t), w_t = t, since the LSTM grows surer as it hears more. Filters of length 4,
    256 of them; the number of convolutions, the pooling, the size of the LSTM and a dropout are not given there: three,
    2, 256 and 0.5 here. The logits are log P: their softmax is P again, so that cross-entropy is that of P.

    Args:
        num_classes: genres.
        n_mels: bands of the pictures.
        filters: of each convolution.
        kernel: frames that a filter sees.
        convolutions: how many, each followed by pooling over 2 frames.
        hidden: units of the LSTM.
        weights: of the steps: `linear`, or `uniform` for the plain average.
        dropout: share of the LSTM's outputs dropped in training.
    """

    def __init__(
        self,
        num_classes: int,
        n_mels: int = 128,
        filters: int = 256,
        kernel: int = 4,
        convolutions: int = 3,
        hidden: int = 256,
        weights: Literal["linear", "uniform"] = "linear",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes, n_mels=n_mels, hidden=hidden)
        self.weights = weights
        self.convolutions = TimeConvolutions(n_mels, filters, kernel, convolutions)
        self.lstm = nn.LSTM(filters, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Mel pictures `[batch, n_mels, frames]` to log-probabilities `[batch, num_classes]`."""
        say = functional.log_softmax(self._steps(x), dim=2)
        steps = say.shape[1]
        weight = torch.ones(steps, device=x.device)
        if self.weights == "linear":
            weight = torch.arange(1, steps + 1, device=x.device)
        log_share = (weight / weight.sum()).log()[:, None]
        return torch.logsumexp(say + log_share, dim=1)

    def step_probabilities(self, x: Tensor) -> Tensor:
        """What it says at every step, `[batch, steps, num_classes]`."""
        return functional.softmax(self._steps(x), dim=2)

    def _steps(self, x: Tensor) -> Tensor:
        """Logits of every step, `[batch, steps, num_classes]`."""
        states, _ = self.lstm(self.convolutions(x).transpose(1, 2))
        logits: Tensor = self.dense(self.dropout(states)).float()
        return logits
