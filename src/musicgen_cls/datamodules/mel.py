"""Log-mel pictures of windows of tracks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from musicgen_cls.audio.io import PCM_SCALE
from musicgen_cls.audio.mel import Logarithm, MelFrontEnd
from musicgen_cls.audio.windows import to_samples
from musicgen_cls.collection.collection import Duplicates
from musicgen_cls.datamodules.audio import AudioDataModule
from musicgen_cls.datamodules.pictures import Pictures
from musicgen_cls.errors import UsageError, check_positive
from musicgen_cls.sources.base import Side, Source
from musicgen_cls.sources.splits import SplitName


class MelSlices(Pictures, AudioDataModule):
    """Log-mel pictures of windows of a source's tracks, made on the device as they are needed.

    Batches: `x` `[batch, n_mels, frames]`, dB standardised band by band with the training tracks' mean and spread (or
    natural logarithms as they are); `y`, `track`, `index` `[batch]` int64; `start_s` `[batch]` s. Frames are
    1 + samples // hop_length: 2 s at 22050 Hz with hop 256 give 173.

    Args:
        source: the tracks: `Folder`, `GTZAN` or `SyntheticGenres`. Not needed to predict files.
        seconds: length of a window, s.
        windows_per_track: at most so many windows a track, evenly spaced, none overlapping.
        crops_per_track: train on so many windows a track and epoch, each at a random place, instead.
        n_fft: samples in a frame.
        hop_length: samples from frame to frame.
        n_mels: bands.
        logarithm: `decibel`, standardised; or `natural`, as it is, with zeros as 1e-6.
        sample_rate: Hz; other rates are resampled.
        span: of each track only the stretch from this second to that one, as [0.9, 5]; all of it if not set.
        split: `track`, `artist`, `official` (FMA), `fault_filtered` or `fault_filtered_dev` (GTZAN), `segment` (leaks),
            `external`; or a table of your own, a CSV file with the columns `file` or `id`, and `subset` (train,
            validation, test), whose leaks the report names.
        fractions: shares of training, validation and test tracks, for `track`, `artist` and `segment`.
        fold: "i of n" instead of fractions: part i tests, the next validates, the others train.
        split_seed: which division of the many with these shares.
        duplicates: of tracks equal bit for bit `drop` all but the first, or `keep` them on one side; `near` keeps those
            on one side too that sound the same, as a recording in another format (acoustic fingerprints).
        strict: stop at unusable files instead of going on without them.
        augment: a module `[batch, samples]` -> `[batch, samples]`, applied to training waveforms on the device.
        mask: a module `[batch, n_mels, frames]` -> the same, applied to training pictures on the device, as
            `torchaudio.transforms.SpecAugment`.
        batch_size: windows in a batch.
        num_workers: loader processes; none is fastest here, since a batch is a few slices of a memory map.
        cache_dir: where decoded audio is kept; the user's cache folder if not set.
        genres: names of the classes in label order; those of the source if not set.
        files: what to predict: files, folders, patterns.
    """

    INPUT_ARGUMENTS: ClassVar[tuple[str, ...]] = (
        *AudioDataModule.INPUT_ARGUMENTS,
        "n_fft",
        "hop_length",
        "n_mels",
        "logarithm",
    )

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
        split: SplitName | str = "track",
        fractions: Sequence[float] = (0.7, 0.15, 0.15),
        fold: str | None = None,
        split_seed: int = 0,
        duplicates: Duplicates = "drop",
        strict: bool = False,
        augment: nn.Module | None = None,
        mask: nn.Module | None = None,
        batch_size: int = 64,
        num_workers: int = 0,
        cache_dir: str | None = None,
        genres: list[str] | None = None,
        files: list[str] | str | None = None,
    ) -> None:
        check_positive("--data.", n_fft=n_fft, hop_length=hop_length, n_mels=n_mels)
        self._keep_windows(windows_per_track, crops_per_track, mask)
        if span is not None and not 0 <= span[0] <= span[1] - seconds:
            raise UsageError(f"--data.span {list(span)}: give two seconds, as [0.9, 5], at least {seconds:g} s apart")
        self.span = span
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.n_mels = n_mels
        self.logarithm: Logarithm = logarithm
        super().__init__(
            source=source,
            sample_rate=sample_rate,
            seconds=seconds,
            split=split,
            fractions=fractions,
            fold=fold,
            split_seed=split_seed,
            duplicates=duplicates,
            strict=strict,
            augment=augment,
            batch_size=batch_size,
            num_workers=num_workers,
            cache_dir=cache_dir,
            genres=genres,
            files=files,
        )
        if not 2 * n_mels <= n_fft <= self.window_samples:
            raise UsageError(
                f"--data.n_fft {n_fft}: must be {2 * n_mels} or more, twice --data.n_mels, and at most "
                f"{self.window_samples}, the samples of --data.seconds"
            )
        self.front_end: MelFrontEnd = MelFrontEnd(sample_rate, n_fft, hop_length, n_mels, logarithm)

    def places(self, length: int, side: Side | None) -> tuple[npt.NDArray[np.int64], int]:
        """As of all pictures, within `span`."""
        first, last = (0, length) if self.span is None else (to_samples(s, self.sample_rate) for s in self.span)
        starts, room = super().places(min(last, length) - first, side)
        return first + starts, room

    def decibels(self, items: Tensor) -> Tensor:
        """Windows, int16 `[windows, samples]`, as log-mel pictures `[windows, n_mels, frames]`."""
        log_mel: Tensor = self.front_end.log_mel(items.float() / PCM_SCALE)
        return log_mel

    def fit_front_end(self) -> None:
        """Mean and spread of each band over training windows."""
        self.front_end.fit(self.sample_waveforms(self.windows["train"]))
