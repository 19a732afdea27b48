"""The average of a network's weights over the last steps of a training."""

from __future__ import annotations

from collections.abc import Callable

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from musicgen_cls.errors import UsageError


class MovingAverage(WeightAveraging):
    """Validates, tests and saves the average of the weights over the last steps: about 1 / (1 - `decay`) of them.

    In the usual moving average, the weights after the first step keep the share `decay ** (n - 1)` after n steps: with
    0.995 and 240 steps 30 %, so that a short training ends with a network that is a third untrained. Here the shares
    are divided by their sum, as in Adam's bias correction (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980, section
    3). Statistics of batch norm are averaged too.

    Args:
        decay: share of the average that stays at each step of a long training, from 0 to 1.

    Raises:
        UsageError: `decay` is not from 0 to 1, or is 1.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise UsageError(f"--trainer.callbacks MovingAverage, decay {decay}: must be at least 0, and below 1")
        super().__init__(avg_fn=corrected(decay), use_buffers=True)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the weights of the last step back, and remember the whole numbers in the buffers."""
        super().on_validation_epoch_end(trainer, pl_module)
        self._whole = {name: own.clone() for name, own in pl_module.named_buffers() if not own.is_floating_point()}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what the validation has chosen at its end, such as the candidate of `LinearProbe`, with the average."""
        if self._average_model is not None:
            averaged, present = (dict(own.named_buffers()) for own in (self._average_model.module, pl_module))
            for name, before in self._whole.items():
                if not torch.equal(present[name], before):
                    averaged[name].copy_(present[name])


def corrected(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """The function that adds the weights of a step to an average.

    After n steps the average is the sum of decay^(n-i) w_i over the steps i, divided by the sum of the decay^(n-i),
    (1 - decay^n) / (1 - decay). So the weights of step n have the share (1 - decay) / (1 - decay^n).
    """

    def average(averaged: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
        if not current.is_floating_point():  # a count or a choice has no mean
            return current
        share = (1 - decay) / (1 - decay ** (int(steps) + 1))
        return averaged + share * (current - averaged)

    return average
