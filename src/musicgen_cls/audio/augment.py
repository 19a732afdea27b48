"""Augmentation of training waveforms: noise, pitch shifts, and both at random.

After Xu, Pulappadi, Li and Peacock, "What's in the noise? Advancing Musical Genre Classification using Neural
Networks", section Experiments: a pipeline of three parts. The study does not give the levels and probabilities.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from musicgen_cls.audio.compiled import compiled_librosa
from musicgen_cls.errors import UsageError, check_not_negative

__all__ = ["AddWhiteNoise", "NoiseAndPitch", "ShiftPitch"]


class AddWhiteNoise(nn.Module):
    """Adds white Gaussian noise.

    Args:
        level: standard deviation of the noise; full scale is 1.
    """

    def __init__(self, level: float = 0.005) -> None:
        super().__init__()
        check_not_negative("augment.", level=level)
        self.level = level

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveforms `[batch, samples]` to the same shape."""
        return waveform + self.level * torch.randn_like(waveform)


class ShiftPitch(nn.Module):
    """Shifts the pitch of each waveform by a random number of semitones and keeps its duration.

    librosa stretches the waveform with a phase vocoder and resamples it, on the CPU.

    Args:
        semitones: largest shift up or down, 0 to 24.
    """

    def __init__(self, semitones: float = 2.0) -> None:
        super().__init__()
        if not 0 <= semitones <= 24:
            raise UsageError(f"augment.semitones {semitones}: must be from 0 to 24")
        self.semitones = semitones

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveforms `[batch, samples]` to the same shape."""
        pitch_shift = compiled_librosa().effects.pitch_shift
        steps = self.semitones * (2 * torch.rand(len(waveform)) - 1)
        pairs = zip(waveform.cpu().numpy(), steps.tolist(), strict=True)
        # the result does not depend on the sample rate
        shifted = [torch.from_numpy(pitch_shift(samples, sr=22050, n_steps=step)) for samples, step in pairs]
        return torch.stack(shifted).to(waveform) if shifted else waveform


class NoiseAndPitch(nn.Module):
    """Shifts the pitch of each waveform, and adds noise to it, each with a probability of its own.

    Args:
        level: `level` of `AddWhiteNoise`.
        semitones: `semitones` of `ShiftPitch`.
        noise_probability: probability that noise is added, 0 to 1.
        pitch_probability: probability that the pitch is shifted, 0 to 1.
    """

    def __init__(
        self,
        level: float = 0.005,
        semitones: float = 2.0,
        noise_probability: float = 0.5,
        pitch_probability: float = 0.5,
    ) -> None:
        super().__init__()
        for name, probability in (("noise_probability", noise_probability), ("pitch_probability", pitch_probability)):
            if not 0 <= probability <= 1:
                raise UsageError(f"augment.{name} {probability}: must be from 0 to 1")
        self.level, self.semitones = level, semitones
        self.noise, self.noise_probability = AddWhiteNoise(level), noise_probability
        self.pitch, self.pitch_probability = ShiftPitch(semitones), pitch_probability

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveforms `[batch, samples]` to the same shape."""
        waveform = waveform.clone()
        for change, probability in ((self.pitch, self.pitch_probability), (self.noise, self.noise_probability)):
            chosen = (torch.rand(len(waveform)) < probability).to(waveform.device)
            waveform[chosen] = change(waveform[chosen])
        return waveform
