"""Neural networks on music genres: training, tests without leaks, and use."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
    """Set a name for a user id without a name, as in many containers, since torch needs one (getpass.getuser)."""
    import getpass
    import os

    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):
        os.environ["USER"] = f"user-{os.getuid()}" if hasattr(os, "getuid") else "user"


_name_user()


def load(
    checkpoint: str | PathLike[str] = "untrained",
    device: str = "cpu",
    trust: Collection[str] = (),
    threshold: float = 0.5,
    genres: Sequence[str] = (),
) -> GenreRecogniser:
    """A classifier: `load()("song.mp3")` and `load("best.ckpt")("song.mp3")` give the probability of each genre.

    Without a checkpoint, genres are read from the tags of pretrained networks, whose weights are fetched once; see
    `musicgen_cls.untrained`.

    On Linux with glibc, this function changes the calling process: freed memory stays in the process for its next
    tensors. Networks are then up to twice as fast, and the size of the process stays at its peak (see
    `musicgen_cls.memory`). `ctypes.CDLL(None).malloc_trim(0)` returns free memory to the system. With
    `MUSICGEN_CLS_KEEP_MEMORY=0` in the environment, the function does not change the process.

    Args:
        checkpoint: a file that `fit` wrote, or `untrained`.
        device: where to compute, such as `cuda`.
        trust: modules outside of this package whose classes the checkpoint may name, such as the module of your own
            network. They are imported, which runs their code. Other modules in a checkpoint are not imported.
        threshold: `load(...).genre(...)` gives None if the most probable genre has a lower probability; 0 turns it off.
        genres: of the untrained reading, only these.

    Raises:
        CheckpointError: the checkpoint is missing, damaged or another file, or names a class that is not trusted.
        SourceError: the pretrained networks cannot be fetched.
        UsageError: the threshold is not from 0 to 1, or `MUSICGEN_CLS_KEEP_MEMORY` is neither 0 nor 1.
    """
    from musicgen_cls.recogniser import GenreRecogniser

    return GenreRecogniser(checkpoint, device, trust, threshold, genres)


def report(
    task: Task, datamodule: GenreDataModule, out: str | PathLike[str] = "report", figure_format: FigureFormat = "png"
) -> Path:
    """Test a trained task on a datamodule's test tracks: print and write what `musiccli test` prints and writes.

    Args:
        task: a `GenreClassifier`, `GenreGenerator` or `NoteGenerator`, such as `load("best.ckpt").task`.
        datamodule: the data, such as `load("best.ckpt").data`, or your own.
        out: folder for `report.html`, `report.json`, tables and figures.
        figure_format: format of the figures: `png`, `svg` or `pdf`.

    Returns:
        The folder.

    Raises:
        MusicClsError: the task and the data are not of this package, there are no test tracks, or the folder cannot be
            written.
    """
    from musicgen_cls.cli.report import report

    return report(task, datamodule, out, figure_format)
