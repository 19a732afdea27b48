"""A plain convolutional network on mel spectrograms."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from musicgen_cls.models.classifiers.blocks import check_sizes


class CNN(nn.Module):
    """Three 3x3 convolutions with ReLU and max-pooling, a dense layer, dropout and the output layer; no batch norm.

    After Xu, Pulappadi, Li and Peacock, "What's in the noise? Advancing Musical Genre Classification using Neural
    Networks", section Methods: the "constructed generic" network of their comparison. The study does not give its
    layers. Average pooling reduces the last feature map to 4 x 4, so that spectrograms of any size fit.

    Args:
        num_classes: number of genres.
        width: channels of the first convolution; each further one has twice as many.
        hidden: units of the dense layer.
        dropout: probability of dropping an input of the last layer in training.
    """

    channels_last: ClassVar[bool] = True

    def __init__(self, num_classes: int, width: int = 32, hidden: int = 64, dropout: float = 0.3) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes, width=width, hidden=hidden)
        layers: list[nn.Module] = []
        channels = 1
        for wider in (width, 2 * width, 4 * width):
            layers += [nn.Conv2d(channels, wider, kernel_size=3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            channels = wider
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d((4, 4))
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * channels, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Mel spectrograms `[batch, n_mels, frames]` to logits `[batch, num_classes]`."""
        logits: Tensor = self.head(self.pool(self.features(x.unsqueeze(1))))
        return logits
