"""The exported module: front end, network and calibrated probabilities."""

from __future__ import annotations

from torch import Tensor, nn

from musicgen_cls.audio.mel import DirectLogMel, LogMel
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.errors import CheckpointError
from musicgen_cls.tasks.classification import GenreClassifier

_LONGEST = 4096  # samples of a frame; the table of its sines and cosines has 67 MB


class Exported(nn.Module):
    """A classifier from the input of an exported file to probabilities `[batch, genres]`.

    Args:
        data: has the input and the front end, which is copied.
        task: from the output of the front end to probabilities.
    """

    def __init__(self, data: GenreDataModule, task: GenreClassifier) -> None:
        super().__init__()
        self.input = data.exported_input()
        self.front_end = data.exported_front_end()
        self.network, self.calibration = task.network, task.calibration

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities `[batch, genres]` from the input, float32 `[batch, ...]`."""
        return self.calibration.probabilities(self.network(self.front_end(self.input.to_items(x))))

    def without_fast_transform(self) -> None:
        """Compute spectra with a table of sines and cosines if n_fft is not a power of 2, which onnxruntime needs.

        Raises:
            CheckpointError: the frames are too long for a table.
        """
        for module in list(self.front_end.modules()):
            for name, mel in module.named_children():
                if isinstance(mel, LogMel) and mel.n_fft & (mel.n_fft - 1):
                    setattr(module, name, _direct(mel))


def _direct(mel: LogMel) -> DirectLogMel:
    if mel.n_fft > _LONGEST:
        raise CheckpointError(
            f"n_fft {mel.n_fft}: ONNX files support powers of 2, and other values up to {_LONGEST}; use --format "
            "torch_export"
        )
    return DirectLogMel(mel.sample_rate, mel.n_fft, mel.hop_length, mel.n_mels, mel.top_db)
