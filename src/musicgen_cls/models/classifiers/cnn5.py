"""Five convolutions: the classifier of the generation-and-classification study."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from musicgen_cls.models.classifiers.blocks import ConvBlock, check_sizes


class CNN5(nn.Module):
    """Five 3x3 convolutions, each followed by max-pooling, then dropout and one dense layer.

    After Doyle and Lopez, "Genre Classification and Generation of Music Samples via Neural Networks", section 2.2 and
    figure 3: five convolutions each followed by max-pooling, batch normalisation, dropout 0.5, one fully connected
    layer. The study does not give the widths. Average pooling reduces the last feature map to four bands and one time
    step. The dense layer can distinguish low from high frequencies, and spectrograms of any size fit.

    Args:
        num_classes: number of genres.
        width: channels of the first convolution; each further one has twice as many, up to 8 times `width`.
        dropout: probability of dropping an input of the dense layer in training.
    """

    channels_last: ClassVar[bool] = True
    trains_in_bfloat16: ClassVar[bool] = True

    def __init__(self, num_classes: int, width: int = 16, dropout: float = 0.5) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes, width=width)
        widths = [width, 2 * width, 4 * width, 8 * width, 8 * width]
        layers: list[nn.Module] = []
        for channels, wider in zip([1, *widths], widths, strict=False):
            layers += [ConvBlock(channels, wider), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d((4, 1))
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(4 * widths[-1], num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Mel spectrograms `[batch, n_mels, frames]` to logits `[batch, num_classes]`."""
        features = self.features(x.unsqueeze(1))  # [batch, channels, n_mels // 32, frames // 32]
        logits: Tensor = self.head(self.pool(features))
        return logits
