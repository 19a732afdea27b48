"""The callbacks that a command adds to those of the user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ProgressBar
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger

from musicgen_cls.callbacks.continuations import ContinuationWriter
from musicgen_cls.callbacks.figures import ContinuationFigures, TensorBoardFigures
from musicgen_cls.callbacks.generations import GenerationWriter
from musicgen_cls.callbacks.predictions import PredictionWriter
from musicgen_cls.callbacks.progress import Progress
from musicgen_cls.callbacks.report import LossReport, TestReport
from musicgen_cls.callbacks.resuming import SeedEachEpoch
from musicgen_cls.callbacks.scores import ScoreFigures, ScoreReport, ScoreWriter
from musicgen_cls.checkpoints import Checkpoint
from musicgen_cls.cli.finders import Found, FoundFigures
from musicgen_cls.cli.runs import last_checkpoint
from musicgen_cls.errors import UsageError
from musicgen_cls.specs import resolve
from musicgen_cls.tasks.generation import GenreGenerator
from musicgen_cls.tasks.notes import NoteGenerator


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
    """The callback that writes the results of predict: rows for a classifier, sound and scores for a generator.

    Raises:
        UsageError: `--soundfont` names no SoundFont, or the checkpoint is not of a generator of notes.
    """
    writer = _PARTS[_kind(config)].writer
    played = {} if config.soundfont is None else {"soundfont": config.soundfont}
    if played and writer is not ScoreWriter:
        raise UsageError(
            f"--soundfont {config.soundfont}: plays scores only; name the checkpoint of a generator of notes, or leave "
            "it out"
        )
    if writer is None:
        return PredictionWriter(config.out or "predictions", config.threshold)
    return writer(config.out or "generated", config.overwrite, checkpoint, config.figure_format, **played)


def test_report(config: Any) -> Callback:
    """The callback that reports a test."""
    reporter = _PARTS[_kind(config)].reporter
    return TestReport(config.out, config.figure_format, config.threshold) if reporter is None else reporter(config.out)


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
        figures = _PARTS[_kind(config)].figures
        callbacks += [ConfigCallback(parser, recipe, overwrite=True), figures(config.figures_every_n_epochs)]
        callbacks += [LearningRateMonitor(), *([FoundFigures(found)] if found else [])]
    return callbacks


class Parts(NamedTuple):
    """The callbacks of a kind of task; None for those of a classifier, which take other arguments."""

    writer: Callable[..., GenerationWriter] | None
    reporter: type[LossReport] | type[ScoreReport] | None
    figures: Callable[[int], Callback]


_PARTS: dict[type, Parts] = {
    GenreGenerator: Parts(ContinuationWriter, LossReport, ContinuationFigures),
    NoteGenerator: Parts(ScoreWriter, ScoreReport, ScoreFigures),
    object: Parts(None, None, TensorBoardFigures),
}


def _kind(config: Any) -> type:
    """The kind of the task in a config; `object` for classifiers and tasks of users."""
    task = resolve(config.model.class_path)
    return next(kind for kind in _PARTS if issubclass(task, kind))
