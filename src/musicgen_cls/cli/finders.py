"""What Lightning's finders of a learning rate and of a batch size find, as settings of the run after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder
from lightning.pytorch.loggers import TensorBoardLogger

from musicgen_cls import plots
from musicgen_cls.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOUND_BY: dict[type[Callback], tuple[str, str]] = {
    LearningRateFinder: ("model", "lr"),
    BatchSizeFinder: ("data", "batch_size"),
}
"""The argument that each finder is for."""

_SKIPPED = 10, 1  # steps at the beginning, where Lightning's running mean is still settling, and at the end


@dataclass(frozen=True)
class Found:
    """A setting, where it was found in a curve that curve as a figure, and one line about it."""

    value: float
    line: str
    figure: Figure | None = None


class FoundFigures(Callback):
    """Puts the curves of what was found into TensorBoard."""

    def __init__(self, found: Sequence[Found]) -> None:
        self.found = found

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw."""
        logger = trainer.logger
        if trainer.is_global_zero and isinstance(logger, TensorBoardLogger):
            for found in self.found:
                if found.figure is not None:
                    logger.experiment.add_figure("found/learning_rate", found.figure, 0)


def search(finder: Callback, model: Any, datamodule: Any, settings: dict[str, Any]) -> Found:
    """Let a finder search, on a model and data that are thrown away afterwards: nothing of it reaches the run.

    Args:
        finder: Lightning's.
        model: freshly made.
        datamodule: freshly made.
        settings: arguments of the run's trainer.

    Raises:
        UsageError: the finder cannot find anything here.
    """
    name = type(finder).__name__
    if isinstance(finder, LearningRateFinder) and not 0 < finder._min_lr < finder._max_lr:
        raise UsageError(
            f"--trainer.callbacks {name}: min_lr {finder._min_lr} is not between 0 and max_lr {finder._max_lr}"
        )
    with TemporaryDirectory() as folder:  # finders keep a checkpoint of their own
        ours = {
            "callbacks": [finder],
            "logger": False,
            "enable_checkpointing": False,
            "enable_model_summary": False,
            "default_root_dir": folder,
            "num_sanity_val_steps": 0,
            "check_val_every_n_epoch": 1_000_000,  # validation tells a finder nothing
            "max_epochs": -1,  # the finder says how many steps
            "max_time": None,
        }
        trainer = Trainer(**{**settings, **ours})
        if trainer.world_size > 1:
            raise UsageError(
                f"--trainer.callbacks {name}: searches on one device; find with --trainer.devices 1, then say what it "
                "found with --model.lr or --data.batch_size and train without the finder"
            )
        before = float(model.lr), int(datamodule.batch_size)
        if isinstance(finder, BatchSizeFinder):
            datamodule.prepare_data()
            datamodule.setup("fit")
            if datamodule.train_dataloader().batch_size is None:
                raise UsageError(
                    f"--trainer.callbacks {name}: with --data.batch track a track is a batch; leave it out"
                )
        finder._early_exit = True  # type: ignore[attr-defined]  # leave before the training, as Lightning's Tuner does
        trainer.fit(model, datamodule=datamodule)
    if isinstance(finder, BatchSizeFinder):
        size = int(datamodule.batch_size)
        return Found(size, f"Batch size:  {size}, found by {name}; it was {before[1]}")
    assert isinstance(finder, LearningRateFinder)
    assert finder.optimal_lr is not None
    lrs, losses = finder.optimal_lr.results["lr"], finder.optimal_lr.results["loss"]
    lr = float(f"{steepest(lrs, losses):.3g}")
    span = f"{len(lrs)} steps from {lrs[0]:.2g} to {lrs[-1]:.2g}"
    line = f"Learning rate: {lr:.3g}, found by {name} in {span}; it was {before[0]:.3g}"
    begun = _SKIPPED[0]
    return Found(lr, line, plots.learning_rate_curve(lrs[begun:], losses[begun:], lr, before[0]))


def steepest(lrs: Sequence[float], losses: Sequence[float]) -> float:
    """The learning rate at which the loss falls the fastest as the rate grows by factors.

    Lightning's own suggestion takes the slope against the rate itself, which is the steeper the smaller the rates are:
    on music it answers with the least rates that were tried. The curve is Lightning's.

    Args:
        lrs: learning rates, ascending, `[steps]`.
        losses: smoothed, `[steps]`.

    Raises:
        UsageError: too few steps, or the loss never falls.
    """
    kept = slice(_SKIPPED[0], len(lrs) - _SKIPPED[1])
    rates, curve = np.asarray(lrs[kept], dtype=np.float64), np.asarray(losses[kept], dtype=np.float64)
    rates, curve = rates[np.isfinite(curve)], curve[np.isfinite(curve)]
    if len(curve) < 3:
        raise UsageError(
            f"LearningRateFinder: {len(lrs)} steps tell nothing, the first {_SKIPPED[0]} are not counted; give more "
            "num_training_steps, or a lower max_lr if the loss ran away"
        )
    slopes = np.gradient(curve, np.log(rates))
    if slopes.min() >= 0:
        raise UsageError(
            f"LearningRateFinder: the loss falls nowhere between {lrs[0]:.2g} and {lrs[-1]:.2g}; give a wider range "
            "with min_lr and max_lr, or more num_training_steps"
        )
    return float(rates[slopes.argmin()])
