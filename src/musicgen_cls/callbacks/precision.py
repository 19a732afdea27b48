"""The faster precision of a training's steps: float32 or bfloat16."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import torch
from lightning.pytorch import Callback

from musicgen_cls.errors import UsageError

FLOAT, HALF = "32-true", "bf16-mixed"
"""The precisions that are compared, as `--trainer.precision` names them."""

FIRST = 2
"""Steps that are not measured: memory is taken, and kernels are chosen."""


class PrecisionFinder(Callback):
    """Measures some steps in float32 and in mixed bfloat16 before a training, which then has the faster precision.

    Where the device has no units for bfloat16, nothing is measured, and the precision is float32.

    Args:
        steps: number of measured steps of each.
        gain: how many times as fast as float32 bfloat16 must be.

    Raises:
        UsageError: `steps` is not at least 1, or `gain` is below 1.
    """

    def __init__(self, steps: int = 3, gain: float = 1.1) -> None:
        if steps < 1 or not gain >= 1:
            raise UsageError(f"--trainer.callbacks PrecisionFinder: steps {steps} and gain {gain:g} must be at least 1")
        self.steps, self.gain = steps, gain


class Stopwatch(Callback):
    """Measures the steps of a training: `seconds` is the time of the fastest one after the first."""

    def __init__(self) -> None:
        self.starts: list[float] = []

    def on_train_batch_start(self, *_: Any) -> None:
        """A step begins."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.starts.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """From the start of a step to that of the next one, s."""
        starts = self.starts[FIRST:]
        return min(later - earlier for earlier, later in pairwise(starts))


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 faster than by emulation, by its instruction set."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False
