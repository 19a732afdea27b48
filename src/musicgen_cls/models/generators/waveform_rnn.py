"""The network of the generation study: a convolution, a recurrent layer, a linear layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from musicgen_cls.errors import UsageError
from musicgen_cls.models.classifiers.blocks import check_sizes
from musicgen_cls.models.generators.continuation import Continuation, Sampling


class WaveformRNN(Continuation):
    """Predicts the next piece of a waveform at once, with the least mean squared error.

    After Doyle and Lopez, "Genre Classification and Generation of Music Samples via Neural Networks", section 2.1: a
    1-D convolution, a bidirectional GRU (or the LSTM of their comparison), a linear layer. The study gives no sizes.
    The linear layer reads the last state of each direction. There is no other activation, since the study names none.

    The study trains one network for each genre. This network does not use the genre, nor random numbers. If it is
    trained on several genres, it predicts their mean.

    Args:
        num_genres: not used.
        sample_rate: not used.
        target_samples: length of the prediction, samples.
        channels: filters of the convolution.
        kernel: length of the filters, samples.
        stride: samples from one step of the recurrent layer to the next.
        hidden: size of the recurrent state, in each direction.
        layers: recurrent layers.
        cell: `gru` or `lstm`.
        bidirectional: whether there is a second recurrent layer that reads backwards.
    """

    def __init__(
        self,
        num_genres: int,
        sample_rate: int,
        target_samples: int,
        channels: int = 64,
        kernel: int = 100,
        stride: int = 50,
        hidden: int = 128,
        layers: int = 1,
        cell: Literal["gru", "lstm"] = "gru",
        bidirectional: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(target_samples=target_samples, channels=channels, kernel=kernel, stride=stride)
        check_sizes(hidden=hidden, layers=layers)
        self.directions = 2 if bidirectional else 1
        self.conv = nn.Conv1d(1, channels, kernel, stride)
        recurrent = nn.GRU if cell == "gru" else nn.LSTM
        self.rnn = recurrent(channels, hidden, layers, batch_first=True, bidirectional=bidirectional)
        self.linear = nn.Linear(self.directions * hidden, target_samples)

    def forward(self, context: Tensor) -> Tensor:
        """Waveforms `[batch, context_samples]` to the next samples `[batch, target_samples]`, full scale 1."""
        kernel = self.conv.kernel_size[0]
        if context.shape[1] < kernel:
            raise UsageError(f"network.kernel {kernel}: longer than the context of {context.shape[1]} samples")
        steps = self.conv(context.unsqueeze(1)).transpose(1, 2)  # [batch, steps, channels]
        _, state = self.rnn(steps)
        last = state[0] if isinstance(state, tuple) else state  # [layers * directions, batch, hidden]
        prediction: Tensor = self.linear(torch.cat(last[-self.directions :].unbind(), dim=1))
        return prediction

    def loss(self, context: Tensor, target: Tensor, genre: Tensor) -> Tensor:
        """Mean squared error; full scale is 1."""
        return nn.functional.mse_loss(self(context), target)

    @torch.inference_mode()
    def stream(self, context: Tensor, genre: Tensor, sampling: Sampling) -> Iterator[Tensor]:
        """Predict `[batch, target_samples]`, append it to the context, and repeat with the newest samples."""
        while True:
            piece = self(context)
            yield piece
            context = torch.cat([context, piece], dim=1)[:, -context.shape[1] :]
