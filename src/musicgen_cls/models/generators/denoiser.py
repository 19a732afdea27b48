"""The neural network of `MelFlow`: from noisy frames to their velocity."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from musicgen_cls.models.renamed_keys import load_old_names


class Denoiser(nn.Module):
    """A small U-Net over frames, conditioned on time and genre.

    After Ronneberger et al. 2015, "U-Net" (https://arxiv.org/abs/1505.04597).

    Convolutions over frames surround convolutions and self-attention over patches of frames.

    Args:
        size: coefficients in a frame.
        num_genres: number of genres.
        patch: frames in a patch.
        width: channels of patches; frames have half.
        blocks: residual blocks over patches.
    """

    def __init__(self, size: int, num_genres: int, patch: int, width: int, blocks: int) -> None:
        super().__init__()
        self.width = width
        self.genre = nn.Embedding(num_genres, width)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.conv_in = nn.Conv1d(2 * size + 1, width // 2, 3, padding=1)
        self.encoder, self.decoder = ResidualBlock(width // 2, width), ResidualBlock(width // 2, width)
        self.down = nn.Conv1d(width // 2, width, patch, stride=patch)
        self.residuals = nn.ModuleList(ResidualBlock(width, width) for _ in range(blocks))
        self.attentions = nn.ModuleList(AttentionBlock(width) for _ in range(blocks))
        self.up = nn.ConvTranspose1d(width, width // 2, patch, stride=patch)
        self.norm = nn.GroupNorm(8, width // 2)
        self.conv_out = nn.Conv1d(width // 2, size, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]
        load_old_names(self, tell="time", enter="conv_in", before="encoder", after="decoder", leave="conv_out")

    def forward(self, x: Tensor, time: Tensor, genre: Tensor) -> Tensor:
        """The network's part of the velocity, `[batch, size, frames]`.

        Args:
            x: noisy frames, known or expected frames, and the mask of known frames, `[batch, 2 * size + 1, frames]`;
                whole patches.
            time: from 0 for noise to 1 for music, `[batch]`.
            genre: labels, `[batch]`.
        """
        condition = functional.silu(self.time(_time_embedding(time, self.width)) + self.genre(genre))
        fine = self.encoder(self.conv_in(x), condition)  # [batch, width // 2, frames]
        coarse = self.down(fine)  # [batch, width, frames // patch]
        for residual, attention in zip(self.residuals, self.attentions, strict=True):
            coarse = attention(residual(coarse, condition))
        fine = self.decoder(fine + self.up(coarse), condition)
        velocity: Tensor = self.conv_out(functional.silu(self.norm(fine)))
        return velocity


class ResidualBlock(nn.Module):
    """Two convolutions with a skip connection. The condition scales and shifts the channels.

    It is the identity before training, since the last weights are 0.

    Args:
        channels: of the input and the output.
        width: size of the condition.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(8, channels) for _ in range(2))
        self.convolutions = nn.ModuleList(nn.Conv1d(channels, channels, 3, padding=1) for _ in range(2))
        self.scale_shift = nn.Linear(width, 2 * channels)
        for last in (self.convolutions[1], self.scale_shift):
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        load_old_names(self, tell="scale_shift")

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """`[batch, channels, length]` and condition `[batch, width]` to `[batch, channels, length]`."""
        scale, shift = self.scale_shift(condition)[:, :, None].chunk(2, dim=1)
        inner = self.convolutions[0](functional.silu(self.norms[0](x)))
        out: Tensor = x + self.convolutions[1](functional.silu(self.norms[1](inner) * (1 + scale) + shift))
        return out


class AttentionBlock(nn.Module):
    """Self-attention over time with four heads and a skip connection.

    Args:
        channels: of the input and the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.attention = nn.MultiheadAttention(channels, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, channels, length]` to the same shape."""
        steps = self.norm(x.transpose(1, 2))  # [batch, length, channels]
        out: Tensor = x + self.attention(steps, steps, steps, need_weights=False)[0].transpose(1, 2)
        return out


def _time_embedding(time: Tensor, width: int) -> Tensor:
    """Times `[batch]` from 0 to 1 as sines and cosines of frequencies from 1 to 1000, `[batch, width]`."""
    frequencies = torch.exp(torch.linspace(0.0, math.log(1000.0), width // 2, device=time.device))
    angles = time[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)
