"""What datamodules over decoded audio share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from musicgen_cls.audio.io import PCM_SCALE, Waveform
from musicgen_cls.audio.windows import to_samples
from musicgen_cls.collection.collection import Collection, Duplicates, collect
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.datamodules.dataset import Batch, Windows
from musicgen_cls.datamodules.stream import FileWindows, version_of
from musicgen_cls.errors import UsageError, check_positive, check_rate
from musicgen_cls.sources import splits
from musicgen_cls.sources.base import Source
from musicgen_cls.sources.find import find_files


class AudioDataModule(GenreDataModule):
    """A source, decoded, split by tracks and cut into windows of int16 samples; subclasses say what networks are fed.

    The arguments are those of `MelSlices`. In training waveforms go through `augment` first.
    """

    INPUT_ARGUMENTS: ClassVar[tuple[str, ...]] = ("sample_rate", "seconds")

    sample_rate: int

    answered: frozenset[str] = frozenset()
    """Versions of the files that need no prediction, since a stopped run has made it."""

    def __init__(
        self,
        source: Source | None,
        sample_rate: int,
        seconds: float,
        split: splits.SplitName | str,
        fractions: Sequence[float],
        fold: str | None,
        split_seed: int,
        duplicates: Duplicates,
        strict: bool,
        augment: nn.Module | None,
        batch_size: int,
        num_workers: int,
        cache_dir: str | None,
        genres: Sequence[str] | None,
        files: Sequence[str] | str | None,
    ) -> None:
        check_rate("--data.", sample_rate)
        check_positive("--data.", seconds=seconds)
        if to_samples(seconds, sample_rate) < 1:
            raise UsageError(f"--data.seconds {seconds}: shorter than one sample at {sample_rate} Hz")
        self.sample_rate = sample_rate
        self.seconds = seconds
        self.duplicates: Duplicates = duplicates
        self.strict = strict
        self.augment = augment
        self.cache_dir = cache_dir
        super().__init__(source, split, fractions, fold, split_seed, batch_size, num_workers, genres, files)

    @property
    def window_samples(self) -> int:
        """Length of a window, samples."""
        return to_samples(self.seconds, self.sample_rate)

    window_length = window_samples

    def beginning(self, row: int, seconds: float) -> Waveform:
        """The first seconds of a track of the collection, `[samples]`."""
        assert self.collection is not None
        start, length = int(self.collection.offset[row]), int(self.collection.lengths[row])
        pcm = self.collection.items[start : start + min(length, to_samples(seconds, self.sample_rate))]
        return (pcm / PCM_SCALE).astype(np.float32)

    def sample_waveforms(self, windows: Windows, limit: int = 512) -> Tensor:
        """Up to `limit` windows, evenly taken, as waveforms `[windows, samples]`."""
        return self.sample_windows(windows, limit).float() / PCM_SCALE

    def predict_dataloader(self) -> DataLoader[Any]:
        """Windows of the `files`, streamed, none of which needs to belong to a source."""
        dataset = FileWindows(self.own_files(), self.sample_rate, self.window_samples, self.batch_size)
        return DataLoader(dataset, batch_size=None)

    def named_files(self) -> list[Path]:
        """The files to predict, in order."""
        if self.files is None:
            raise UsageError("predict needs files: name them, folders or patterns after --data.files")
        return find_files(self.files)

    def own_files(self) -> list[tuple[str, Path]]:
        """Those that this process is to read: version, which tells whether a file has changed, and path."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        named = ((version_of(path), path) for path in self.named_files())
        return [file for file in named if file[0] not in self.answered][rank::world]

    def silent_batch(self) -> Batch:
        """A batch of one silent window, as a task gets it, to try out sizes on."""
        silence = torch.zeros(1, self.window_samples, dtype=torch.int16)
        return self.on_after_batch_transfer({"x": silence, "y": torch.zeros(1, dtype=torch.int64)}, 0)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Int16 windows to network input, on the device; training windows are augmented on the way."""
        if "x" in batch:
            waveform = batch["x"].float() / PCM_SCALE
            if self.augment is not None and self.trains:
                waveform = self.augment.to(waveform.device)(waveform)
            batch["x"] = waveform
        return super().on_after_batch_transfer(batch, dataloader_idx)

    def _collect(self) -> Collection:
        self._source().prepare()
        return collect(
            self._source(),
            self.sample_rate,
            cache_dir=self.cache_dir,
            min_seconds=self.seconds,
            shorter=" or ".join(f"--data.{name}" for name in self.INPUT_ARGUMENTS if name.endswith("seconds")),
            duplicates=self.duplicates,
            strict=self.strict,
        )
