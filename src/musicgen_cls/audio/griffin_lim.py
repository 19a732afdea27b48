"""Waveforms from mel spectrograms."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from musicgen_cls.audio.mel import LogMel


class GriffinLim(nn.Module):
    """Estimates a waveform from mel power.

    1. Magnitudes. A non-negative spectrum with the given mel power is found by multiplicative updates (Lee and Seung
       2001, "Algorithms for Non-negative Matrix Factorization").
    2. Phases. They start at random. Each iteration makes a waveform of magnitudes and phases, and takes the phases of
       its spectrum, with the momentum of the fast Griffin-Lim algorithm (Perraudin, Balazs and Sondergaard 2013,
       https://doi.org/10.1109/WASPAA.2013.6701851).
    3. Known samples at the start replace those of the waveform in each iteration, so that the rest continues them.

    Args:
        log_mel: the spectrogram that is inverted.
        iterations: iterations of step 2.
        momentum: momentum of step 2, 0 to 1.
    """

    def __init__(self, log_mel: LogMel, iterations: int = 32, momentum: float = 0.99) -> None:
        super().__init__()
        self.log_mel = log_mel
        self.iterations = iterations
        self.momentum = momentum

    def magnitude(self, power: Tensor, iterations: int = 40) -> Tensor:
        """Mel power `[batch, n_mels, frames]` to magnitudes of the spectrum `[batch, bins, frames]`; step 1."""
        bands = self.log_mel.bands  # [n_mels, bins]
        wanted = bands.T @ power
        spectrum = wanted / (bands.sum(dim=0)[:, None] + 1e-8).clamp_min(1e-8)
        gram = bands.T @ bands
        for _ in range(iterations):
            spectrum = spectrum * wanted / (gram @ spectrum).clamp_min(1e-12)
        return spectrum.clamp_min(0.0).sqrt()

    def forward(self, power: Tensor, known: Tensor, seed: int = 0) -> Tensor:
        """Mel power and the known samples at the start to the whole waveform.

        Args:
            power: mel power, `[batch, n_mels, frames]`.
            known: the known samples, `[batch, samples]`; they are in the output unchanged.
            seed: random seed of the initial phases, which are the same for every recording.

        Returns:
            `[batch, (frames - 1) * hop_length]`.
        """
        magnitude = self.magnitude(power)
        samples = (power.shape[2] - 1) * self.log_mel.hop_length
        generator = torch.Generator().manual_seed(seed)
        angle = 2 * torch.pi * torch.rand(magnitude.shape[1:], generator=generator)
        phase = torch.polar(torch.ones_like(angle), angle).to(magnitude.device).expand(magnitude.shape)
        before = torch.zeros_like(phase)
        for _ in range(self.iterations):
            waveform = self._keep(self._waveform(magnitude * phase, samples), known)
            spectrum = self._spectrum(waveform)
            faster = spectrum - self.momentum / (1 + self.momentum) * before
            before = spectrum
            phase = faster / faster.abs().clamp_min(1e-12)
        return self._keep(self._waveform(magnitude * phase, samples), known)

    def _keep(self, waveform: Tensor, known: Tensor) -> Tensor:
        """The waveform with the known samples at its start."""
        return torch.cat([known[:, : waveform.shape[1]], waveform[:, known.shape[1] :]], dim=1)

    def _waveform(self, spectrum: Tensor, samples: int) -> Tensor:
        mel = self.log_mel
        return torch.istft(spectrum, mel.n_fft, mel.hop_length, window=mel.window, length=samples)

    def _spectrum(self, waveform: Tensor) -> Tensor:
        mel = self.log_mel
        return torch.stft(
            waveform, mel.n_fft, mel.hop_length, window=mel.window, pad_mode="constant", return_complex=True
        )
