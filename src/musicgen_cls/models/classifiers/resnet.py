"""A residual network on mel spectrograms."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from musicgen_cls.models.classifiers.blocks import GlobalAverage, check_sizes


class ResNet(nn.Module):
    """Four stages of residual blocks on mel spectrograms, and a dense layer.

    He, Zhang, Ren and Sun 2016, "Deep Residual Learning for Image Recognition" (https://arxiv.org/abs/1512.03385),
    figure 2 and table 1, with a 3x3 first layer, since spectrograms are small. The width doubles from stage to stage,
    and height and width of the spectrogram are halved. Global average pooling comes before the dense layer, so that
    spectrograms of any size fit.

    Args:
        num_classes: number of genres.
        width: channels of the first stage.
        blocks: residual blocks in a stage.
        dropout: probability of dropping an input of the dense layer in training.
    """

    channels_last: ClassVar[bool] = True
    trains_in_bfloat16: ClassVar[bool] = True

    def __init__(self, num_classes: int, width: int = 32, blocks: int = 1, dropout: float = 0.2) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes, width=width, blocks=blocks)
        layers: list[nn.Module] = [
            nn.Conv2d(1, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        channels = width
        for stage in range(4):
            wider = width * 2**stage
            for block in range(blocks):
                layers.append(ResidualBlock(channels, wider, stride=2 if block == 0 else 1))
                channels = wider
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(GlobalAverage(), nn.Dropout(dropout), nn.Linear(channels, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Mel spectrograms `[batch, n_mels, frames]` to logits `[batch, num_classes]`."""
        logits: Tensor = self.head(self.features(x.unsqueeze(1)))
        return logits


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, added to the input: `[batch, channels, height, width]`.

    Where the shape changes, the input is averaged over the stride, and goes through a 1x1 convolution: He et al. 2019,
    "Bag of Tricks for Image Classification" (https://arxiv.org/abs/1812.01187), figure 2c. A 1x1 convolution with a
    stride would ignore three quarters of its input. Its gradient also crashed on CPUs, for some odd sizes in
    channels-last order (PyTorch 2.11).
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels_out)
        self.second = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels_out)
        self.shortcut = nn.Sequential()
        if stride != 1:  # odd sizes are rounded up, as by the convolution
            self.shortcut.append(nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False))
        if channels_in != channels_out:
            self.shortcut.append(nn.Conv2d(channels_in, channels_out, 1, bias=False))
            self.shortcut.append(nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        y = functional.relu(self.first_norm(self.first(x)))
        added: Tensor = functional.relu(self.second_norm(self.second(y)) + self.shortcut(x))
        return added
