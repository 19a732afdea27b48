"""MusiCNN and a VGG, taggers of music, rebuilt from the networks that Pons and Serra published for TensorFlow."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from musicgen_cls.audio.mel import LogMel
from musicgen_cls.errors import UsageError
from musicgen_cls.models.backbones.base import PatchTagger, patches, same_padding

SAMPLE_RATE, N_FFT, HOP, BANDS = 16000, 512, 256, 96
FRAMES = 187  # of a patch: the networks were trained on 3 s
EPSILON = 0.001  # TensorFlow's batch norm
TIMBRAL, TEMPORAL = 204, 51  # filters of MusiCNN, for each shape

Layer = Literal["penultimate", "mean_pool", "max_pool", "pooled"]

MSD_TAGS = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s", "alternative rock",
    "jazz", "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul", "indie rock", "Mellow",
    "electronica", "80s", "folk", "90s", "chill", "instrumental", "punk", "oldies", "blues", "hard rock", "ambient",
    "acoustic", "experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country", "easy listening",
    "sexy", "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb", "indie pop", "sad",
    "House", "happy",
)  # fmt: skip
"""The tags of the networks trained on the Million Song Dataset, from Last.fm."""

MTT_TAGS = (
    "guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast", "piano", "ambient",
    "beat", "violin", "vocal", "synth", "female", "indian", "opera", "male", "singing", "vocals", "no vocals",
    "harpsichord", "loud", "quiet", "flute", "woman", "male vocal", "no vocal", "pop", "soft", "sitar", "solo",
    "man", "classic", "choir", "voice", "new age", "dance", "male voice", "female vocal", "beats", "harp", "cello",
    "no voice", "weird", "country", "metal", "female voice", "choral",
)  # fmt: skip
"""The tags of the networks trained on MagnaTagATune."""


class PonsTagger(PatchTagger):
    """What MusiCNN and the VGG share: log-mel spectrograms in patches of 187 frames (3 s), and 50 tags.

    Args:
        tag_names: names of the tags.
    """

    sample_rate = SAMPLE_RATE
    hop_seconds = FRAMES * HOP / SAMPLE_RATE
    window_seconds = (FRAMES - 1) * HOP / SAMPLE_RATE

    def __init__(self, tag_names: tuple[str, ...]) -> None:
        super().__init__()
        self.tag_names = tag_names
        self.mel = LogMel(SAMPLE_RATE, N_FFT, HOP, BANDS)

    def spectrogram(self, waveform: Tensor) -> Tensor:
        """Waveforms `[batch, samples]` to patches `[batch, time, frames, bands]` of log10(1 + 10000 power).

        The original rounds the power to 16 bits, which overflows on loud music; here it stays in 32 bits.
        """
        power = self.mel.power(self.filled(waveform))
        return patches(torch.log10(1 + 10000 * power), FRAMES, FRAMES).transpose(2, 3)


class MusiCNN(PonsTagger):
    """A convolutional network whose filters have musical shapes: tall ones for timbre, long ones for rhythm.

    Pons and Serra 2019, "musicnn: Pre-trained convolutional neural networks for music audio tagging"
    (https://arxiv.org/abs/1909.06654); Pons et al. 2018 (https://arxiv.org/abs/1711.02520), figure 2.

    Args:
        tag_names: names of the 50 tags.
        layer: the embedding: `penultimate`, 200 numbers before the tags; `mean_pool` or `max_pool`, 753 features
            averaged over a patch or their maximum; `pooled`, the three together.
    """

    def __init__(self, tag_names: tuple[str, ...] = MSD_TAGS, layer: Layer = "penultimate") -> None:
        super().__init__(tag_names)
        if layer not in get_args(Layer):
            raise UsageError(f"MusiCNN has no layer '{layer}'; it has {', '.join(get_args(Layer))}")
        self.layer = layer
        self.norm = nn.BatchNorm2d(1, EPSILON)
        self.timbral = nn.ModuleList(_FrontEnd(TIMBRAL, (7, height)) for height in (38, 67))  # 0.4 and 0.7 of the bands
        self.temporal = nn.ModuleList(_FrontEnd(TEMPORAL, (length, 1)) for length in (128, 64, 32))
        width = 2 * TIMBRAL + 3 * TEMPORAL
        self.middle = nn.ModuleList(_Middle(channels, 64) for channels in (width, 64, 64))
        features = width + 3 * 64
        self.dim = {"penultimate": 200, "mean_pool": features, "max_pool": features}.get(layer, 200 + 2 * features)
        self.pool_norm = nn.BatchNorm1d(2 * features, EPSILON)
        self.dense = nn.Linear(2 * features, 200)
        self.dense_norm = nn.BatchNorm1d(200, EPSILON)
        self.output = nn.Linear(200, len(tag_names))

    def stages(self) -> list[list[nn.Parameter]]:
        """The front end, whose filters are side by side; the three layers behind it; the dense layer."""
        front, dense = nn.ModuleList([self.norm, self.timbral, self.temporal]), [self.pool_norm, self.dense]
        parts = front, *self.middle, nn.ModuleList([*dense, self.dense_norm])
        return [list(part.parameters()) for part in parts]

    def tags(self, waveform: Tensor) -> Tensor:
        """Waveforms `[batch, samples]` to logits of tags `[batch, time, 50]`, one row for 3 s."""
        return self.per_patch(lambda x: self.layers(x)["logits"], waveform)

    def tags_of(self, embeddings: Tensor) -> Tensor:
        """Logits of the tags `[..., 50]` from embeddings `[..., 200]` of the layer `penultimate`."""
        if self.layer != "penultimate":
            raise UsageError(f"MusiCNN: its tags come from the layer penultimate, not from {self.layer}; leave it out")
        return super().tags_of(embeddings)

    def layers(self, x: Tensor) -> dict[str, Tensor]:
        """The last layers of patches `[patches, frames, bands]`: `[patches, features]` each."""
        x = self.norm(x[:, None])
        front = torch.cat([part(x) for part in (*self.timbral, *self.temporal)], dim=1)  # [patches, 561, frames]
        one = self.middle[0](front)
        two = self.middle[1](one) + one
        three = self.middle[2](two) + two
        features = torch.cat([front, one, two, three], dim=1)  # [patches, 753, frames]
        maximum, mean = features.amax(2), features.mean(2)
        pooled = torch.stack([maximum, mean], dim=2).flatten(1)  # the original has them in turn
        penultimate = self.dense_norm(functional.relu(self.dense(self.pool_norm(pooled))))
        return {
            "max_pool": maximum,
            "mean_pool": mean,
            "penultimate": penultimate,
            "logits": self.output(penultimate),
        }

    def features(self, x: Tensor) -> Tensor:
        """Patches `[patches, frames, bands]` to embeddings `[patches, dim]`."""
        layers = self.layers(x)
        if self.layer == "pooled":
            return torch.cat([layers["mean_pool"], layers["max_pool"], layers["penultimate"]], dim=1)
        return layers[self.layer]


class MusicVGG(PonsTagger):
    """Five layers of 3x3 convolutions and max-pooling on mel spectrograms, the baseline of Pons and Serra 2019.

    Args:
        tag_names: names of the 50 tags.
    """

    dim = 256

    def __init__(self, tag_names: tuple[str, ...] = MSD_TAGS) -> None:
        super().__init__(tag_names)
        self.norm = nn.BatchNorm2d(1, EPSILON)
        self.convolutions = nn.ModuleList(nn.Conv2d(1 if n == 0 else 128, 128, 3, padding=1) for n in range(5))
        self.norms = nn.ModuleList(nn.BatchNorm2d(128, EPSILON) for _ in range(5))
        self.output = nn.Linear(self.dim, len(tag_names))

    def features(self, x: Tensor) -> Tensor:
        """Patches `[patches, frames, bands]` to the last pooled layer `[patches, 256]`, in TensorFlow's order."""
        x = self.norm(x[:, None])
        sizes, strides = ((4, 1), (2, 2), (2, 2), (2, 2), (4, 4)), (2, 2, 2, 2, 4)  # the first skips every second band
        for convolution, norm, size, stride in zip(self.convolutions, self.norms, sizes, strides, strict=True):
            x = functional.max_pool2d(norm(functional.relu(convolution(x))), size, stride)
        return x.permute(0, 2, 3, 1).flatten(1)


class _FrontEnd(nn.Module):
    """Convolution over time and bands, ReLU, batch norm, and the maximum over the bands.

    `[patches, 1, frames, bands]` to `[patches, filters, frames]`. Only the frames are padded.
    """

    def __init__(self, filters: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.padding = same_padding(kernel[0], kernel[0], 1)
        self.convolution = nn.Conv2d(1, filters, kernel)
        self.norm = nn.BatchNorm2d(filters, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(functional.pad(x, (0, 0, *self.padding)))
        maximum: Tensor = self.norm(functional.relu(x, inplace=True)).amax(3)
        return maximum


class _Middle(nn.Module):
    """Convolution over time, ReLU and batch norm: `[patches, channels, frames]` to `[patches, filters, frames]`."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(channels, filters, 7, padding=3)
        self.norm = nn.BatchNorm1d(filters, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        normalised: Tensor = self.norm(functional.relu(self.convolution(x)))
        return normalised
