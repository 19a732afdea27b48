"""From logits to calibrated probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from musicgen_cls.metrics.calibration import Fit


class Calibration(nn.Module):
    """Turns logits into log-probabilities: log softmax(logits / temperature + bias).

    A new one changes nothing: the temperature is 1, and the bias is 0. So does a checkpoint that has none of both.

    Args:
        num_classes: number of genres.
    """

    temperature: Tensor
    bias: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("bias", torch.zeros(num_classes))
        self.register_load_state_dict_pre_hook(_completed)  # type: ignore[no-untyped-call]

    def forward(self, logits: Tensor) -> Tensor:
        """Log-probabilities from logits, or from logarithms of uncalibrated probabilities, `[..., num_classes]`."""
        return functional.log_softmax(self.scaled(logits), dim=-1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities, from what `forward` takes."""
        return functional.softmax(self.scaled(logits), dim=-1)

    def scaled(self, logits: Tensor) -> Tensor:
        """Calibrated logits, float32."""
        return logits.float() / self.temperature.float() + self.bias.float()

    def recalibrated(self, probabilities: Tensor) -> Tensor:
        """Probabilities from uncalibrated probabilities; the same ones, bit for bit, if nothing is calibrated."""
        return self.probabilities(probabilities.log()) if self.changes else probabilities

    @property
    def changes(self) -> bool:
        """Whether the temperature is not 1, or the bias not 0."""
        return bool(self.temperature != 1 or self.bias.any())

    def set(self, fit: Fit) -> None:
        """Take a fitted temperature and bias."""
        self.temperature.fill_(fit.temperature)
        self.bias.copy_(torch.from_numpy(fit.bias))

    def reset(self) -> None:
        """Change nothing from now on."""
        self.temperature.fill_(1)
        self.bias.zero_()

    def facts(self) -> dict[str, Any]:
        """The temperature and the bias as plain values, for reports and model cards."""
        return {"temperature": float(self.temperature), "bias": self.bias.tolist()}


def _completed(module: Calibration, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Add what checkpoints of earlier versions have not: a calibration that changes nothing."""
    fresh: Mapping[str, Tensor] = Calibration(len(module.bias)).state_dict()
    for name, value in fresh.items():
        state.setdefault(prefix + name, value)
