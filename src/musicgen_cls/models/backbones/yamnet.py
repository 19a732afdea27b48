"""YAMNet, a network that tags everyday sounds and music, rebuilt from the published TensorFlow Lite file."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from musicgen_cls.models.backbones.base import PatchTagger, patches, same_padding

SAMPLE_RATE, WINDOW, HOP, N_FFT, BANDS = 16000, 400, 160, 512, 64
LOW_HZ, HIGH_HZ = 125.0, 7500.0
FRAMES = 96  # of a patch, 0.975 s
TAGS = 521
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
WIDTHS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)


class YAMNet(PatchTagger):
    """MobileNet (Howard et al. 2017, https://arxiv.org/abs/1704.04861) on log-mel spectrograms, with AudioSet's tags.

    Plakal and Ellis 2020, https://github.com/tensorflow/models/tree/master/research/audioset/yamnet. Batch norm is
    part of the convolutions, since the published file has folded it into them.

    The names of the tags are in the published file; until it is loaded they are numbers.

    Args:
        patch_hop: frames from one patch to the next: 48 (0.48 s) in the original.
    """

    sample_rate = SAMPLE_RATE
    window_seconds = (WINDOW + (FRAMES - 1) * HOP) / SAMPLE_RATE
    dim = 1024

    window: Tensor
    bands: Tensor

    def __init__(self, patch_hop: int = 48) -> None:
        super().__init__()
        self.tag_names, self.patch_hop = tuple(map(str, range(TAGS))), patch_hop
        self.hop_seconds = patch_hop * HOP / SAMPLE_RATE
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.register_buffer("bands", mel_bands(), persistent=False)
        self.first = nn.Conv2d(1, 32, 3, stride=2)
        self.depthwise, self.pointwise = nn.ModuleList(), nn.ModuleList()
        channels = 32
        for width, stride in zip(WIDTHS, STRIDES, strict=True):
            self.depthwise.append(nn.Conv2d(channels, channels, 3, stride, groups=channels))
            self.pointwise.append(nn.Conv2d(channels, width, 1))
            channels = width
        self.output = nn.Linear(channels, TAGS)

    def spectrogram(self, waveform: Tensor) -> Tensor:
        """Waveforms `[batch, samples]` to patches `[batch, time, frames, bands]` of log(0.001 + mel magnitude)."""
        # torch.stft puts zeros on both sides of a window, and TensorFlow behind it: the magnitudes are the same
        padding = (N_FFT - WINDOW) // 2
        padded = functional.pad(self.filled(waveform), (padding, padding))
        spectrum = torch.stft(padded, N_FFT, HOP, WINDOW, self.window, center=False, return_complex=True)
        magnitude = torch.view_as_real(spectrum).square().sum(3).sqrt()  # [batch, frequencies, frames]
        mel = torch.log(self.bands @ magnitude + 0.001)
        return patches(mel, FRAMES, self.patch_hop).transpose(2, 3)

    def features(self, x: Tensor) -> Tensor:
        """Patches `[patches, frames, bands]` to the mean of the last layer over time and bands, `[patches, 1024]`."""
        x = functional.relu6(_same(self.first, x[:, None]))
        for depthwise, pointwise in zip(self.depthwise, self.pointwise, strict=True):
            x = functional.relu6(_same(depthwise, x))
            x = functional.relu6(pointwise(x))
        return x.mean((2, 3))


def mel_bands() -> Tensor:
    """The weights of 64 bands for 257 frequencies, `[bands, frequencies]`, as TensorFlow computes them.

    A triangle rises and falls linearly in mel, not in Hz. The mel of f Hz is 1127 ln(1 + f / 700). The edges of the
    triangles are evenly spaced in mel: triangle b begins at edge b, has its peak at edge b + 1, and ends at edge b + 2.
    """
    mel = 1127.0 * torch.log1p(torch.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1, dtype=torch.float64) / 700)
    low, high = (1127.0 * math.log1p(hz / 700) for hz in (LOW_HZ, HIGH_HZ))
    edges = torch.linspace(low, high, BANDS + 2, dtype=torch.float64)[:, None]
    rising = (mel - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel) / (edges[2:] - edges[1:-1])
    weights = torch.minimum(rising, falling).clamp_min(0)
    weights[:, 0] = 0  # the mean of the waveform has no band
    return weights.float()


def _same(convolution: nn.Module, x: Tensor) -> Tensor:
    """A 3x3 convolution with TensorFlow's padding."""
    assert isinstance(convolution, nn.Conv2d)
    high, wide = (same_padding(size, 3, convolution.stride[0]) for size in x.shape[2:])
    y: Tensor = convolution(functional.pad(x, (*wide, *high)))
    return y
