"""Neural networks on music genres: train them, judge them without leaks, use them."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from musicgen_cls.inference import GenreRecogniser

__version__ = "0.1.0"


def load(checkpoint: str | PathLike[str], device: str = "cpu") -> GenreRecogniser:
    """A trained classifier: `load("best.ckpt")("song.mp3")` gives the probability of each genre.

    Raises:
        CheckpointError: the checkpoint is missing, damaged or something else.
    """
    from musicgen_cls.inference import GenreRecogniser

    return GenreRecogniser(checkpoint, device)
