"""What a datamodule answers to `musiccli export`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from musicgen_cls.audio.mel import Standardise
from musicgen_cls.datamodules.front_end import FrontEnd


@dataclass(frozen=True)
class ExportedInput:
    """What an exported file takes in place of the windows of a collection.

    `name` is that of the input, for people and graphs; `facts` are what must be known to make it: shape without batch,
    units, rates and lengths. `to_items` turns what the file takes, float32 `[batch, ...]`, into windows as the
    collection stores them, and `from_items` does the opposite. `trials` are windows `[windows, length, ...]` on which
    the file is compared with the checkpoint, unusual ones among them.
    """

    name: str
    facts: dict[str, Any]
    to_items: Callable[[Tensor], Tensor]
    from_items: Callable[[Tensor], Tensor]
    trials: Callable[[], Tensor]


def spread_windows(front_end: FrontEnd, length: int, unusual: Tensor) -> Tensor:
    """Random windows `[windows, length, bands]` with the mean and spread of those trained on, some ten times as wide.

    Args:
        front_end: has the mean and spread.
        length: of a window.
        unusual: windows to put behind them.
    """
    standardise = front_end.standardise
    assert isinstance(standardise, Standardise)
    spread = torch.where(standardise.std.isfinite(), standardise.std, 1.0).T
    drawn = torch.randn(8, length, spread.shape[1], generator=torch.Generator().manual_seed(0))
    drawn[6:] *= 10
    return torch.cat([standardise.mean.T + spread * drawn, unusual])
