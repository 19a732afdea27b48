"""Mu-law: 256 levels, fine near silence and coarse near full scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEVELS = 256


def encode(waveform: Tensor) -> Tensor:
    """Samples from -1 to 1, of any shape, to levels 0 to 255, int64: companding of ITU-T G.711 with mu = 255."""
    mu = LEVELS - 1
    companded = torch.sign(waveform) * torch.log1p(mu * waveform.abs().clamp(max=1.0)) / math.log1p(mu)
    return ((companded + 1) / 2 * mu + 0.5).long()


def decode(level: Tensor) -> Tensor:
    """Levels 0 to 255 to samples from -1 to 1, float32: the inverse of `encode`, but for the rounding."""
    mu = LEVELS - 1
    companded = 2 * level.float() / mu - 1
    return torch.sign(companded) * torch.expm1(companded.abs() * math.log1p(mu)) / mu
