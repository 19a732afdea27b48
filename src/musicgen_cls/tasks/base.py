"""The base of tasks: settings from which a checkpoint is rebuilt, and the optimiser."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn

from musicgen_cls.errors import CheckpointError, UsageError, check_not_negative, check_positive
from musicgen_cls.specs import class_path, init_arguments


class Task(LightningModule, ABC):
    """A network with a loss, metrics and the optimiser Adam.

    A class that extends a task hands `**kwargs` on, and keeps each argument of its own as an attribute of the same name
    before it calls `super().__init__`, so that checkpoints can rebuild it.

    Args:
        settings: every argument of the task by name; `lr` and `weight_decay` among them.
    """

    network: nn.Module

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        if isinstance(settings.get("network"), nn.Module):
            name = type(settings["network"]).__name__
            raise UsageError(
                f"network is an instance of {name}: give the class, {name}, or functools.partial({name}, ...) with its "
                "arguments; the task calls it with the number of genres"
            )
        self.lr, self.weight_decay = settings["lr"], settings["weight_decay"]
        check_positive("--model.", lr=self.lr)
        check_not_negative("--model.", weight_decay=self.weight_decay)
        origin = {
            "_class_path": class_path(type(self)),
            "_instantiator": "lightning.pytorch.cli.instantiate_module",
        }
        self.save_hyperparameters(origin | init_arguments(self, settings))

    @abstractmethod
    def dry_run(self, batch: dict[str, Any]) -> None:
        """Send a batch through the network; raises `RuntimeError` if the batch is too small."""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load the weights of a checkpoint.

        Raises:
            CheckpointError: they do not fit this network; an older version may have written them.
        """
        try:
            return super().load_state_dict(state_dict, strict, assign)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip().rstrip(".")
            raise CheckpointError(
                f"--ckpt_path: its weights do not fit the {type(self.network).__name__} of this version "
                f"({reason}); use the version of musicgen_cls that wrote it, or train again"
            ) from error

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980)."""
        return torch.optim.Adam(self.parameters(), lr=self.lr, weight_decay=self.weight_decay)
