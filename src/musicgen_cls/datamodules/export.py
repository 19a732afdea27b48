"""The input of files that `musiccli export` writes."""

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
    """The input of an exported file, and its conversion to the windows of a collection.

    `name` is the name of the input. `facts` are what users need to compute it: shape, units, sample rates and lengths.
    `to_items` converts the input, float32 `[batch, ...]`, to windows as the collection stores them, and `from_items`
    does the opposite. `trials` are windows `[windows, length, ...]`, some of them unusual, for the comparison of the
    file with the checkpoint.
    """

    name: str
    facts: dict[str, Any]
    to_items: Callable[[Tensor], Tensor]
    from_items: Callable[[Tensor], Tensor]
    trials: Callable[[], Tensor]


def spread_windows(front_end: FrontEnd, length: int, unusual: Tensor) -> Tensor:
    """Random windows `[windows, length, bands]` with the statistics of training; some have ten times the deviation.

    Args:
        front_end: has the mean and the standard deviation.
        length: length of a window.
        unusual: windows to append.
    """
    standardise = front_end.standardise
    assert isinstance(standardise, Standardise)
    spread = torch.where(standardise.std.isfinite(), standardise.std, 1.0).T
    drawn = torch.randn(8, length, spread.shape[1], generator=torch.Generator().manual_seed(0))
    drawn[6:] *= 10
    return torch.cat([standardise.mean.T + spread * drawn, unusual])
