"""Training waveforms made other than they are: noise, pitch, and both by chance.

After Xu, Pulappadi, Li and Peacock, "What's in the noise? Advancing Musical Genre Classification using Neural
Networks", section Experiments: a pipeline of three parts. Levels and probabilities are not given there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from musicgen_cls.audio.compiled import compiled_librosa
from musicgen_cls.errors import UsageError, check_not_negative

__all__ = ["AddWhiteNoise", "NoiseAndPitch", "ShiftPitch"]


class AddWhiteNoise(nn.Module):
    """Adds normal random numbers of the length of the sound, scaled by a level.

    Args:
        level: standard deviation of the noise, of full scale.
    """

    def __init__(self, level: float = 0.005) -> None:
        super().__init__()
        check_not_negative("augment.", level=level)
        self.level = level

    def forward(self, waveform: Tensor) -> Tensor:
        """`[batch, samples]` to the same."""
        return waveform + self.level * torch.randn_like(waveform)


class ShiftPitch(nn.Module):
    """Shifts each sound's pitch by a random number of semitones and keeps its duration: stretched, then resampled.

    librosa's phase vocoder, on the CPU.

    Args:
        semitones: the most, up or down.
    """

    def __init__(self, semitones: float = 2.0) -> None:
        super().__init__()
        if not 0 <= semitones <= 24:
            raise UsageError(f"augment.semitones {semitones}: must be from 0 to 24")
        self.semitones = semitones

    def forward(self, waveform: Tensor) -> Tensor:
        """`[batch, samples]` to the same."""
        pitch_shift = compiled_librosa().effects.pitch_shift
        steps = self.semitones * (2 * torch.rand(len(waveform)) - 1)
        sounds = zip(waveform.cpu().numpy(), steps.tolist(), strict=True)
        # of the rate only ratios count
        shifted = [torch.from_numpy(pitch_shift(sound, sr=22050, n_steps=step)) for sound, step in sounds]
        return torch.stack(shifted).to(waveform) if shifted else waveform


class NoiseAndPitch(nn.Module):
    """Decides for each sound by chance whether noise is added, and whether its pitch is shifted.

    Args:
        level: as of `AddWhiteNoise`.
        semitones: as of `ShiftPitch`.
        noise_probability: of noise, 0 to 1.
        pitch_probability: of another pitch, 0 to 1.
    """

    def __init__(
        self,
        level: float = 0.005,
        semitones: float = 2.0,
        noise_probability: float = 0.5,
        pitch_probability: float = 0.5,
    ) -> None:
        super().__init__()
        for name, chance in (("noise_probability", noise_probability), ("pitch_probability", pitch_probability)):
            if not 0 <= chance <= 1:
                raise UsageError(f"augment.{name} {chance}: must be from 0 to 1")
        self.level, self.semitones = level, semitones
        self.noise, self.noise_probability = AddWhiteNoise(level), noise_probability
        self.pitch, self.pitch_probability = ShiftPitch(semitones), pitch_probability

    def forward(self, waveform: Tensor) -> Tensor:
        """`[batch, samples]` to the same."""
        waveform = waveform.clone()
        for change, chance in ((self.pitch, self.pitch_probability), (self.noise, self.noise_probability)):
            chosen = (torch.rand(len(waveform)) < chance).to(waveform.device)
            waveform[chosen] = change(waveform[chosen])
        return waveform
