"""What leaves the project: front end, network and softmax as one module, and windows to try it on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import deepcopy
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from musicgen_cls.audio.features import COLUMNS, RATE
from musicgen_cls.audio.io import PCM_SCALE, to_pcm
from musicgen_cls.audio.mel import DirectLogMel, MelFrontEnd, Standardise
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.datamodules.feature_table import FeatureTable
from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.datamodules.spectrograms import Spectrograms
from musicgen_cls.errors import CheckpointError
from musicgen_cls.synth.render import render
from musicgen_cls.synth.styles import GENRES

_LONGEST = 4096  # samples of a frame whose sines and cosines are written out: 67 MB


class Exported(nn.Module, ABC):
    """A classifier from what is given to probabilities `[batch, genres]`; subclasses say what is given.

    Args:
        data: whose front end it takes, a copy.
        network: from network input to logits.
    """

    NAME: ClassVar[str]
    """Of what is given, for people and graphs."""

    front_end: nn.Module

    def __init__(self, data: GenreDataModule, network: nn.Module) -> None:
        super().__init__()
        self.front_end = deepcopy(data.front_end)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """What is given, float32 `[batch, ...]`, to probabilities `[batch, genres]`."""
        return functional.softmax(self.network(self.enter(x)).float(), dim=1)

    def without_fast_transform(self) -> None:
        """Do without what onnxruntime does not do well."""

    def enter(self, x: Tensor) -> Tensor:
        """What is given to what the network eats."""
        fed: Tensor = self.front_end(x)
        return fed

    @staticmethod
    @abstractmethod
    def facts(data: Any) -> dict[str, Any]:
        """What must be known to make what is given: shape without batch, and units, rates and lengths."""

    @staticmethod
    @abstractmethod
    def trials(data: Any) -> Tensor:
        """Windows to try it on, as they lie in a collection `[windows, length, ...]`; the odd ones among them."""

    @staticmethod
    @abstractmethod
    def given(data: Any, items: Tensor) -> Tensor:
        """Windows as they lie in a collection, as the exported file is given them."""


class FromWaveform(Exported):
    """A classifier of waveforms `[batch, samples]`, rounded to 16 bits and clipped as those it was trained on."""

    NAME = "waveform"

    front_end: MelFrontEnd

    def enter(self, x: Tensor) -> Tensor:
        """Waveforms, full scale 1, to what the network eats."""
        return super().enter((x * PCM_SCALE).round().clamp(-PCM_SCALE, PCM_SCALE - 1) / PCM_SCALE)

    def without_fast_transform(self) -> None:
        """Write out sines and cosines where frames are no power of 2; `CheckpointError` where they are too long."""
        old = self.front_end.log_mel
        if not old.n_fft & (old.n_fft - 1):
            return
        if old.n_fft > _LONGEST:
            raise CheckpointError(
                f"n_fft {old.n_fft}: onnxruntime is exact for powers of 2 and up to {_LONGEST} only; export it with "
                "--format torch_export"
            )
        settings = old.sample_rate, old.n_fft, old.hop_length, old.n_mels, old.top_db
        self.front_end.log_mel = DirectLogMel(*settings)

    @staticmethod
    def facts(data: MelSlices) -> dict[str, Any]:
        """Rate, length, and the mel spectrogram that is made inside."""
        return {
            "input": "waveform: float32 [batch, window_samples], one channel, full scale 1, at sample_rate Hz",
            "sample_rate": data.sample_rate,
            "seconds": data.seconds,
            "window_samples": data.window_samples,
            "n_fft": data.n_fft,
            "hop_length": data.hop_length,
            "n_mels": data.n_mels,
            "logarithm": data.logarithm,
        }

    @staticmethod
    def trials(data: MelSlices) -> Tensor:
        """Music of ten genres; noise, loud, clipped, quiet, and of single steps of 16 bits; silence, and half of it."""
        length, rate = data.window_samples, max(data.sample_rate, 4000)
        seconds = max(length / rate, 0.1)
        music = [np.resize(render(g, 0, seconds=seconds, sample_rate=rate), length) for g in GENRES]
        noise = np.random.default_rng(0).normal(0, 0.1, length)
        half = np.where(np.arange(length) < length // 2, noise, 0.0)
        odd = [noise, 100 * noise, 1e-3 * noise, 10 / PCM_SCALE * noise, 0 * noise, half]
        return torch.from_numpy(to_pcm(np.stack([*music, *odd]).astype(np.float32)))

    @staticmethod
    def given(data: MelSlices, items: Tensor) -> Tensor:
        """Int16 windows as waveforms."""
        return items.float() / PCM_SCALE


class FromFeatures(Exported):
    """A classifier of rows of features as they stand in a table, `[batch, 58]` or `[batch, rows, 58]`."""

    NAME = "features"

    def enter(self, x: Tensor) -> Tensor:
        """Rows to z-scores."""
        if x.ndim == 2:
            return cast(Tensor, self.front_end(x[:, :, None])[:, :, 0])
        return cast(Tensor, self.front_end(x.transpose(1, 2)).transpose(1, 2))

    @staticmethod
    def facts(data: FeatureTable) -> dict[str, Any]:
        """The columns."""
        shape = (
            f"[batch, {data.look_back}, columns], consecutive rows of a track" if data.look_back else "[batch, columns]"
        )
        return {
            "input": f"features: float32 {shape}, as in the table, not scaled",
            "look_back": data.look_back,
            "row_seconds": _row_seconds(data),
            "columns": list(COLUMNS),
        }

    @staticmethod
    def trials(data: FeatureTable) -> Tensor:
        """Rows as they may come, rows far off, and zeros."""
        return _spread_about(data.front_end, data.window_length, torch.zeros(1, data.window_length, len(COLUMNS)))

    @staticmethod
    def given(data: FeatureTable, items: Tensor) -> Tensor:
        """Windows of rows; without `look_back` the one row of each."""
        return items if data.look_back else items[:, 0]


def _row_seconds(data: FeatureTable) -> float:
    """How long the music of a row was in training, from its mean `length` in samples."""
    return round(float(data.front_end.mean.flatten()[COLUMNS.index("length")]) / RATE, 1)


class FromSpectrogram(Exported):
    """A classifier of spectrograms in dB, `[batch, n_mels, frames]`."""

    NAME = "spectrogram"

    @staticmethod
    def facts(data: Spectrograms) -> dict[str, Any]:
        """Bands, frames, decibels."""
        return {
            "input": "spectrogram: float32 [batch, n_mels, frames], dB, the lowest band first; of an 8-bit picture, "
            "whose top row is the highest band, value / 255 * range_db - range_db",
            "n_mels": data.n_mels,
            "frames": data.frames,
            "frame_seconds": data.frame_seconds,
            "range_db": data.range_db,
        }

    @staticmethod
    def trials(data: Spectrograms) -> Tensor:
        """Pictures as they may come, some far off, a black one and a white one."""
        black = torch.full((1, data.frames, data.n_mels), -data.range_db)
        return _spread_about(data.front_end, data.frames, torch.cat([black, torch.zeros_like(black)]))

    @staticmethod
    def given(data: Spectrograms, items: Tensor) -> Tensor:
        """Frames as pictures."""
        return items.transpose(1, 2)


def exported(data: GenreDataModule, network: nn.Module) -> Exported:
    """A network with the front end that feeds it."""
    if isinstance(data, MelSlices):
        return FromWaveform(data, network).eval()
    if isinstance(data, FeatureTable):
        return FromFeatures(data, network).eval()
    if isinstance(data, Spectrograms):
        return FromSpectrogram(data, network).eval()
    raise CheckpointError(f"{type(data).__name__}: what it feeds networks cannot be exported; train on MelSlices")


def _spread_about(front_end: Standardise, length: int, odd: Tensor) -> Tensor:
    """Windows of numbers spread like those trained on, and ten times as far, `[windows, length, bands]`, and `odd`."""
    spread = torch.where(front_end.std.isfinite(), front_end.std, 1.0).T
    drawn = torch.randn(8, length, spread.shape[1], generator=torch.Generator().manual_seed(0))
    drawn[6:] *= 10
    return torch.cat([front_end.mean.T + spread * drawn, odd])
