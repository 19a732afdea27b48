"""The base of tasks: settings from which a checkpoint is rebuilt, and the optimiser."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import BaseFinetuning, WeightAveraging
from torch import nn

from musicgen_cls.errors import CheckpointError, UsageError, check_not_negative, check_positive
from musicgen_cls.specs import class_path, init_arguments
from musicgen_cls.tasks.sharding import as_in, gather, shard

Schedule = Literal["constant", "cosine", "linear"]

FUSED = ("cpu", "cuda", "mps", "xpu")
"""Devices on which PyTorch's Adam updates parameters in one pass over memory."""


class Task(LightningModule, ABC):
    """A network with a loss, metrics and the optimiser Adam.

    A class that extends a task hands `**kwargs` on, and keeps each argument of its own as an attribute of the same name
    before it calls `super().__init__`, so that checkpoints can rebuild it.

    Args:
        settings: every argument of the task by name; `lr` and `weight_decay` among them, and `schedule` and `warmup` if
            the learning rate is not constant.
    """

    network: nn.Module

    has_weights: bool = False
    """Whether the weights are those of a training, or pretrained ones."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        self._sharded = False
        if isinstance(settings.get("network"), nn.Module):
            name = type(settings["network"]).__name__
            raise UsageError(
                f"network is an instance of {name}: give the class, {name}, or functools.partial({name}, ...) with its "
                "arguments; the task calls it with the number of genres"
            )
        self.lr, self.weight_decay = settings["lr"], settings["weight_decay"]
        self.schedule: Schedule = settings.get("schedule", "constant")
        self.warmup: float = settings.get("warmup", 0.0)
        if not 0 <= self.warmup < 1:
            raise UsageError(f"--model.warmup {self.warmup:g}: must be from 0 to below 1, a share of the training")
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
        self.has_weights = True
        try:
            return super().load_state_dict(as_in(self, state_dict) if self._sharded else state_dict, strict, assign)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip().rstrip(".")
            raise CheckpointError(
                f"--ckpt_path: its weights do not fit the {type(self.network).__name__} of this version "
                f"({reason}); use the version of musicgen_cls that wrote it, or train again"
            ) from error

    @property
    def backbone(self) -> nn.Module:
        """The backbone of the network; Lightning's `BackboneFinetuning` freezes and trains it."""
        if not isinstance(found := getattr(self.network, "backbone", None), nn.Module):
            raise AttributeError(f"{type(self.network).__name__} has no backbone")
        return found

    def setup(self, stage: str) -> None:
        """Load pretrained weights, if the network has such and a training starts; it does not when one is resumed.

        Lightning restores a checkpoint after this. A network whose weights came from a checkpoint keeps them.
        """
        load_pretrained = getattr(self.network, "load_pretrained", None)
        resumes = getattr(self.trainer, "resumes", False)
        if stage == "fit" and load_pretrained is not None and not (self.has_weights or resumes):
            load_pretrained()
            self.has_weights = True

    def configure_model(self) -> None:
        """Divide the parameters over the processes, if the strategy is `sharded`.

        Raises:
            UsageError: there is a callback that needs the whole network.
        """
        mesh = self.device_mesh
        if mesh is not None and not self._sharded:
            if any(isinstance(callback, WeightAveraging) for callback in self.trainer.callbacks):  # type: ignore[attr-defined]
                raise UsageError(
                    "--trainer.strategy sharded: the callback WeightAveraging copies the whole network; use ddp, or "
                    "leave the callback out"
                )
            shard(self.network, mesh["data_parallel"])
            self._sharded = True

    def on_validation_start(self) -> None:
        """Gather the whole network on every process, if it is divided."""
        if self._sharded:
            gather(self.network, whole=True)

    on_test_start = on_predict_start = on_validation_start

    def on_validation_end(self) -> None:
        """Keep only a part of it on each process again, after the callbacks."""
        if self._sharded:
            gather(self.network, whole=False)

    def configure_optimizers(self) -> Any:
        """Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980), if set with a schedule of the learning rate.

        The learning rate rises from 0 over the share `warmup` of the steps. With the schedule `cosine` it then falls to
        0 along half a period of the cosine (Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983, without
        restarts); with `linear` along a line.

        A network can have groups of parameters with learning rates of their own, see `FineTuned.parameter_groups`.
        """
        groups = getattr(self.network, "parameter_groups", None)
        trained = groups(self.lr) if groups else [p for p in self.parameters() if p.requires_grad]
        fused = self.device.type in FUSED
        optimizer = torch.optim.Adam(trained, lr=self.lr, weight_decay=self.weight_decay, fused=fused)
        optimizer._step_supports_amp_scaling = False  # Lightning scales gradients, and clips them afterwards
        if self.schedule == "constant" and not self.warmup:
            return optimizer
        steps = self.trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise UsageError(f"--model.schedule {self.schedule}: needs an end; set --trainer.max_epochs or max_steps")
        if any(isinstance(callback, BaseFinetuning) for callback in self.trainer.callbacks):  # type: ignore[attr-defined]
            raise UsageError(
                "BackboneFinetuning: sets learning rates itself; set --model.schedule constant and --model.warmup 0"
            )
        share = partial(share_of_lr, steps=int(steps), warmup=self.warmup, schedule=self.schedule)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def share_of_lr(step: int, steps: int, warmup: float, schedule: Schedule) -> float:
    """The learning rate of a step as a share of the highest.

    Args:
        step: number of the step, from 0.
        steps: number of steps in the training.
        warmup: share of the steps in which the learning rate rises.
        schedule: what follows.
    """
    rising = warmup * steps
    if step < rising:
        return step / rising
    if schedule == "constant":
        return 1.0
    done = min(1.0, (step - rising) / max(1.0, steps - rising))
    return 1.0 - done if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
