"""When a training has had enough, also after it was interrupted."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor

from musicgen_cls.errors import UsageError


class LastingStop(EarlyStopping):
    """Lightning's, which a training that goes on from a checkpoint does not outlive.

    Lightning keeps in a checkpoint how long the figure has not improved, but not that training was stopped for it: one
    that was killed after its last epoch would go on for another, and end with other weights.
    """

    _validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember that there are figures of validation."""
        self._validated |= not (trainer.sanity_checking or trainer.barebones)  # the latter logs no figure
        super().on_validation_end(trainer, pl_module)

    def _validate_condition_metric(self, logs: dict[str, Tensor]) -> bool:
        """Whether the figure is there. It need not be where no validation has run, as within `--trainer.max_steps`."""
        if self.monitor not in logs and self._validated:
            figures = ", ".join(sorted(logs))
            raise UsageError(f"--early_stopping.monitor {self.monitor}: there is no such figure; there are {figures}")
        return self.monitor in logs

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop at once where patience was at its end."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the count, with the patience of now: Lightning takes that of then, whatever the command line says."""
        super().load_state_dict({**state_dict, "patience": self.patience})
