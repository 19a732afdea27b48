"""What the rest of the package asks a datamodule, with the answers of one that has no audio and no spectrograms."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from musicgen_cls.audio.io import Waveform
from musicgen_cls.datamodules.export import ExportedInput
from musicgen_cls.errors import CheckpointError


class Answers:
    """Commands, callbacks and pages ask these, and never for the class of a datamodule."""

    sample_rate: int | None = None
    """Of the audio, Hz; None where windows are no audio."""

    target_samples: int | None = None
    """Length of the part of a window that a generator learns to continue with, samples; None for classifiers."""

    NETWORK_SIZES: ClassVar[tuple[str, ...]] = ()
    """Arguments that networks and this datamodule have in common, as `n_mels`: they must be equal."""

    IN_DECIBELS: ClassVar[bool] = False
    """Whether the front end standardises levels in dB, so that they can be compared with those of training."""

    augment: nn.Module | None = None
    mask: nn.Module | None = None

    genre: str | None = None
    takes: int = 1
    """With which genre, and how often, a generator continues a prompt."""

    prompts: int = 0
    """Number of recordings that `predict` of a generator makes, known once its loader is made."""

    answered: frozenset[str] = frozenset()
    """Versions of the files that a stopped `predict` has finished."""

    def beginning(self, row: int, seconds: float) -> Waveform | None:
        """The first seconds of a track of the collection to listen to, `[samples]`; None without audio."""
        return None

    def mel_levels(self, x: Tensor) -> tuple[Tensor, npt.NDArray[np.float64]] | None:
        """Input of the network as mel spectrograms in dB, and the centre of each band, Hz; None for other input.

        Shapes: `x` and the levels `[batch, n_mels, frames]`, the centres `[n_mels]`.
        """
        return None

    def exported_input(self) -> ExportedInput:
        """What an exported file takes.

        Raises:
            CheckpointError: this datamodule cannot be exported.
        """
        raise CheckpointError(
            f"{type(self).__name__}: `musiccli export` does not know its input; train on MelSlices, or define the "
            "method exported_input"
        )

    @property
    def size_remedy(self) -> str:
        """What to change where a network cannot take windows of this size, for an error message."""
        return "give longer windows or other bands and frames, or data of another kind"
