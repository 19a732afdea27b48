"""VGG on mel spectrograms."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from musicgen_cls.models.classifiers.blocks import ConvBlock, GlobalAverage, check_sizes


class VGG(nn.Module):
    """Pairs of 3x3 convolutions, each pair followed by 2x2 max-pooling, and a dense layer.

    After Xu, Pulappadi, Li and Peacock, "What's in the noise? Advancing Musical Genre Classification using Neural
    Networks", section Methods: pairs of convolutions with ReLU and batch norm, max-pooling, one fully connected layer
    with softmax. The study does not give the number of pairs and their widths. The width doubles from pair to pair, as
    in Simonyan and Zisserman 2015 (https://arxiv.org/abs/1409.1556). Global average pooling comes before the dense
    layer, so that spectrograms of any size fit.

    Args:
        num_classes: number of genres.
        width: channels of the first pair.
        pairs: number of pairs.
        dropout: probability of dropping an input of the dense layer in training.
    """

    channels_last: ClassVar[bool] = True
    trains_in_bfloat16: ClassVar[bool] = True

    def __init__(self, num_classes: int, width: int = 32, pairs: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes, width=width, pairs=pairs)
        layers: list[nn.Module] = []
        channels = 1
        for pair in range(pairs):
            wider = width * 2**pair
            layers += [ConvBlock(channels, wider), ConvBlock(wider, wider), nn.MaxPool2d(2)]
            channels = wider
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(GlobalAverage(), nn.Dropout(dropout), nn.Linear(channels, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Mel spectrograms `[batch, n_mels, frames]` to logits `[batch, num_classes]`."""
        logits: Tensor = self.head(self.features(x.unsqueeze(1)))
        return logits
