"""The callbacks that a command adds to those of the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ProgressBar
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger

from musicgen_cls.callbacks.continuations import ContinuationWriter
from musicgen_cls.callbacks.figures import ContinuationFigures, TensorBoardFigures
from musicgen_cls.callbacks.predictions import PredictionWriter
from musicgen_cls.callbacks.progress import Progress
from musicgen_cls.callbacks.report import LossReport, TestReport
from musicgen_cls.callbacks.resuming import SeedEachEpoch
from musicgen_cls.checkpoints import Checkpoint
from musicgen_cls.cli.finders import Found, FoundFigures
from musicgen_cls.cli.runs import last_checkpoint
from musicgen_cls.specs import resolve
from musicgen_cls.tasks.generation import GenreGenerator


class ConfigCallback(SaveConfigCallback):
    """Saves the resolved config of a run, and logs it as a text to TensorBoard."""

    def save_config(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Log the text."""
        if isinstance(trainer.logger, TensorBoardLogger):
            text = self.parser.dump(self.config, skip_none=False)
            trainer.logger.experiment.add_text("config", f"```yaml\n{text}\n```")


def progress_bar(trainer: Any) -> list[Callback]:
    """Our progress bar, unless the trainer's config has another one or turns it off."""
    callbacks = trainer.callbacks or []
    callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
    named = any(issubclass(resolve(described.class_path), ProgressBar) for described in callbacks)
    return [] if named or trainer.enable_progress_bar is False or trainer.barebones else [Progress()]


def prediction_writer(config: Any, checkpoint: Checkpoint | None) -> Callback:
    """The callback that writes the results of predict: rows for a classifier, sound for a generator."""
    if _generates(config):
        return ContinuationWriter(config.out or "generated", config.overwrite, checkpoint, config.figure_format)
    return PredictionWriter(config.out or "predictions", config.threshold)


def test_report(config: Any) -> Callback:
    """The callback that reports a test."""
    return (
        LossReport(config.out) if _generates(config) else TestReport(config.out, config.figure_format, config.threshold)
    )


def training_callbacks(config: Any, recipe: Any, parser: Any, found: Sequence[Found]) -> list[Callback]:
    """The callbacks for resuming, checkpoints and logging.

    Args:
        config: config of fit.
        recipe: the config to save.
        parser: parser of fit; it writes the config.
        found: results of finders.
    """
    callbacks: list[Callback] = [SeedEachEpoch()]
    if config.trainer.enable_checkpointing is not False:
        callbacks += [last_checkpoint(config.checkpoint.dirpath)]
    if config.trainer.logger is not False and not config.trainer.fast_dev_run:
        figures = ContinuationFigures if _generates(config) else TensorBoardFigures
        callbacks += [ConfigCallback(parser, recipe, overwrite=True), figures(config.figures_every_n_epochs)]
        callbacks += [LearningRateMonitor(), *([FoundFigures(found)] if found else [])]
    return callbacks


def _generates(config: Any) -> bool:
    return issubclass(resolve(config.model.class_path), GenreGenerator)
