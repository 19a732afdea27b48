"""Writes the report of a test, from Python."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from musicgen_cls.callbacks.report import LossReport, TestReport
from musicgen_cls.callbacks.scores import ScoreReport
from musicgen_cls.cli.logs import configure_logs
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.errors import UsageError
from musicgen_cls.files import as_path
from musicgen_cls.plots import FigureFormat
from musicgen_cls.tasks.classification import GenreClassifier
from musicgen_cls.tasks.generation import GenreGenerator
from musicgen_cls.tasks.notes import NoteGenerator


def report(
    task: LightningModule,
    datamodule: GenreDataModule,
    out: str | PathLike[str] = "report",
    figure_format: FigureFormat = "png",
) -> Path:
    """Test as `musiccli test` does; see `musicgen_cls.report`."""
    folder = as_path(out, "out")
    writers: dict[type, Callback] = {
        GenreClassifier: TestReport(str(folder), figure_format),
        GenreGenerator: LossReport(str(folder)),
        NoteGenerator: ScoreReport(str(folder)),
    }
    writer = next((writer for kind, writer in writers.items() if isinstance(task, kind)), None)
    if writer is None or not isinstance(datamodule, GenreDataModule):
        raise UsageError(
            f"report({type(task).__name__}, {type(datamodule).__name__}): give a GenreClassifier, a "
            "GenreGenerator or a NoteGenerator, "
            "and a datamodule of this package"
        )
    configure_logs()
    trainer = Trainer(
        callbacks=[writer], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.test(task, datamodule, verbose=False)
    return folder
