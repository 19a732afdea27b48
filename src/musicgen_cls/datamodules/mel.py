"""Log-mel spectrograms of windows of tracks."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from musicgen_cls.audio.mel import Logarithm
from musicgen_cls.audio.windows import to_samples
from musicgen_cls.datamodules.audio import AudioDataModule
from musicgen_cls.datamodules.dataset import Batch, WindowDataset
from musicgen_cls.datamodules.division import Starts, check_counts
from musicgen_cls.datamodules.export import ExportedInput
from musicgen_cls.datamodules.front_end import MelFrontEnd, check_frames
from musicgen_cls.datamodules.kept import KeptRows
from musicgen_cls.errors import UsageError, check_positive
from musicgen_cls.sources.base import Side, Source


class MelSlices(AudioDataModule):
    """Log-mel spectrograms of windows of a source's tracks, computed on the device for each batch.

    Batches: `x` `[batch, n_mels, frames]`, in dB, each band standardised with mean and standard deviation of the
    training tracks (or natural logarithms, not standardised); `y`, `track`, `index` `[batch]` int64; `start_s`
    `[batch]` s. The number of frames is 1 + samples // hop_length: 2 s at 22050 Hz with hop_length 256 have 173.

    Further arguments are those of `AudioDataModule`, `GenreDataModule` and `TrackDataModule`.

    Args:
        source: the tracks: `Folder`, `GTZAN`, `FMA`, `HubDataset`, `Manifest`, `Shards` or `SyntheticGenres`.
            Not needed to predict files.
        seconds: length of a window, s.
        windows_per_track: maximum number of windows of a track, evenly spaced, without overlap.
        crops_per_track: train instead on this number of windows of each track in each epoch, at random positions.
        n_fft: samples in a frame.
        hop_length: samples from one frame to the next.
        n_mels: number of bands.
        logarithm: `decibel`, standardised; or `natural`, not standardised, with zeros replaced by 1e-6.
        sample_rate: sample rate, Hz; audio of other rates is resampled.
        span: use only this part of each track, from second to second, as [0.9, 5]; the whole track if not set.
        mask: a module `[batch, n_mels, frames]` -> the same shape, applied to training spectrograms on the device, such
            as `torchaudio.transforms.SpecAugment`.
    """

    INPUT_ARGUMENTS: ClassVar[tuple[str, ...]] = (
        *AudioDataModule.INPUT_ARGUMENTS,
        *("n_fft", "hop_length", "n_mels", "logarithm"),
    )

    NETWORK_SIZES = ("n_mels",)
    IN_DECIBELS = True

    front_end: MelFrontEnd

    def __init__(
        self,
        source: Source | None = None,
        seconds: float = 2.0,
        windows_per_track: int = 14,
        crops_per_track: int | None = None,
        n_fft: int = 512,
        hop_length: int = 256,
        n_mels: int = 64,
        logarithm: Logarithm = "decibel",
        sample_rate: int = 22050,
        span: tuple[float, float] | None = None,
        mask: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        check_positive("--data.", n_fft=n_fft, hop_length=hop_length, n_mels=n_mels)
        check_counts(windows_per_track, crops_per_track)
        if span is not None and not 0 <= span[0] <= span[1] - seconds:
            raise UsageError(f"--data.span {list(span)}: give two seconds, as [0.9, 5], at least {seconds:g} s apart")
        self.windows_per_track, self.crops_per_track, self.span = windows_per_track, crops_per_track, span
        self.n_fft, self.hop_length, self.n_mels = n_fft, hop_length, n_mels
        self.logarithm: Logarithm = logarithm
        self.mask = mask
        super().__init__(source=source, sample_rate=sample_rate, seconds=seconds, **kwargs)
        check_frames(n_fft, n_mels, self.window_samples)
        self.front_end = MelFrontEnd(sample_rate, n_fft, hop_length, n_mels, logarithm, self.augment, mask)
        self._kept: KeptRows | None = None

    def window_starts(self, length: int, side: Side | None) -> Starts:
        """The windows within `span`."""
        first, last = (0, length) if self.span is None else (to_samples(s, self.sample_rate) for s in self.span)
        starts, slack = super().window_starts(min(last, length) - first, side)
        return first + starts, slack

    def setup(self, stage: str) -> None:
        """Open the collection, divide the tracks, and place the windows; no spectrogram is kept yet."""
        super().setup(stage)
        self._kept = None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state that `state_dict` returned; spectrograms with other means and deviations are forgotten."""
        super().load_state_dict(state_dict)
        self._kept = None

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Turn windows into spectrograms; in a training on a CPU, those that are equal in all epochs only once."""
        rows = batch.pop("kept", None)
        if rows is None or rows.device.type != "cpu" or not self._repeats():
            return super().on_after_batch_transfer(batch, dataloader_idx)
        assert self.collection is not None
        assert self.trainer is not None
        if self._kept is None:
            windows = len(self.windows["train"]) + len(self.windows["validation"])
            self._kept = KeptRows(windows, self.collection.folder or Path(tempfile.gettempdir()))
        front_end = self._front_end_on("cpu").train(self.trainer.training)
        batch["x"] = front_end.masked(self._kept(rows, batch["x"], front_end.unmasked))
        return batch

    def _repeats(self) -> bool:
        """Whether the present windows come in each epoch of a training as they are now."""
        if self.trainer is None or self.trainer.state.fn != "fit":
            return False
        return not self.trainer.training or (self.augment is None and not self.windows["train"].slack.any())

    def _dataset(self, side: Side) -> WindowDataset:
        assert self.collection is not None
        first = {"train": 0, "validation": len(self.windows["train"])}.get(side)
        return WindowDataset(self.collection, self.windows[side], self.window_length, first)

    def mel_levels(self, x: Tensor) -> tuple[Tensor, npt.NDArray[np.float64]]:
        """The input of the network converted back to dB, and the centre of each band, Hz."""
        front_end = self._front_end_on(x.device)
        assert isinstance(front_end, MelFrontEnd)
        return front_end.to_db(x), front_end.transform.centres_hz

    def exported_input(self) -> ExportedInput:
        """A waveform, which is rounded to 16 bits and clipped, as in training."""
        names = ("n_fft", "hop_length", "n_mels", "logarithm")
        return self.waveform_input({name: getattr(self, name) for name in names})
