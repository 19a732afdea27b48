"""Dense layers on a row of features."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from musicgen_cls.models.classifiers.blocks import check_sizes


class FeatureMLP(nn.Module):
    """Dense layers with ReLU, dropout after each, and the output layer.

    After Tsilifonis, Charitos and Vaios, "Music Generation and Classification", slides "Using CNN": 512, 256, 128, 64,
    32 units, dropout 0.2. The slides call this network a CNN.

    Args:
        num_classes: number of genres.
        features: columns of a row.
        hidden: units of each layer.
        dropout: probability of dropping an output of a layer in training.
    """

    def __init__(
        self,
        num_classes: int,
        features: int = 58,
        hidden: Sequence[int] = (512, 256, 128, 64, 32),
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes, features=features, **{f"hidden[{i}]": n for i, n in enumerate(hidden)})
        layers: list[nn.Module] = []
        size = features
        for units in hidden:
            layers += [nn.Linear(size, units), nn.ReLU(inplace=True), nn.Dropout(dropout)]
            size = units
        self.layers = nn.Sequential(*layers, nn.Linear(size, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Rows `[batch, features]` to logits `[batch, num_classes]`."""
        logits: Tensor = self.layers(x)
        return logits
