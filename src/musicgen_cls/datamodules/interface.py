"""The interface of datamodules for the rest of the package, with defaults for data without audio and spectrograms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from musicgen_cls.audio.io import Waveform
from musicgen_cls.datamodules.export import ExportedInput
from musicgen_cls.errors import CheckpointError


class DataModuleInterface:
    """Commands, callbacks and pages use these attributes and methods; they do not depend on the class."""

    sample_rate: int | None = None
    """Sample rate of the audio, Hz; None if windows are not audio."""

    target_samples: int | None = None
    """Length of the part of a window that a generator learns to generate, samples; None for classifiers."""

    NETWORK_SIZES: ClassVar[tuple[str, ...]] = ()
    """Arguments, such as `n_mels`, that the network and this datamodule share and that must be equal."""

    IN_DECIBELS: ClassVar[bool] = False
    """Whether the front end standardises levels in dB, so that they can be compared with the training levels."""

    augment: nn.Module | None = None
    mask: nn.Module | None = None

    genre: str | None = None
    """The genre in which a generator continues prompts; each prompt's own genre if None."""

    samples_per_prompt: int = 1
    """Number of samples that a generator draws for each prompt."""

    prompts: int = 0
    """Number of recordings that `predict` of a generator writes; it is set when the loader is created."""

    left_files: Sequence[tuple[str, Path]] | None = None
    """Version and path of the files that `predict` has left; all that are named if None."""

    @property
    def pretrained(self) -> list[dict[str, str]]:
        """Pretrained networks that the windows went through: name, trained_on, licence, source, known_overlaps."""
        return []

    def first_seconds(self, row: int, seconds: float) -> Waveform | None:
        """The first seconds of a track of the collection, to listen to, `[samples]`; None without audio."""
        return None

    def mel_levels(self, x: Tensor) -> tuple[Tensor, npt.NDArray[np.float64]] | None:
        """The input of a network as mel spectrograms in dB, and the centre of each band, Hz; None for other input.

        Shapes: `x` and the levels `[batch, n_mels, frames]`, the centres `[n_mels]`.
        """
        return None

    def exported_input(self) -> ExportedInput:
        """The input of an exported file.

        Raises:
            CheckpointError: classifiers on this datamodule cannot be exported.
        """
        raise CheckpointError(
            f"{type(self).__name__}: `musiccli export` does not know its input; train on MelSlices, or define the "
            "method exported_input"
        )

    @property
    def size_remedy(self) -> str:
        """The remedy if a network cannot take windows of this size, for an error message."""
        return "use longer windows, other numbers of bands and frames, or other data"
