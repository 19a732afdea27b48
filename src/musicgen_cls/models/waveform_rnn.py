"""The recurrent network of the generation study."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from musicgen_cls.models.blocks import check_sizes
from musicgen_cls.models.continuation import Continuation, Draw


class WaveformRNN(Continuation):
    """A 1-D convolution, a bidirectional GRU or LSTM, and a linear layer from 0.9 s of samples to the next 0.1 s.

    After Doyle and Lopez, "Genre Classification and Generation of Music Samples via Neural Networks", section 2.1, with
    the mean squared error. The best answer to that error is the mean of all that may follow, which fades: where the
    phase of what follows cannot be known, the mean is silence. Kernel, stride, channels and sizes are not given there.
    One network a genre: it is not told which.

    Args:
        num_genres: of no use to it.
        sample_rate: of no use to it.
        target_samples: length of what it foretells at once.
        channels: of the convolution.
        kernel: its length, samples.
        stride: samples from one of its outputs to the next, which are the steps of the recurrent layers.
        hidden: units in each direction.
        layers: recurrent layers.
        cell: `gru` or `lstm`.
    """

    def __init__(
        self,
        num_genres: int,
        sample_rate: int,
        target_samples: int,
        channels: int = 64,
        kernel: int = 200,
        stride: int = 50,
        hidden: int = 256,
        layers: int = 1,
        cell: Literal["gru", "lstm"] = "gru",
    ) -> None:
        super().__init__()
        check_sizes(channels=channels, kernel=kernel, stride=stride, hidden=hidden, layers=layers)
        self.target_samples = target_samples
        self.convolution = nn.Conv1d(1, channels, kernel, stride)
        kind = nn.GRU if cell == "gru" else nn.LSTM
        self.recurrent = kind(channels, hidden, layers, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(2 * hidden, target_samples)

    def forward(self, context: Tensor) -> Tensor:
        """Waveforms `[batch, context_samples]` to what follows them `[batch, target_samples]`."""
        steps = functional.relu(self.convolution(context[:, None])).transpose(1, 2)  # [batch, steps, channels]
        outputs, _ = self.recurrent(steps)
        forth, back = outputs.chunk(2, dim=2)
        last = torch.cat([forth[:, -1], back[:, 0]], dim=1)  # what each direction has read to its end
        foretold: Tensor = self.linear(last)
        return foretold

    def loss(self, context: Tensor, target: Tensor, genre: Tensor) -> Tensor:
        """Mean squared error."""
        return functional.mse_loss(self(context), target)

    def stream(self, context: Tensor, genre: Tensor, draw: Draw) -> Iterator[Tensor]:
        """Its own output appended to the context, again and again; there is no chance in it."""
        while True:
            piece = self(context)
            yield piece
            context = torch.cat([context, piece], dim=1)[:, -context.shape[1] :]
