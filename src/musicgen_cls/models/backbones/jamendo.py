"""Taggers of music trained on MTG-Jamendo, whose music overlaps least with GTZAN."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from musicgen_cls.models.backbones.base import PatchTagger, patches

SAMPLE_RATE, N_FFT, HOP, BANDS = 16000, 512, 256, 96

TAGS = (
    *("genre---alternative", "genre---ambient", "genre---atmospheric", "genre---chillout", "genre---classical"),
    *("genre---dance", "genre---downtempo", "genre---easylistening", "genre---electronic", "genre---experimental"),
    *("genre---folk", "genre---funk", "genre---hiphop", "genre---house", "genre---indie", "genre---instrumentalpop"),
    *("genre---jazz", "genre---lounge", "genre---metal", "genre---newage", "genre---orchestral", "genre---pop"),
    *("genre---popfolk", "genre---poprock", "genre---reggae", "genre---rock", "genre---soundtrack", "genre---techno"),
    *("genre---trance", "genre---triphop", "genre---world", "instrument---acousticguitar", "instrument---bass"),
    *("instrument---computer", "instrument---drummachine", "instrument---drums", "instrument---electricguitar"),
    *("instrument---electricpiano", "instrument---guitar", "instrument---keyboard", "instrument---piano"),
    *("instrument---strings", "instrument---synthesizer", "instrument---violin", "instrument---voice"),
    *("mood/theme---emotional", "mood/theme---energetic", "mood/theme---film", "mood/theme---happy"),
    "mood/theme---relaxing",
)
"""Names of the 50 tags of MTG-Jamendo, in alphabetical order: the order of the outputs."""


class JamendoTagger(PatchTagger):
    """What the two networks share: mel spectrograms in dB and batch norm after each convolution.

    Won, Ferraro, Bogdanov and Serra 2020, "Evaluation of CNN-based automatic music tagging models"
    (https://arxiv.org/abs/2006.00751).
    """

    sample_rate = SAMPLE_RATE
    tag_names = TAGS

    frames: int
    """Frames of a patch."""

    def __init__(self) -> None:
        super().__init__()
        from torchaudio.transforms import MelSpectrogram

        self.mel = MelSpectrogram(SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP, n_mels=BANDS)
        for name, buffer in list(self.mel.named_buffers()):  # they are constants, not weights
            module, _, own = name.rpartition(".")
            self.mel.get_submodule(module).register_buffer(own, buffer, persistent=False)
        self.norm = nn.BatchNorm2d(1)

    def spectrogram(self, waveform: Tensor) -> Tensor:
        """Waveforms `[batch, samples]` to patches `[batch, time, bands, frames]` in dB, 0 dB a power of 1."""
        power = self.mel(self.filled(waveform.float()))
        return patches(10 * torch.log10(power.clamp_min(1e-10)), self.frames, self.frames)


class JamendoMusiCNN(JamendoTagger):
    """MusiCNN in PyTorch, trained on MTG-Jamendo in patches of 3 s. The embedding is the layer before the tags."""

    frames = 188
    hop_seconds = frames * HOP / SAMPLE_RATE
    window_seconds = (frames - 1) * HOP / SAMPLE_RATE
    dim = 200

    def __init__(self) -> None:
        super().__init__()
        self.timbral = nn.ModuleList(_conv_2d(204, (height, 7)) for height in (67, 38))
        self.temporal = nn.ModuleList(_conv_1d(1, 51, length) for length in (129, 65, 33))
        width = 2 * 204 + 3 * 51
        self.middle = nn.ModuleList(_conv_1d(channels, 64, 7) for channels in (width, 64, 64))
        self.dense = nn.Linear(2 * (width + 3 * 64), self.dim)
        self.dense_norm = nn.BatchNorm1d(self.dim)
        self.output = nn.Linear(self.dim, len(TAGS))

    def features(self, x: Tensor) -> Tensor:
        """Patches `[patches, bands, frames]` to embeddings `[patches, 200]`."""
        x = self.norm(x[:, None])
        mean = x.mean(2)  # over the bands, for the filters over time
        front = torch.cat([part(x).amax(2) for part in self.timbral] + [part(mean) for part in self.temporal], dim=1)
        one = self.middle[0](front)
        two = self.middle[1](one) + one
        three = self.middle[2](two) + two
        both = torch.cat([front, one, two, three], dim=1)  # [patches, 753, frames]
        pooled = torch.cat([both.amax(2), both.mean(2)], dim=1)
        return functional.relu(self.dense_norm(self.dense(pooled)))


class JamendoFCN(JamendoTagger):
    """A fully convolutional network on 29 s of audio (Choi et al. 2016, https://arxiv.org/abs/1606.00298)."""

    frames = 1813
    hop_seconds = frames * HOP / SAMPLE_RATE
    window_seconds = 29.0
    dim = 64

    POOLS = (2, 4), (2, 4), (2, 4), (3, 5), (4, 4)
    """Bands and frames over which each layer takes the maximum."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 64, 128, 128, 128, 64)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(narrow, wide, 3, padding=1), nn.BatchNorm2d(wide), nn.ReLU(), nn.MaxPool2d(pool))
            for narrow, wide, pool in zip(widths, widths[1:], self.POOLS, strict=False)
        )
        self.output = nn.Linear(self.dim, len(TAGS))

    def features(self, x: Tensor) -> Tensor:
        """Patches `[patches, bands, frames]` to embeddings `[patches, 64]`."""
        x = self.norm(x[:, None])
        for layer in self.layers:
            x = layer(x)
        return x.flatten(1)


def _conv_2d(filters: int, kernel: tuple[int, int]) -> nn.Sequential:
    """`[patches, 1, bands, frames]` to `[patches, filters, bands - kernel + 1, frames]`."""
    padding = (0, kernel[1] // 2)
    return nn.Sequential(nn.Conv2d(1, filters, kernel, padding=padding), nn.BatchNorm2d(filters), nn.ReLU())


def _conv_1d(channels: int, filters: int, kernel: int) -> nn.Sequential:
    """`[patches, channels, frames]` to `[patches, filters, frames]`."""
    padding = kernel // 2
    return nn.Sequential(nn.Conv1d(channels, filters, kernel, padding=padding), nn.BatchNorm1d(filters), nn.ReLU())
