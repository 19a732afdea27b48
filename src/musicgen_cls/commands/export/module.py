"""What leaves the project: front end, network and softmax as one module."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from musicgen_cls.audio.mel import DirectLogMel, LogMel
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.errors import CheckpointError

_LONGEST = 4096  # samples of a frame whose sines and cosines are written out: 67 MB


class Exported(nn.Module):
    """A classifier from the input of an exported file to probabilities `[batch, genres]`.

    Args:
        data: has the front end, of which this takes a copy, and knows the input.
        network: from the output of the front end to logits.
    """

    def __init__(self, data: GenreDataModule, network: nn.Module) -> None:
        super().__init__()
        self.input = data.exported_input()
        self.front_end = data.front_end.fixed()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Input, float32 `[batch, ...]`, to probabilities `[batch, genres]`."""
        return functional.softmax(self.network(self.front_end(self.input.to_items(x))).float(), dim=1)

    def without_fast_transform(self) -> None:
        """Compute spectra of frames that are no power of 2 with sines and cosines, as onnxruntime needs it.

        Raises:
            CheckpointError: the frames are too long for that.
        """
        for module in list(self.front_end.modules()):
            for name, mel in module.named_children():
                if isinstance(mel, LogMel) and mel.n_fft & (mel.n_fft - 1):
                    setattr(module, name, _direct(mel))


def _direct(mel: LogMel) -> DirectLogMel:
    if mel.n_fft > _LONGEST:
        raise CheckpointError(
            f"n_fft {mel.n_fft}: onnxruntime is exact for powers of 2 and up to {_LONGEST} only; export it with "
            "--format torch_export"
        )
    return DirectLogMel(mel.sample_rate, mel.n_fft, mel.hop_length, mel.n_mels, mel.top_db)
