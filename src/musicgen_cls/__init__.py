"""Neural networks on music genres: train them, judge them without leaks, use them."""

from __future__ import annotations

from collections.abc import Collection
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from musicgen_cls.inference import GenreRecogniser

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
    from musicgen_cls.inference import GenreRecogniser

    return GenreRecogniser(checkpoint, device, trust)
