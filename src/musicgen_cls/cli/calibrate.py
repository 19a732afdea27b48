"""The calibration of the best checkpoint, after its training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden

from musicgen_cls.checkpoints import load_content
from musicgen_cls.metrics.calibration import fit_calibration
from musicgen_cls.metrics.scores import Scores
from musicgen_cls.tasks.classification import GenreClassifier


def calibrate(trainer: Trainer, model: Any, datamodule: Any, best: str) -> None:
    """Fit temperature and bias on the validation tracks, write them into the best checkpoint, and print them.

    The model has the weights of the checkpoint afterwards. Nothing happens for a generator, without validation tracks,
    and for a checkpoint that is a folder, as those of sharded models.

    Args:
        trainer: after fit.
        model: the trained task.
        datamodule: its data.
        best: path of the checkpoint.
    """
    path = Path(best)
    if not isinstance(model, GenreClassifier) or not path.is_file() or not _validates(trainer, datamodule):
        return
    content = load_content(path)
    model.load_state_dict(content["state_dict"])
    model.calibration.reset()
    scores = _validation_scores(trainer, model, datamodule)
    if scores is None or np.isnan(scores.log_probs).any():  # training diverged; the test says so
        return
    fit = fit_calibration(scores)
    model.calibration.set(fit)
    if trainer.is_global_zero:
        content["state_dict"].update(model.calibration.state_dict(prefix="calibration."))
        trainer.strategy.checkpoint_io.save_checkpoint(content, path)
        print(f"Calibration: {fit.line}")
    trainer.strategy.barrier("calibration")


def _validates(trainer: Trainer, datamodule: Any) -> bool:
    return bool(trainer.limit_val_batches) and is_overridden("val_dataloader", datamodule)


def _validation_scores(trainer: Trainer, model: GenreClassifier, datamodule: Any) -> Scores | None:
    """Predictions for the validation tracks on every process, without traces in logs and callbacks."""
    model.results.pop("val", None)
    with _alone(trainer):
        trainer.validate(model, datamodule=datamodule, verbose=False)
    return model.results.get("val")


@contextmanager
def _alone(trainer: Trainer) -> Iterator[None]:
    """Set the callbacks and loggers of a trainer aside: they would take this pass for an epoch of training."""
    kept: tuple[Any, Any] = trainer.callbacks, trainer.loggers  # type: ignore[attr-defined]
    trainer.callbacks, trainer.loggers = [], []  # type: ignore[attr-defined]
    try:
        yield
    finally:
        trainer.callbacks, trainer.loggers = kept  # type: ignore[attr-defined]
