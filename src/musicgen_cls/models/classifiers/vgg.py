"""VGG on mel pictures."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from musicgen_cls.models.classifiers.blocks import ConvBlock, GlobalAverage, check_sizes


class VGG(nn.Module):
    """Pairs of 3x3 convolutions of growing width, each pair followed by 2x2 max-pooling, and a dense head.

    After Xu, Pulappadi, Li and Peacock, "What's in the noise? Advancing Musical Genre Classification using Neural
    Networks", section Methods: pairs of convolutions with ReLU and batch norm, max-pooling, one fully connected layer
    with softmax. The number of pairs and their widths are not given there; these double from pair to pair, as in
    Simonyan and Zisserman 2015 (https://arxiv.org/abs/1409.1556), and a global average stands before the dense layer,
    so that pictures of any size fit.

    Args:
        num_classes: genres.
        width: channels of the first pair.
        pairs: how many pairs.
        dropout: share of the dense layer's inputs dropped in training.
    """

    channels_last: ClassVar[bool] = True

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
        """Mel pictures `[batch, n_mels, frames]` to logits `[batch, num_classes]`."""
        logits: Tensor = self.head(self.features(x.unsqueeze(1)))
        return logits
