"""The callback of each trial's training."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, LightningModule, Trainer
from msgspec.structs import asdict

from musicgen_cls.commands.sweep.study import Kept, MetricError, notes_of

if TYPE_CHECKING:
    from optuna import Trial


class Watch(Callback):
    """Reports each epoch of a trial to the study, stops poor trials, and shows a progress bar.

    Args:
        trial: Optuna's trial.
        metric: the metric of the search.
        checkpoint: settings of the best checkpoint: `monitor` and `mode`.
        label: label of the progress bar.
    """

    def __init__(self, trial: Trial, metric: str, checkpoint: dict[str, Any], label: str) -> None:
        self.trial, self.metric, self.label = trial, metric, label
        self.monitor, self.sign = checkpoint["monitor"] or metric, -1.0 if checkpoint["mode"] == "max" else 1.0
        before = notes_of(trial)
        self.kept = before.kept
        self.reason: str | None = None
        self.pruned = False
        self._bar: Any = None
        self._start = time.monotonic() - before.seconds
        self._shown = sys.stderr

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the progress bar at the current epoch."""
        from tqdm import tqdm

        total, done = trainer.max_epochs, trainer.current_epoch
        self._bar = tqdm(total=total, initial=done, desc=self.label, unit="epoch", file=self._shown)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the metric; decide whether training continues."""
        if trainer.sanity_checking:
            return
        for name in (self.metric, self.monitor):
            if name not in trainer.callback_metrics:
                logged = ", ".join(sorted(name for name in trainer.callback_metrics if name.startswith("val_")))
                raise MetricError(f"--metric {name}: validation does not log it; use one of {logged}")
        value, monitored = (float(trainer.callback_metrics[name]) for name in (self.metric, self.monitor))
        epoch = trainer.current_epoch
        self.trial.set_user_attr("seconds", time.monotonic() - self._start)
        if not math.isfinite(value):
            self.reason = f"{self.metric} is {value} after {epoch + 1} epochs: training diverged"
            trainer.should_stop = True
            return
        self.trial.report(value, epoch)
        if self.kept is None or self.sign * monitored < self.sign * self.kept.monitored:
            self.kept = Kept(epoch, monitored, value)
            self.trial.set_user_attr("kept", asdict(self.kept))
        self._bar.set_postfix_str(f"{self.metric} {value:.4g}", refresh=False)
        self._bar.update()
        if epoch + 1 < (trainer.max_epochs or 0) and self.trial.should_prune():
            self.pruned = trainer.should_stop = True
            self._bar.set_postfix_str(f"{self.metric} {value:.4g}, pruned")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the progress bar before figures are drawn."""
        self._close()

    def __enter__(self) -> Watch:
        """The callback itself; its progress bar is closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
