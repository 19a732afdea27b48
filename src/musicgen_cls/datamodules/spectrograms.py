"""Precomputed spectrograms, for collections whose audio cannot be shared."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from musicgen_cls.audio.mel import Standardise
from musicgen_cls.collection.collection import Collection, join
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.datamodules.division import check_counts
from musicgen_cls.datamodules.export import ExportedInput, spread_windows
from musicgen_cls.datamodules.front_end import FrontEnd
from musicgen_cls.errors import AudioError, SourceError, check_positive
from musicgen_cls.sources.base import Problem, Source

SUFFIXES = (".npy", ".png")


class Spectrograms(GenreDataModule):
    """Windows of precomputed spectrograms: one folder for each genre, one file for each track.

    A file is an 8-bit grey PNG, whose top row is the highest band, or an array `[n_mels, frames]` in dB (`.npy`), whose
    first row is the lowest band. Batches: `x` `[batch, n_mels, frames]`, each band standardised with mean and standard
    deviation of the training tracks; `y`, `track`, `index` `[batch]` int64; `start_s` `[batch]` s.

    Further arguments are those of `GenreDataModule` and `TrackDataModule`.

    Args:
        source: `Folder` or `GTZAN`, whose `root` holds PNG files or arrays in place of audio.
        frames: length of a window, frames.
        n_mels: number of bands; files with another number are left out.
        range_db: difference between black and white in a PNG, dB.
        frame_seconds: time from one frame to the next, s.
        windows_per_track: maximum number of windows of a track, evenly spaced, without overlap.
        crops_per_track: train instead on this number of windows of each track in each epoch, at random positions.
        strict: stop at unusable files instead of leaving them out.
        mask: a module `[batch, n_mels, frames]` -> the same shape, applied to training spectrograms on the device, such
            as `torchaudio.transforms.SpecAugment`.
    """

    INPUT_ARGUMENTS: ClassVar[tuple[str, ...]] = ("frames", "n_mels", "range_db", "frame_seconds")
    NETWORK_SIZES = ("n_mels",)
    IN_DECIBELS = True

    def __init__(
        self,
        source: Source | None = None,
        frames: int = 128,
        n_mels: int = 128,
        range_db: float = 80.0,
        frame_seconds: float = 512 / 22050,
        windows_per_track: int = 14,
        crops_per_track: int | None = None,
        strict: bool = False,
        mask: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        check_positive("--data.", frames=frames, n_mels=n_mels, range_db=range_db, frame_seconds=frame_seconds)
        check_counts(windows_per_track, crops_per_track)
        self.frames, self.n_mels = frames, n_mels
        self.range_db, self.frame_seconds = range_db, frame_seconds
        self.windows_per_track, self.crops_per_track = windows_per_track, crops_per_track
        self.strict, self.mask = strict, mask
        super().__init__(source=None if source is None else source.with_suffixes(SUFFIXES), **kwargs)
        self.front_end = FrontEnd(partial(_decibels, range_db=range_db), None, Standardise(n_mels), mask=mask)

    @property
    def window_length(self) -> int:
        """Length of a window, frames."""
        return self.frames

    def blank_window(self) -> Tensor:
        """Levels of 0 dB, `[1, frames, n_mels]`."""
        return torch.zeros(1, self.frames, self.n_mels)

    def exported_input(self) -> ExportedInput:
        """A spectrogram in dB."""
        names = ("n_mels", "frames", "frame_seconds", "range_db")
        black = torch.full((1, self.frames, self.n_mels), -self.range_db)
        unusual = torch.cat([black, torch.zeros_like(black)])
        return ExportedInput(
            name="spectrogram",
            facts={
                "input": "spectrogram: float32 [batch, n_mels, frames], dB, the lowest band first; from an 8-bit PNG, "
                "whose top row is the highest band: value / 255 * range_db - range_db",
                **{name: getattr(self, name) for name in names},
            },
            to_items=lambda x: x.transpose(1, 2),
            from_items=lambda items: items.transpose(1, 2),
            trials=lambda: spread_windows(self.front_end, self.frames, unusual),
        )

    def read_tracks(self) -> Collection:
        """The spectrograms, read into memory."""
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
            more = "--data.strict false leaves it out" if tracks else f"none of {len(problems)} files can be used"
            raise SourceError(f"{problems[by_name]}; {more}")
        if len({own.dtype for own in frames}) > 1:
            raise SourceError(f"{self.location}: has images and arrays, whose dB can differ; keep one kind")
        return join(tracks, problems, frames, 1 / self.frame_seconds, by_name=self._source().parts_by_name)

    def _read(self, path: Path) -> npt.NDArray[Any]:
        """A file as `[frames, n_mels]`, 8-bit or float32 dB; raises `AudioError` if it is not a spectrogram."""
        bands = _read_png(path) if path.suffix.lower() == ".png" else _read_array(path)
        if bands.shape[0] != self.n_mels:
            raise AudioError(f"{bands.shape[0]} bands, but --data.n_mels is {self.n_mels}")
        if bands.shape[1] < self.frames:
            raise AudioError(f"{bands.shape[1]} frames, but --data.frames is {self.frames}")
        return np.ascontiguousarray(bands.T)


def _decibels(items: Tensor, range_db: float) -> Tensor:
    """Frames `[batch, frames, n_mels]`, 8-bit or in dB, to bands in dB `[batch, n_mels, frames]`."""
    decibels = items.float() / 255 * range_db - range_db if items.dtype == torch.uint8 else items
    return decibels.transpose(1, 2)


def _read_png(path: Path) -> npt.NDArray[np.uint8]:
    """The bands of a grey PNG, the lowest first, 8-bit `[n_mels, frames]`."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            mode, pixels = image.mode, np.asarray(image)
    except Image.DecompressionBombError as error:
        raise AudioError("an image with too many pixels for a spectrogram") from error
    except Exception as error:  # a damaged file can raise any kind of error
        raise AudioError("not a readable image") from error
    if mode != "L":
        raise AudioError(f"an image of mode {mode}, not 8-bit grey")
    return pixels[::-1]


def _read_array(path: Path) -> npt.NDArray[np.float32]:
    """Bands in dB, float32 `[n_mels, frames]`."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")  # a damaged header with a huge shape needs no memory
    except Exception as error:  # a damaged file can raise any kind of error
        raise AudioError("not a readable array") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise AudioError(f"an array of {array.dtype} with shape {list(array.shape)}, not of dB [n_mels, frames]")
    with np.errstate(over="ignore"):  # values too large for 32 bits become infinite
        decibels: npt.NDArray[np.float32] = np.array(array, dtype=np.float32)
    if not np.isfinite(decibels).all():
        raise AudioError("has values that are not finite")
    return decibels
