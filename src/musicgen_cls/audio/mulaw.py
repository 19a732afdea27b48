"""Mu-law companding: samples to levels that are closer together near 0, and back."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEVELS = 256
MU = LEVELS - 1


def encode(x: Tensor) -> Tensor:
    """Samples to levels: F(x) = sgn(x) ln(1 + mu |x|) / ln(1 + mu) of ITU-T G.711 with mu = 255, then rounding.

    Args:
        x: samples of full scale 1, any shape; values beyond are clipped.

    Returns:
        int64 of the same shape, 0 for -1 to 255 for 1.
    """
    compressed = x.sign() * torch.log1p(MU * x.abs().clamp(max=1.0)) / math.log1p(MU)
    return ((compressed + 1) * (MU / 2) + 0.5).floor().long()


def decode(levels: Tensor) -> Tensor:
    """Levels 0 to 255 to float32 samples from -1 to 1, of the same shape; the inverse of `encode` but for rounding."""
    compressed = levels / MU * 2 - 1
    return compressed.sign() * torch.expm1(compressed.abs() * math.log1p(MU)) / MU
