"""A Transformer that predicts the next note.

Vaswani et al. 2017, "Attention is all you need" (https://arxiv.org/abs/1706.03762), the decoder only, with layer norms
before each part, and positions as rotations (Su et al. 2021, https://arxiv.org/abs/2104.09864): half of the heads turn
with the time in beats, so that a note a bar ago is at the same angle in each bar; the other half with the number of the
note.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from musicgen_cls.models.notes.neural import NeuralNotes
from musicgen_cls.notes.score import GRID

SLOWEST = 512.0
"""Longest period of the rotations, beats or notes."""


class NoteTransformer(NeuralNotes):
    """A decoder-only Transformer over notes.

    Args:
        num_genres: number of genres.
        dim: length of the vectors, a multiple of twice the number of heads.
        layers: number of layers.
        heads: number of attention heads, even.
        dropout: share of numbers that are set to 0 in training.
        lags: whether it gets what sounded 1, 2, 4 and 8 bars ago, see `form`.
        context: notes that it reads at most.
    """

    def __init__(self, num_genres: int, dim: int = 192, layers: int = 6, heads: int = 6, dropout: float = 0.1,
                 lags: bool = True, context: int = 384) -> None:  # fmt: skip
        super().__init__(num_genres, dim, lags, context)
        self.blocks = nn.ModuleList([_Block(dim, heads, dropout) for _ in range(layers)])
        self.norm = nn.LayerNorm(dim)

    def sequence(self, x: Tensor, onset: Tensor, cache: Any = None) -> tuple[Tensor, Any]:
        """What the network knows after each vector, and the keys and values of all layers; see `NeuralNotes`."""
        known = cache[0][0].shape[2] if cache else 0
        index = torch.arange(known, known + x.shape[1], device=x.device).expand_as(onset)
        turns = torch.stack([onset / GRID, index], dim=1)  # [batch, 2, time]
        kept = []
        for number, block in enumerate(self.blocks):
            x, own = block(x, turns, cache[number] if cache else None)
            kept.append(own)
        return self.norm(x), kept


class _Block(nn.Module):
    """Attention to the notes before, and a network for each note."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.before, self.after = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor, turns: Tensor, cache: Any) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        batch, time, dim = x.shape
        query, key, value = self.qkv(self.before(x)).view(batch, time, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key = rotated(query, turns), rotated(key, turns)
        if cache:
            key, value = torch.cat([cache[0], key], dim=2), torch.cat([cache[1], value], dim=2)
        mask = None
        if cache and time > 1:
            mask = torch.ones(time, key.shape[2], dtype=torch.bool, device=x.device).tril(key.shape[2] - time)
        mixed = scaled_dot_product_attention(query, key, value, mask, is_causal=not cache and time > 1)
        x = x + self.dropout(self.out(mixed.transpose(1, 2).reshape(batch, time, dim)))
        return x + self.dropout(self.down(gelu(self.up(self.after(x))))), (key, value)


def rotated(x: Tensor, turns: Tensor) -> Tensor:
    """Queries or keys `[batch, heads, time, width]`, turned by their positions.

    The first half of the heads turns by `turns[:, 0]`, the other half by `turns[:, 1]`; `turns` is `[batch, 2, time]`.
    Each pair of numbers turns with a period from 1/2 to `SLOWEST`; the scalar product of two vectors then depends only
    on the difference of their positions.
    """
    pairs = x.shape[-1] // 2
    periods = 0.5 * (2 * SLOWEST) ** (torch.arange(pairs, device=x.device) / max(1, pairs - 1))
    angle = (2 * math.pi * turns[..., None] / periods).repeat_interleave(x.shape[1] // 2, dim=1).to(x.dtype)
    even, odd = x[..., :pairs], x[..., pairs:]
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
