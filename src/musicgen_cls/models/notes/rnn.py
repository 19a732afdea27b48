"""An LSTM that predicts the next note, after "RNN Music Generator"."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from musicgen_cls.models.notes.neural import NeuralNotes


class NoteRNN(NeuralNotes):
    """An LSTM over notes (Hochreiter and Schmidhuber 1997).

    Args:
        num_genres: number of genres.
        dim: length of the vectors and of the state.
        layers: number of layers.
        dropout: share of numbers between the layers that are set to 0 in training.
        lags: whether it gets what sounded 1, 2, 4 and 8 bars ago, see `form`.
        context: notes that it reads at most.
    """

    def __init__(self, num_genres: int, dim: int = 320, layers: int = 2, dropout: float = 0.1, lags: bool = True,
                 context: int = 384) -> None:  # fmt: skip
        super().__init__(num_genres, dim, lags, context)
        self.lstm = nn.LSTM(dim, dim, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.norm = nn.LayerNorm(dim)

    def sequence(self, x: Tensor, onset: Tensor, cache: Any = None) -> tuple[Tensor, Any]:
        """What the network knows after each vector, and the state of the LSTM; see `NeuralNotes`."""
        states, cache = self.lstm(x, cache)
        return self.norm(states + x), cache
