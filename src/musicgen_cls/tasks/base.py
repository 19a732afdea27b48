"""What tasks share: settings that a checkpoint can be rebuilt from, and the optimiser."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn

from musicgen_cls.errors import CheckpointError, UsageError, check_not_negative, check_positive
from musicgen_cls.specs import class_path, plain


class Task(LightningModule, ABC):
    """A network with a loss, scores and Adam.

    Args:
        settings: every argument of the subclass by name; `lr` and `weight_decay` among them.
    """

    network: nn.Module

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        if isinstance(settings.get("network"), nn.Module):
            name = type(settings["network"]).__name__
            raise UsageError(
                f"network is a {name} that is made already: give its class, {name}, or functools.partial({name}, ...) "
                "with its arguments; the task makes it with the number of genres"
            )
        self.lr, self.weight_decay = settings["lr"], settings["weight_decay"]
        check_positive("--model.", lr=self.lr)
        check_not_negative("--model.", weight_decay=self.weight_decay)
        origin = {
            "_class_path": class_path(type(self)),
            "_instantiator": "lightning.pytorch.cli.instantiate_module",
        }
        self.save_hyperparameters(origin | {name: plain(value) for name, value in settings.items()})

    @abstractmethod
    def dry_run(self, batch: dict[str, Any]) -> None:
        """Send a batch through the network; raises `RuntimeError` if it is too small for it."""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Take a checkpoint's weights.

        Raises:
            CheckpointError: they are not of this network, as those that an older version wrote may be.
        """
        try:
            return super().load_state_dict(state_dict, strict, assign)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip().rstrip(".")
            raise CheckpointError(
                f"--ckpt_path: its weights are not those of today's {type(self.network).__name__} "
                f"({reason}); use the version of musicgen_cls that wrote it, or train afresh"
            ) from error

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980)."""
        return torch.optim.Adam(self.parameters(), lr=self.lr, weight_decay=self.weight_decay)
