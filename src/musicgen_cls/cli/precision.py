"""The precision of a training whose config has none, and that of the test after it."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.precision import MixedPrecision, Precision

from musicgen_cls.callbacks.precision import has_bfloat16
from musicgen_cls.specs import resolve


def faster_in_bfloat16(config: Any) -> bool:
    """Whether a training whose config has no precision is faster in mixed bfloat16 than in float32.

    It is on a processor with units for bfloat16 if the class of the network has `trains_in_bfloat16 = True`.
    Instruction set and class decide, not a measurement: a command gives the same weights each time.

    Args:
        config: config of fit.
    """
    trainer, network = config.trainer, config.model.as_dict().get("init_args", {}).get("network")
    if trainer.precision is not None or trainer.plugins or not isinstance(network, dict):
        return False
    on_cpu = trainer.accelerator == "cpu" or (trainer.accelerator == "auto" and not torch.accelerator.is_available())
    if not on_cpu or not has_bfloat16(torch.device("cpu")):
        return False
    return getattr(resolve(network["class_path"]), "trains_in_bfloat16", False) is True


def is_mixed(precision: str | int | None) -> bool:
    """Whether a value of `--trainer.precision` means mixed precision; Lightning takes 16 and bf16 for it too."""
    return str(precision) in ("16", "bf16", "16-mixed", "bf16-mixed")


def leave_mixed_precision(trainer: Trainer) -> None:
    """Compute in float32 from now on, so that the test after a training has the figures of `test` and `predict`."""
    if isinstance(trainer.precision_plugin, MixedPrecision):
        trainer.strategy.precision_plugin = Precision()
