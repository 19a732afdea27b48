"""Ready spectrograms, for collections whose audio cannot be shared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from musicgen_cls.audio.mel import Standardise
from musicgen_cls.collection.collection import Collection, join
from musicgen_cls.datamodules.dataset import Batch
from musicgen_cls.datamodules.pictures import Pictures
from musicgen_cls.errors import AudioError, SourceError, check_positive
from musicgen_cls.sources.base import Problem, Source
from musicgen_cls.sources.splits import SplitName

SUFFIXES = (".npy", ".png")


class Spectrograms(Pictures):
    """Windows of spectrograms that lie in a folder a genre, one file a track.

    A file is an 8-bit grey PNG, its top row the highest band, or an array `[n_mels, frames]` in dB (`.npy`), its first
    row the lowest. Batches: `x` `[batch, n_mels, frames]`, standardised band by band with the training tracks' mean and
    spread; `y`, `track`, `index` `[batch]` int64; `start_s` `[batch]` s.

    Args:
        source: `Folder` or `GTZAN`, whose `root` holds pictures or arrays in place of audio.
        frames: length of a window.
        n_mels: bands; a file with another number is left out.
        range_db: from black to white in a picture, dB.
        frame_seconds: from frame to frame, s.
        windows_per_track: at most so many windows a track, evenly spaced, none overlapping.
        crops_per_track: train on so many windows a track and epoch, each at a random place, instead.
        split: `track`, `artist`, `official` (FMA), `fault_filtered` or `fault_filtered_dev` (GTZAN), `segment` (leaks),
            `external`; or a table of your own, a CSV file with the columns `file` or `id`, and `subset` (train,
            validation, test), whose leaks the report names.
        fractions: shares of training, validation and test tracks, for `track`, `artist` and `segment`.
        fold: "i of n" instead of fractions: part i tests, the next validates, the others train.
        split_seed: which division of the many with these shares.
        strict: stop at unusable files instead of going on without them.
        mask: a module `[batch, n_mels, frames]` -> the same, applied to training pictures on the device, as
            `torchaudio.transforms.SpecAugment`.
        batch_size: windows in a batch.
        num_workers: loader processes; none is fastest here, since all is in memory.
        genres: names of the classes in label order; those of the source if not set.
        files: not read; predict takes audio.
    """

    INPUT_ARGUMENTS: ClassVar[tuple[str, ...]] = ("frames", "n_mels", "range_db", "frame_seconds")

    def __init__(
        self,
        source: Source | None = None,
        frames: int = 128,
        n_mels: int = 128,
        range_db: float = 80.0,
        frame_seconds: float = 512 / 22050,
        windows_per_track: int = 14,
        crops_per_track: int | None = None,
        split: SplitName | str = "track",
        fractions: Sequence[float] = (0.7, 0.15, 0.15),
        fold: str | None = None,
        split_seed: int = 0,
        strict: bool = False,
        mask: nn.Module | None = None,
        batch_size: int = 64,
        num_workers: int = 0,
        genres: list[str] | None = None,
        files: list[str] | str | None = None,
    ) -> None:
        check_positive("--data.", frames=frames, n_mels=n_mels, range_db=range_db, frame_seconds=frame_seconds)
        self._keep_windows(windows_per_track, crops_per_track, mask)
        self.frames = frames
        self.n_mels = n_mels
        self.range_db = range_db
        self.frame_seconds = frame_seconds
        self.strict = strict
        source = None if source is None else source.holding(SUFFIXES)
        super().__init__(source, split, fractions, fold, split_seed, batch_size, num_workers, genres, files)
        self.front_end: Standardise = Standardise(n_mels)

    @property
    def window_length(self) -> int:
        """Length of a window, frames."""
        return self.frames

    def fit_front_end(self) -> None:
        """Mean and spread of each band over training windows."""
        self.front_end.fit(self.decibels(self.sample_windows(self.windows["train"])))

    def silent_batch(self) -> Batch:
        """A batch of one black window."""
        black = torch.zeros(1, self.frames, self.n_mels)
        return self.on_after_batch_transfer({"x": black, "y": torch.zeros(1, dtype=torch.int64)}, 0)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Frames to pictures; in training with parts of them masked."""
        batch["x"] = self.decibels(batch["x"])
        return super().on_after_batch_transfer(batch, dataloader_idx)

    def decibels(self, items: Tensor) -> Tensor:
        """Frames `[batch, frames, n_mels]`, 8-bit or in dB, to pictures in dB `[batch, n_mels, frames]`."""
        decibels = items.float() / 255 * self.range_db - self.range_db if items.dtype == torch.uint8 else items
        return decibels.transpose(1, 2)

    def _collect(self) -> Collection:
        tracks, frames = [], []
        problems = self._source().problems()
        by_name = len(problems)
        for track in self._source().tracks():
            try:
                own = self._read(track.path)
            except AudioError as error:
                problems.append(Problem(track.path, str(error)))
            else:
                tracks.append(track)
                frames.append(own)
        if problems[by_name:] and (self.strict or not tracks):
            ways = "--data.strict false goes on without it" if tracks else f"none of {len(problems)} files can be used"
            raise SourceError(f"{problems[by_name]}; {ways}")
        if len({own.dtype for own in frames}) > 1:
            raise SourceError(f"{self.location}: pictures and arrays together may not mean the same dB; keep one kind")
        return join(tracks, problems, frames, 1 / self.frame_seconds, by_name=self._source().names_tell_parts)

    def _read(self, path: Path) -> npt.NDArray[Any]:
        """A file as `[frames, n_mels]`, 8-bit or float32 dB; raises AudioError for what is no spectrogram."""
        bands = _picture(path) if path.suffix.lower() == ".png" else _array(path)
        if bands.shape[0] != self.n_mels:
            raise AudioError(f"{bands.shape[0]} bands, but --data.n_mels is {self.n_mels}")
        if bands.shape[1] < self.frames:
            raise AudioError(f"{bands.shape[1]} frames, shorter than --data.frames {self.frames}")
        return np.ascontiguousarray(bands.T)


def _picture(path: Path) -> npt.NDArray[np.uint8]:
    """The bands of a grey picture, the lowest first, 8-bit `[n_mels, frames]`."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            mode, pixels = image.mode, np.asarray(image)
    except Image.DecompressionBombError as error:
        raise AudioError("a picture of too many pixels for a spectrogram") from error
    except Exception as error:  # of whatever kind it happens to fail with on a damaged file
        raise AudioError("not a picture that can be read") from error
    if mode != "L":
        raise AudioError(f"a picture of mode {mode}, not 8-bit grey")
    return pixels[::-1]


def _array(path: Path) -> npt.NDArray[np.float32]:
    """Bands in dB, float32 `[n_mels, frames]`."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")  # a header that claims too much costs no memory
    except Exception as error:  # of whatever kind it happens to fail with on a damaged file
        raise AudioError("not an array that can be read") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise AudioError(f"an array of {array.dtype} of shape {list(array.shape)}, not of decibels [n_mels, frames]")
    with np.errstate(over="ignore"):  # what is too large for 32 bits is infinite there
        decibels: npt.NDArray[np.float32] = np.array(array, dtype=np.float32)
    if not np.isfinite(decibels).all():
        raise AudioError("holds values that are not finite")
    return decibels
