"""From mel spectrograms back to sound."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from musicgen_cls.audio.mel import LogMel


class GriffinLim(nn.Module):
    """Mel power to waveform: a spectrum that has this mel power, and phases that go with it.

    The spectrum is found by multiplicative updates that stay positive (Lee and Seung 2001, "Algorithms for Non-negative
    Matrix Factorization"), the phases by the fast algorithm of Perraudin, Balazs and Sondergaard 2013
    (https://doi.org/10.1109/WASPAA.2013.6701851). Sound that is known to come before is held fast meanwhile, so that
    what is made goes on from it.

    Args:
        log_mel: the spectrogram that is to be undone.
        iterations: of the phases.
        momentum: of the phases, 0 to 1.
    """

    def __init__(self, log_mel: LogMel, iterations: int = 32, momentum: float = 0.99) -> None:
        super().__init__()
        self.log_mel = log_mel
        self.iterations = iterations
        self.momentum = momentum

    def magnitude(self, power: Tensor, iterations: int = 40) -> Tensor:
        """Power in mel bands `[batch, n_mels, frames]` to magnitudes of the spectrum `[batch, bins, frames]`."""
        bands = self.log_mel.bands  # [n_mels, bins]
        wanted = bands.T @ power
        spectrum = wanted / (bands.sum(dim=0)[:, None] + 1e-8).clamp_min(1e-8)
        gram = bands.T @ bands
        for _ in range(iterations):
            spectrum = spectrum * wanted / (gram @ spectrum).clamp_min(1e-12)
        return spectrum.clamp_min(0.0).sqrt()

    def forward(self, power: Tensor, known: Tensor, seed: int = 0) -> Tensor:
        """Mel power and the sound it begins with to the whole sound.

        Args:
            power: `[batch, n_mels, frames]`.
            known: the first samples, `[batch, samples]`; as many as there are are kept.
            seed: of the phases at first, which are the same for every recording.

        Returns:
            `[batch, (frames - 1) * hop_length]`.
        """
        magnitude = self.magnitude(power)
        samples = (power.shape[2] - 1) * self.log_mel.hop_length
        chance = torch.Generator().manual_seed(seed)
        angle = 2 * torch.pi * torch.rand(magnitude.shape[1:], generator=chance)
        phase = torch.polar(torch.ones_like(angle), angle).to(magnitude.device).expand(magnitude.shape)
        before = torch.zeros_like(phase)
        for _ in range(self.iterations):
            sound = self._hold(self._sound(magnitude * phase, samples), known)
            spectrum = self._spectrum(sound)
            faster = spectrum - self.momentum / (1 + self.momentum) * before
            before = spectrum
            phase = faster / faster.abs().clamp_min(1e-12)
        return self._hold(self._sound(magnitude * phase, samples), known)

    def _hold(self, sound: Tensor, known: Tensor) -> Tensor:
        return torch.cat([known[:, : sound.shape[1]], sound[:, known.shape[1] :]], dim=1)

    def _sound(self, spectrum: Tensor, samples: int) -> Tensor:
        mel = self.log_mel
        return torch.istft(spectrum, mel.n_fft, mel.hop_length, window=mel.window, length=samples)

    def _spectrum(self, sound: Tensor) -> Tensor:
        mel = self.log_mel
        return torch.stft(sound, mel.n_fft, mel.hop_length, window=mel.window, pad_mode="constant", return_complex=True)
