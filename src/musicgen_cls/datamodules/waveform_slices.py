"""Waveforms of windows of tracks, for classifiers."""

from __future__ import annotations

from typing import Any

from musicgen_cls.datamodules.audio import AudioDataModule
from musicgen_cls.datamodules.export import ExportedInput
from musicgen_cls.datamodules.front_end import FrontEnd, full_scale
from musicgen_cls.errors import check_positive
from musicgen_cls.sources.base import Source


class WaveformSlices(AudioDataModule):
    """Waveforms of windows of a source's tracks, for networks that compute their own spectrograms.

    Batches: `x` float32 `[batch, samples]`, full scale 1; `y`, `track`, `index` `[batch]` int64; `start_s` `[batch]` s.

    Further arguments are those of `AudioDataModule`, `GenreDataModule` and `TrackDataModule`.

    Args:
        source: the tracks: `Folder`, `GTZAN`, `FMA`, `HubDataset`, `Manifest`, `Shards` or `SyntheticGenres`.
            Not needed to predict files.
        seconds: length of a window, s.
        windows_per_track: maximum number of windows of a track, evenly spaced, without overlap; all if not set.
        crops_per_track: train instead on this number of windows of each track in each epoch, at random positions.
        sample_rate: sample rate, Hz, that of the network; audio of other rates is resampled.
        batch_size: windows in a batch.
    """

    def __init__(
        self,
        source: Source | None = None,
        seconds: float = 3.0,
        windows_per_track: int | None = None,
        crops_per_track: int | None = None,
        sample_rate: int = 16000,
        batch_size: int = 32,
        **kwargs: Any,
    ) -> None:
        for name, count in (("windows_per_track", windows_per_track), ("crops_per_track", crops_per_track)):
            check_positive("--data.", **{name: 1 if count is None else count})
        self.windows_per_track, self.crops_per_track = windows_per_track, crops_per_track
        super().__init__(source=source, sample_rate=sample_rate, seconds=seconds, batch_size=batch_size, **kwargs)
        self.front_end = FrontEnd(full_scale, augment=self.augment)

    def exported_input(self) -> ExportedInput:
        """A waveform, which is rounded to 16 bits and clipped, as in training."""
        return self.waveform_input({})
