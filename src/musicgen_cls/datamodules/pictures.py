"""What datamodules share that feed networks pictures of bands over time."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from musicgen_cls.audio.mel import Standardise
from musicgen_cls.audio.windows import spaced_starts
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.datamodules.dataset import Batch
from musicgen_cls.errors import check_not_negative, check_positive
from musicgen_cls.sources.base import Side

MASK_SIZES = ("n_time_masks", "time_mask_param", "n_freq_masks", "freq_mask_param", "mask_param")
"""Of torchaudio's masks, which take less than 0 for 0 without a word."""


class Pictures(GenreDataModule):
    """Windows evenly spaced, or random crops in training; pictures standardised, and masked in training."""

    windows_per_track: int
    crops_per_track: int | None
    mask: nn.Module | None
    front_end: Standardise

    @abstractmethod
    def decibels(self, items: Tensor) -> Tensor:
        """Windows as they lie in the collection, as pictures in dB `[windows, n_mels, frames]`."""

    def places(self, length: int, side: Side | None) -> tuple[npt.NDArray[np.int64], int]:
        """Evenly spaced windows; for training, if asked for, crops that may start anywhere."""
        if length < self.window_length:
            return np.zeros(0, dtype=np.int64), 0
        if side == "train" and self.crops_per_track is not None:
            return np.zeros(self.crops_per_track, dtype=np.int64), length - self.window_length
        return spaced_starts(length, self.window_length, self.windows_per_track), 0

    def level_offset(self) -> float | None:
        """How much louder the test windows are than the training windows were, dB, averaged over bands."""
        front_end = self.front_end.cpu()
        return float((self.decibels(self.sample_windows(self.windows["test"], limit=64)) - front_end.mean).mean())

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Windows to pictures, on the device; in training with parts of them masked."""
        batch = super().on_after_batch_transfer(batch, dataloader_idx)
        if self.mask is not None and self.trains:
            batch["x"] = self.mask(batch["x"])
        return batch

    def _keep_windows(self, windows_per_track: int, crops_per_track: int | None, mask: nn.Module | None) -> None:
        """Check and keep the arguments of this class."""
        check_positive("--data.", windows_per_track=windows_per_track)
        check_positive("--data.", crops_per_track=1 if crops_per_track is None else crops_per_track)
        check_not_negative("--data.mask.", **{name: getattr(mask, name) for name in MASK_SIZES if hasattr(mask, name)})
        self.windows_per_track, self.crops_per_track, self.mask = windows_per_track, crops_per_track, mask
