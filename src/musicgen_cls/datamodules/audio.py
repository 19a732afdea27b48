"""Base class of datamodules on decoded audio."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from musicgen_cls.audio.io import PCM_SCALE, Waveform, to_pcm
from musicgen_cls.audio.windows import to_samples
from musicgen_cls.collection.collection import Collection, Duplicates, collect
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.datamodules.dataset import rank_of
from musicgen_cls.datamodules.export import ExportedInput
from musicgen_cls.datamodules.front_end import check_window, full_scale
from musicgen_cls.datamodules.stream import FileWindows, versioned_files
from musicgen_cls.engines.local import Mapped, in_threads
from musicgen_cls.errors import check_positive, check_rate
from musicgen_cls.sources.base import Source
from musicgen_cls.synth.render import render
from musicgen_cls.synth.styles import GENRES


class AudioDataModule(GenreDataModule):
    """The tracks of a source, decoded and cut into windows of int16 samples. A subclass has a `front_end`.

    Further arguments are those of `GenreDataModule` and `TrackDataModule`.

    Args:
        source: the tracks: `Folder`, `GTZAN`, `FMA`, `HubDataset`, `Manifest`, `Shards` or `SyntheticGenres`.
            Not needed to predict files.
        sample_rate: sample rate, Hz; audio of other rates is resampled.
        seconds: length of a window, s.
        duplicates: if tracks are equal bit for bit, `drop` all but the first, or `keep` them on one side; `near` also
            keeps tracks on one side that sound the same, such as one recording in two formats (acoustic fingerprints).
        strict: stop at unusable files instead of leaving them out.
        augment: a module `[batch, samples]` -> `[batch, samples]`, applied to training waveforms on the device.
        cache_dir: folder for decoded audio; the user's cache folder if not set.
    """

    INPUT_ARGUMENTS: ClassVar[tuple[str, ...]] = ("sample_rate", "seconds")

    sample_rate: int

    cluster: Mapped | None = None
    """Where tracks are decoded and embedded, if not on this machine."""

    def __init__(
        self,
        source: Source | None = None,
        sample_rate: int = 22050,
        seconds: float = 2.0,
        duplicates: Duplicates = "drop",
        strict: bool = False,
        augment: nn.Module | None = None,
        cache_dir: str | None = None,
        **kwargs: Any,
    ) -> None:
        check_rate("--data.", sample_rate)
        check_positive("--data.", seconds=seconds)
        check_window(seconds, sample_rate)
        self.sample_rate, self.seconds = sample_rate, seconds
        self.duplicates: Duplicates = duplicates
        self.strict, self.augment, self.cache_dir = strict, augment, cache_dir
        super().__init__(source=source, **kwargs)

    @property
    def window_samples(self) -> int:
        """Length of a window, samples."""
        return to_samples(self.seconds, self.sample_rate)

    window_length = window_samples

    @property
    def window_seconds(self) -> float:
        """Length of a window, s; known without a collection."""
        return self.window_samples / self.sample_rate

    def first_seconds(self, row: int, seconds: float) -> Waveform:
        """The first seconds of a track of the collection, `[samples]`."""
        assert self.collection is not None
        return self.collection.waveform(row, to_samples(seconds, self.sample_rate))

    def blank_window(self) -> Tensor:
        """Silence, int16 `[1, samples]`."""
        return torch.zeros(1, self.window_length, dtype=torch.int16)

    def predict_dataloader(self) -> DataLoader[Any]:
        """Windows of the `files`, which do not need a source; they are read in constant memory."""
        rank, world = rank_of(self.trainer)
        files = versioned_files(self.files) if self.left_files is None else self.left_files
        return DataLoader(
            FileWindows(files[rank::world], self.sample_rate, self.window_samples, self.batch_size), batch_size=None
        )

    def read_tracks(self) -> Collection:
        """Decode the files of the source that are not in its store yet."""
        return self.collect_audio(self.seconds)

    def collect_audio(self, min_seconds: float) -> Collection:
        """The tracks of the source that have at least `min_seconds`, with their audio."""
        source = self._source()
        source.prepare()
        return collect(
            source,
            self.sample_rate,
            cache_dir=self.cache_dir,
            min_seconds=min_seconds,
            shorter=" or ".join(f"--data.{name}" for name in self.INPUT_ARGUMENTS if name.endswith("seconds")),
            duplicates=self.duplicates,
            strict=self.strict,
            mapped=self.cluster or in_threads,
        )

    def waveform_input(self, facts: dict[str, Any]) -> ExportedInput:
        """A waveform as the input of an exported file; it is rounded to 16 bits and clipped, as in training.

        Args:
            facts: what else users need to know.
        """
        return ExportedInput(
            name="waveform",
            facts={
                "input": "waveform: float32 [batch, window_samples], one channel, full scale 1, at sample_rate Hz",
                "sample_rate": self.sample_rate,
                "seconds": self.window_seconds,
                "window_samples": self.window_samples,
                **facts,
            },
            to_items=lambda x: (x * PCM_SCALE).round().clamp(-PCM_SCALE, PCM_SCALE - 1),
            from_items=full_scale,
            trials=self._trials,
        )

    def _trials(self) -> Tensor:
        """Music of ten genres; noise that is normal, clipped, quiet and near the 16-bit step; silence; half silence."""
        length, rate = self.window_samples, max(self.sample_rate, 4000)
        seconds = max(length / rate, 0.1)
        music = [np.resize(render(g, 0, seconds=seconds, sample_rate=rate), length) for g in GENRES]
        noise = np.random.default_rng(0).normal(0, 0.1, length)
        half = np.where(np.arange(length) < length // 2, noise, 0.0)
        unusual = [noise, 100 * noise, 1e-3 * noise, 10 / PCM_SCALE * noise, 0 * noise, half]
        return torch.from_numpy(to_pcm(np.stack([*music, *unusual]).astype(np.float32)))
