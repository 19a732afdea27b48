"""What tasks share: settings that a checkpoint can be rebuilt from, and the optimiser."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn

from musicgen_cls.errors import UsageError
from musicgen_cls.plain import class_path, plain


class Task(LightningModule, ABC):
    """A network with a loss, scores and Adam.

    Args:
        settings: every argument of the subclass by name; `lr` and `weight_decay` among them.
    """

    network: nn.Module

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        self.lr, self.weight_decay = settings["lr"], settings["weight_decay"]
        if not self.lr > 0:
            raise UsageError(f"--model.lr {self.lr}: must be more than 0")
        origin = {
            "_class_path": class_path(type(self)),
            "_instantiator": "lightning.pytorch.cli.instantiate_module",
        }
        self.save_hyperparameters(origin | {name: plain(value) for name, value in settings.items()})

    @abstractmethod
    def dry_run(self, batch: dict[str, Any]) -> None:
        """Send a batch through the network; raises `RuntimeError` if it is too small for it."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980)."""
        return torch.optim.Adam(self.parameters(), lr=self.lr, weight_decay=self.weight_decay)
