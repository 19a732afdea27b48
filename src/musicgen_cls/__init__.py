"""Neural networks on music genres: train them, judge them without leaks, use them."""

from __future__ import annotations

from collections.abc import Collection
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from musicgen_cls.datamodules.base import GenreDataModule
    from musicgen_cls.plots import FigureFormat
    from musicgen_cls.recogniser import GenreRecogniser
    from musicgen_cls.tasks.base import Task

__version__ = "0.1.0"


def _name_user() -> None:
    """Give a user id without a name, as in many containers, one: torch cannot be imported without (getpass.getuser)."""
    import getpass
    import os

    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):
        os.environ["USER"] = f"user-{os.getuid()}" if hasattr(os, "getuid") else "user"


_name_user()


def load(checkpoint: str | PathLike[str], device: str = "cpu", trust: Collection[str] = ()) -> GenreRecogniser:
    """A trained classifier: `load("best.ckpt")("song.mp3")` gives the probability of each genre.

    This changes the process that calls it: on Linux with glibc, freed memory stays with the process for its next
    tensors, which makes networks up to twice as fast, and the process keeps the size of its peak (see
    `musicgen_cls.memory`). `ctypes.CDLL(None).malloc_trim(0)` gives memory that is free back to the system. Set
    `MUSICGEN_CLS_KEEP_MEMORY=0` in the environment to leave the process as it is.

    Args:
        checkpoint: a file that `fit` wrote.
        device: where to compute, as `cuda`.
        trust: modules outside this package whose classes the checkpoint may name, as that of your own network. They
            are imported, so that their code runs; without this nothing that only a checkpoint names is imported.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, something else, or names a class that is not trusted.
        UsageError: `MUSICGEN_CLS_KEEP_MEMORY` is neither 0 nor 1.
    """
    from musicgen_cls.recogniser import GenreRecogniser

    return GenreRecogniser(checkpoint, device, trust)


def report(
    task: Task, datamodule: GenreDataModule, out: str | PathLike[str] = "report", figure_format: FigureFormat = "png"
) -> Path:
    """Test a trained task on a datamodule's test tracks: print and write what `musiccli test` prints and writes.

    Args:
        task: a `GenreClassifier` or `GenreGenerator`, as `load("best.ckpt").task`.
        datamodule: the data, as `load("best.ckpt").data`, or one of your own.
        out: the folder to write into: `report.html`, `report.json`, tables and figures.
        figure_format: of the figures: `png`, `svg` or `pdf`.

    Returns:
        The folder.

    Raises:
        MusicClsError: the task and the data are not of this package, there are no test tracks, or the folder cannot be
            written.
    """
    from musicgen_cls.cli.report import report

    return report(task, datamodule, out, figure_format)
