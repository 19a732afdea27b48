"""Convolutions over time, an LSTM, and class probabilities at each step."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from musicgen_cls.models.classifiers.blocks import TimeConvolutions, check_sizes


class ConvLSTM(nn.Module):
    """1-D convolutions with ReLU and max-pooling, an LSTM, and a weighted mean of the class probabilities at each step.

    After Titus, "Neural networks for music genre recognition", section 5.1 (its model 1, based on code of Kozakowski
    and Michalak). The prediction is P = sum(w_t P_t) / sum(w_t) with w_t = t: later steps have more weight, since the
    LSTM has read more frames. There are 256 filters of length 4. The study does not give the number of convolutions,
    the pooling, the size of the LSTM and the dropout: they are 3, 2, 256 and 0.5 here. The logits are log P. Their
    softmax is P, so that the cross-entropy is that of P.

    Args:
        num_classes: number of genres.
        n_mels: mel bands.
        filters: filters of each convolution.
        kernel: length of a filter, frames.
        convolutions: number of convolutions, each followed by pooling over 2 frames.
        hidden: units of the LSTM.
        weights: weights of the steps: `linear`, or `uniform` for the plain mean.
        dropout: probability of dropping an output of the LSTM in training.
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
        """Mel spectrograms `[batch, n_mels, frames]` to log-probabilities `[batch, num_classes]`."""
        log_probs = functional.log_softmax(self._steps(x), dim=2)
        steps = log_probs.shape[1]
        weight = torch.ones(steps, device=x.device)
        if self.weights == "linear":
            weight = torch.arange(1, steps + 1, device=x.device)
        log_weight = (weight / weight.sum()).log()[:, None]
        return torch.logsumexp(log_probs + log_weight, dim=1)

    def step_probabilities(self, x: Tensor) -> Tensor:
        """Class probabilities at each step, `[batch, steps, num_classes]`."""
        return functional.softmax(self._steps(x), dim=2)

    def _steps(self, x: Tensor) -> Tensor:
        """Logits of each step, `[batch, steps, num_classes]`."""
        states, _ = self.lstm(self.convolutions(x).transpose(1, 2))
        logits: Tensor = self.dense(self.dropout(states)).float()
        return logits
