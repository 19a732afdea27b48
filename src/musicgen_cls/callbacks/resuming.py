"""A resumed training has the same results as an uninterrupted one."""

from __future__ import annotations

import os
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor

from musicgen_cls.errors import UsageError


class LastingStop(EarlyStopping):
    """Early stopping that also applies after training is resumed.

    Lightning stores in a checkpoint for how many epochs the metric has not improved, but not that training was stopped.
    A training that was killed after its last epoch would train for one more epoch, and have other weights.
    """

    _validated = False
    _last: Tensor | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember that validation has logged its metrics."""
        self._validated |= not (trainer.sanity_checking or trainer.barebones)  # a barebones trainer logs nothing
        super().on_validation_end(trainer, pl_module)

    def _validate_condition_metric(self, logs: dict[str, Tensor]) -> bool:
        """Whether the metric exists. Before the first validation it can be missing, as with `--trainer.max_steps`."""
        if self.monitor not in logs and self._validated:
            raise UsageError(
                f"--early_stopping.monitor {self.monitor}: no such metric; use one of {', '.join(sorted(logs))}"
            )
        if self.monitor in logs:
            self._last = logs[self.monitor].squeeze()
        return self.monitor in logs

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop at once if training was stopped before, by the rules of this run."""
        exhausted = self.wait_count > 0 and self.wait_count >= self.patience
        if exhausted or (self._last is not None and self._is_past_limits(self._last)):
            trainer.should_stop = True

    def _is_past_limits(self, value: Tensor) -> bool:
        """Whether a value of the metric stops the training, as Lightning has it."""
        if self.check_finite and not torch.isfinite(value):
            return True
        if self.stopping_threshold is not None and self.monitor_op(value, self.stopping_threshold):
            return True
        return self.divergence_threshold is not None and bool(self.monitor_op(-value, -self.divergence_threshold))

    def state_dict(self) -> dict[str, Any]:
        """The state of Lightning, with the last value of the metric."""
        return {**super().state_dict(), "last": self._last}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the count, but keep the patience of this run; Lightning would restore the earlier patience."""
        super().load_state_dict({**state_dict, "patience": self.patience})
        self._last = state_dict.get("last")


class SeedEachEpoch(Callback):
    """Seeds torch at the start of each training epoch with the run's seed, the epoch and the process.

    Dropout and augmentation then draw the same random numbers in a resumed run as in an uninterrupted one.
    """

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed."""
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
        torch.manual_seed((seed * 1_000_003 + trainer.current_epoch) * 1_009 + trainer.global_rank)
