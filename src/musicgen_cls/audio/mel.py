"""Log-mel spectrograms, on the device of the waveform."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from musicgen_cls.audio.spectra import mel_centres_hz


class LogMel(nn.Module):
    """Waveforms to mel spectrograms in dB, equal to librosa's.

    `librosa.power_to_db(librosa.feature.melspectrogram(y=..., pad_mode="constant"), top_db=top_db)`: Hann window,
    centred frames, power spectrum, Slaney's mel scale and area normalisation. The level is absolute: 0 dB is a power
    of 1, so that louder music adds a constant.

    Args:
        sample_rate: Hz.
        n_fft: samples in a frame.
        hop_length: samples from frame to frame.
        n_mels: bands.
        top_db: lowest level of each spectrogram, dB below its own maximum.
    """

    bands: Tensor
    window: Tensor

    def __init__(self, sample_rate: int, n_fft: int, hop_length: int, n_mels: int, top_db: float = 80.0) -> None:
        super().__init__()
        from torchaudio.functional import melscale_fbanks

        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.n_mels = n_mels
        self.top_db = top_db
        bands = melscale_fbanks(n_fft // 2 + 1, 0.0, sample_rate / 2, n_mels, sample_rate, "slaney", "slaney")
        self.register_buffer("bands", bands.T.contiguous(), persistent=False)  # [n_mels, n_fft // 2 + 1]
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    @property
    def centres_hz(self) -> npt.NDArray[np.float64]:
        """Centre frequency of each band, Hz, `[n_mels]`."""
        return mel_centres_hz(self.sample_rate, self.n_mels)

    def power(self, waveform: Tensor) -> Tensor:
        """Waveform `[batch, samples]` to power in each band, `[batch, n_mels, 1 + samples // hop_length]`, float32."""
        spectrum = torch.stft(
            waveform.float(), self.n_fft, self.hop_length, window=self.window, pad_mode="constant", return_complex=True
        )
        parts = torch.view_as_real(spectrum)
        # abs() would take a square root: without it the front end takes half the time on a CPU.
        power = torch.addcmul(parts[..., 0].square(), parts[..., 1], parts[..., 1])
        return self.bands @ power

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform `[batch, samples]` to dB, `[batch, n_mels, 1 + samples // hop_length]`, float32."""
        db: Tensor = 10.0 * torch.log10(self.power(waveform).clamp_min(1e-10))
        return torch.maximum(db, db.amax(dim=(-2, -1), keepdim=True) - self.top_db)


class DirectLogMel(LogMel):
    """`LogMel` with a direct Fourier transform, for runtimes whose fast transform is not exact enough.

    That of onnxruntime is exact for powers of 2 only. For other lengths its error is up to 0.15 dB.
    """

    waves: Tensor

    def __init__(self, sample_rate: int, n_fft: int, hop_length: int, n_mels: int, top_db: float = 80.0) -> None:
        super().__init__(sample_rate, n_fft, hop_length, n_mels, top_db)
        turns = torch.arange(n_fft // 2 + 1)[:, None] * torch.arange(n_fft) % n_fft  # less whole turns, for precision
        angles = 2 * math.pi / n_fft * turns.double()
        waves = torch.cat([angles.cos(), angles.sin()]) * torch.hann_window(n_fft, dtype=torch.float64)
        self.register_buffer("waves", waves.float()[:, None], persistent=False)  # [n_fft + 2, 1, n_fft] for even n_fft

    def power(self, waveform: Tensor) -> Tensor:
        """As `LogMel.power`."""
        padded = functional.pad(waveform.float(), (self.n_fft // 2, self.n_fft // 2))
        parts = functional.conv1d(padded[:, None], self.waves, stride=self.hop_length)
        squares = parts.square()
        return self.bands @ (squares[:, : self.n_fft // 2 + 1] + squares[:, self.n_fft // 2 + 1 :])


Logarithm = Literal["decibel", "natural"]


class Standardise(nn.Module):
    """Subtracts from each band its mean over the training tracks, and divides it by its standard deviation there.

    Args:
        bands: number of bands.
        min_std: lower bound of the standard deviation, so that a band that hardly varies in training is not amplified.
            With 0, a band that is constant in training is 0.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, bands: int, min_std: float = 1.0) -> None:
        super().__init__()
        self.min_std = min_std
        self.register_buffer("mean", torch.zeros(bands, 1))
        self.register_buffer("std", torch.ones(bands, 1))

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, bands, frames]` to the same."""
        standardised: Tensor = (x - self.mean) / self.std
        return standardised

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Take mean and standard deviation of each band from training windows `[windows, bands, frames]`."""
        x = x.double()  # in float64 the mean of a constant is that constant
        mean, std = x.mean(dim=(0, 2))[:, None], x.std(dim=(0, 2))[:, None].clamp_min(self.min_std)
        self.mean.copy_(mean)
        self.std.copy_(std.masked_fill(std <= 1e-9 * mean.abs(), torch.inf))


def mel_levels(
    waveform: npt.NDArray[np.float32], sample_rate: int, n_mels: int, columns: int
) -> npt.NDArray[np.float32]:
    """Mel spectrogram of a waveform `[samples]` in dB, `[n_mels, at most columns]`; frames are averaged."""
    mel = LogMel(sample_rate, 1024, 256, n_mels)
    with torch.inference_mode():
        levels = mel(torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32))[None])[0].numpy()
    parts = np.array_split(levels, min(columns, levels.shape[1]), axis=1)
    return np.stack([part.mean(axis=1) for part in parts], axis=1)
