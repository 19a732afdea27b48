"""The front end: a module that turns windows into the input of a network, in five steps, on the device of the batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Self

import torch
from torch import Tensor, nn

from musicgen_cls.audio.io import PCM_SCALE
from musicgen_cls.audio.mel import Logarithm, LogMel, Standardise
from musicgen_cls.audio.windows import to_samples
from musicgen_cls.errors import UsageError, check_not_negative

MASK_SIZES = ("n_time_masks", "time_mask_param", "n_freq_masks", "freq_mask_param", "mask_param")
"""Sizes of torchaudio's masks, which treat negative values as 0 without an error."""

Step = Callable[[Tensor], Tensor]


class FrontEnd(nn.Module):
    """Turns windows of a collection into the input of a network: scale, augment, transform, standardise, mask.

    `train()` turns on the two random steps, augment and mask; `eval()` turns them off. None stands for no step.

    Args:
        scale: stored numbers `[batch, length, ...]` to floats, such as int16 samples to waveforms with full scale 1.
        transform: floats to bands over time `[batch, bands, frames]`, such as waveforms to mel spectrograms in dB.
        standardise: a module whose `fit` computes mean and standard deviation of training windows. Its state is in
            checkpoints.
        augment: a module that changes scaled training windows and keeps their shape.
        mask: a module that masks parts of training windows in the last step and keeps their shape.
    """

    def __init__(
        self,
        scale: Step | None = None,
        transform: Step | None = None,
        standardise: Standardise | None = None,
        augment: nn.Module | None = None,
        mask: nn.Module | None = None,
    ) -> None:
        super().__init__()
        check_not_negative("--data.mask.", **{name: getattr(mask, name) for name in MASK_SIZES if hasattr(mask, name)})
        self.scale: Step = unchanged if scale is None else scale
        self.augment: Step = unchanged if augment is None else augment
        self.transform: Step = unchanged if transform is None else transform
        self.standardise = nn.Identity() if standardise is None else standardise
        self.mask: Step = unchanged if mask is None else mask

    def forward(self, items: Tensor) -> Tensor:
        """The input of the network from stored windows `[batch, length, ...]`."""
        return self.masked(self.unmasked(items))

    def unmasked(self, items: Tensor) -> Tensor:
        """All steps but the last."""
        x = self.scale(items)
        if self.training:
            x = self.augment(x)
        return self.represent(x)

    def masked(self, x: Tensor) -> Tensor:
        """The last step."""
        return self.mask(x) if self.training else x

    def represent(self, x: Tensor) -> Tensor:
        """Transform and standardise: scaled windows to standardised bands."""
        standardised: Tensor = self.standardise(self.transform(x))
        return standardised

    def measure(self, items: Tensor) -> Tensor:
        """Bands of stored windows before they are standardised, `[batch, bands, frames]`."""
        return self.transform(self.scale(items))

    @property
    def learns(self) -> bool:
        """Whether there is a mean and a standard deviation to fit."""
        return isinstance(self.standardise, Standardise)

    @torch.no_grad()
    def fit(self, items: Tensor) -> None:
        """Fit mean and standard deviation of each band on stored training windows `[windows, length, ...]`."""
        assert isinstance(self.standardise, Standardise)
        self.standardise.fit(torch.cat([self.measure(chunk) for chunk in torch.split(items, 64)]))

    def level_offset(self, items: Tensor) -> float:
        """Mean level of stored windows relative to the training windows, in units of the bands."""
        assert isinstance(self.standardise, Standardise)
        return float((self.cpu().measure(items) - self.standardise.mean).mean())

    def fixed(self) -> Self:
        """A copy without the random steps, in evaluation mode."""
        return deepcopy(self, {id(step): nn.Identity() for step in (self.augment, self.mask)}).eval()


class MelFrontEnd(FrontEnd):
    """Int16 waveforms to log-mel spectrograms; each band is standardised with its statistics of the training tracks.

    Args:
        sample_rate: sample rate, Hz.
        n_fft: samples in a frame.
        hop_length: samples from one frame to the next.
        n_mels: number of bands.
        logarithm: `decibel`, standardised; or `natural`, the natural logarithm of the power with zeros replaced by
            1e-6, not standardised, as in Titus, "Neural networks for music genre recognition".
        augment: a module `[batch, samples]` -> `[batch, samples]` for training.
        mask: a module `[batch, n_mels, frames]` -> the same shape, for training.
    """

    transform: LogMel
    standardise: Standardise

    def __init__(
        self,
        sample_rate: int,
        n_fft: int,
        hop_length: int,
        n_mels: int,
        logarithm: Logarithm = "decibel",
        augment: nn.Module | None = None,
        mask: nn.Module | None = None,
    ) -> None:
        mel = LogMel(sample_rate, n_fft, hop_length, n_mels)
        super().__init__(full_scale, mel, Standardise(n_mels), augment, mask)
        self.logarithm = logarithm

    def represent(self, x: Tensor) -> Tensor:
        """Waveforms `[batch, samples]` to bands `[batch, n_mels, frames]`; natural logarithms are not standardised."""
        if self.logarithm == "natural":
            power = self.transform.power(x)
            return torch.where(power > 0, power, 1e-6).log()
        return super().represent(x)

    def to_db(self, x: Tensor) -> Tensor:
        """The input of the network `[batch, n_mels, frames]` converted back to dB."""
        if self.logarithm == "natural":
            return x * (10.0 / math.log(10.0))
        return x * self.standardise.std + self.standardise.mean


class RowFrontEnd(FrontEnd):
    """Rows `[batch, rows, columns]` to z-scores with mean and standard deviation of the training rows.

    Args:
        columns: numbers in a row.
        single: return `[batch, columns]`, the only row of each window, instead of `[batch, rows, columns]`.
    """

    standardise: Standardise

    def __init__(self, columns: int, single: bool = False) -> None:
        super().__init__(None, partial(torch.transpose, dim0=1, dim1=2), Standardise(columns, min_std=0.0))
        self.single = single

    def represent(self, x: Tensor) -> Tensor:
        """Transform and standardise; the last axis is the columns."""
        z_scores = super().represent(x).transpose(1, 2)
        return z_scores[:, 0] if self.single else z_scores


def check_window(seconds: float, sample_rate: int) -> int:
    """The length of a window, samples; raises `UsageError` if it is shorter than one sample."""
    if (samples := to_samples(seconds, sample_rate)) < 1:
        raise UsageError(f"--data.seconds {seconds}: shorter than one sample at {sample_rate} Hz; raise it")
    return samples


def check_frames(n_fft: int, n_mels: int, samples: int) -> None:
    """Raise `UsageError` unless a frame is long enough for the bands, and fits into a window of `samples`."""
    if not 2 * n_mels <= n_fft <= samples:
        raise UsageError(
            f"--data.n_fft {n_fft}: must be {2 * n_mels} or more, twice --data.n_mels, and at most {samples}, the "
            "samples of --data.seconds"
        )


def unchanged(x: Tensor) -> Tensor:
    """A step that does nothing."""
    return x


def full_scale(items: Tensor) -> Tensor:
    """Int16 samples to float32 waveforms with full scale 1."""
    return items.float() / PCM_SCALE
