"""Waveforms as vectors in which distances mean something: spectra, a random network's, a trained classifier's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from musicgen_cls.audio.mel import LogMel
from musicgen_cls.audio.windows import to_samples
from musicgen_cls.errors import CheckpointError
from musicgen_cls.recogniser import GenreRecogniser

Waveform = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Embedding = Callable[[Waveform], Floats]
"""From a waveform `[samples]` to a vector for each of its windows, `[windows, features]`."""

_DITHER = 2e-4
_FLOOR_DB = -60.0  # of power in a mel band, so that inaudible sound has no effect on distances


def cut(waveform: Waveform, window: int, hop: int) -> Tensor:
    """Windows of a waveform `[windows, samples]`; one shorter than a window is followed by silence."""
    if len(waveform) < window:
        waveform = np.pad(waveform, (0, window - len(waveform)))
    return torch.from_numpy(np.ascontiguousarray(waveform)).unfold(0, window, hop)


class Spectra:
    """Windows of half a second as 40 mel bands in dB, level included: near ones sound alike.

    Args:
        sample_rate: Hz.
        hop_seconds: from window to window.
    """

    def __init__(self, sample_rate: int, hop_seconds: float = 0.25) -> None:
        self.window, self.hop = to_samples(0.5, sample_rate), to_samples(hop_seconds, sample_rate)
        self.mel = LogMel(sample_rate, 512, self.window // 8, 40)

    @torch.inference_mode()
    def __call__(self, waveform: Waveform) -> Floats:
        """Embed."""
        power = self.mel.power(cut(waveform, self.window, self.hop))
        decibels: Floats = (10 * torch.log10(power.clamp_min(10 ** (_FLOOR_DB / 10)))).flatten(1).double().numpy()
        return decibels


class RandomNetwork:
    """Windows of a second through a convolutional network that was never trained: knows textures, favours nobody.

    Args:
        sample_rate: Hz.
        seed: of its weights.
    """

    def __init__(self, sample_rate: int, seed: int = 0) -> None:
        self.window = to_samples(1.0, sample_rate)
        self.mel = LogMel(sample_rate, 1024, 256, 64)
        layers: list[nn.Module] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for channels, wider in ((1, 32), (32, 64), (64, 128)):
                layers += [nn.Conv2d(channels, wider, 3, stride=2), nn.ReLU()]
        self.network = nn.Sequential(*layers).eval()

    @torch.inference_mode()
    def __call__(self, waveform: Waveform) -> Floats:
        """Embed: mean and spread over time and frequency of each of 128 channels."""
        power = self.mel.power(cut(waveform, self.window, self.window // 2))
        levels = (10 * torch.log10(power.clamp_min(10 ** (_FLOOR_DB / 10))) + 20) / 20
        maps = self.network(levels[:, None]).flatten(2)
        features: Floats = torch.cat([maps.mean(dim=2), maps.std(dim=2)], dim=1).double().numpy()
        return features


class ClassifierFeatures:
    """Windows as a trained classifier sees them: what goes into its last linear layer.

    Args:
        recogniser: the classifier.
        sample_rate: of the waveforms, Hz; they are resampled to what it was trained at.

    Raises:
        CheckpointError: its network has no linear layer.
    """

    def __init__(self, recogniser: GenreRecogniser, sample_rate: int) -> None:
        self.recogniser, self.sample_rate = recogniser, sample_rate
        layers = [module for module in recogniser.task.network.modules() if isinstance(module, nn.Linear)]
        if not layers:
            raise CheckpointError(f"{recogniser.checkpoint.path}: its network ends in no linear layer to look before")
        self.features: list[Tensor] = []
        layers[-1].register_forward_pre_hook(lambda _, inputs: self.features.append(inputs[0].detach()))

    def __call__(self, waveform: Waveform) -> Floats:
        """Embed."""
        self.features.clear()
        if float(np.ptp(waveform)) < _DITHER:  # a recogniser refuses silence, but silence has its place too
            waveform = np.random.default_rng(0).normal(0, _DITHER, len(waveform)).astype(np.float32)
        self.recogniser.timeline(at_rate(waveform, self.sample_rate, self.recogniser.sample_rate))
        features: Floats = torch.cat(self.features).flatten(1).double().numpy()
        return features


def at_rate(waveform: Waveform, rate: int, wanted: int) -> Waveform:
    """A waveform at another rate, Hz."""
    import soxr

    return waveform if rate == wanted else np.asarray(soxr.resample(waveform, rate, wanted), dtype=np.float32)
