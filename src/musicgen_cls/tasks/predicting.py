"""Calibrated probabilities of a network, without Lightning."""

from __future__ import annotations

from torch import Tensor, nn

from musicgen_cls.tasks.calibration import Calibration

NOT_FINITE = (
    "the network's predictions are not finite, since its training diverged; train it with a smaller --model.lr or with "
    "--trainer.precision 32-true, or use another checkpoint"
)


class Predicting(nn.Module):
    """A module with a network and its calibration, which predicts."""

    network: nn.Module
    calibration: Calibration

    def forward(self, x: Tensor) -> Tensor:
        """Network input to logits `[batch, num_classes]`, in the precision of the weights, not calibrated."""
        logits: Tensor = self.network(x.to(self.calibration.bias.dtype))
        return logits

    def probabilities(self, x: Tensor) -> Tensor:
        """Network input to calibrated class probabilities `[batch, num_classes]`, float32."""
        return self.calibration.probabilities(self(x))

    def step_probabilities(self, x: Tensor) -> Tensor:
        """Calibrated probabilities at each step, `[batch, steps, num_classes]`; without steps, of whole windows."""
        if hasattr(self.network, "step_probabilities"):
            return self.calibration.recalibrated(self.network.step_probabilities(x))  # type: ignore[operator]
        return self.probabilities(x)[:, None]


class Predictor(Predicting):
    """A network with its calibration.

    Args:
        network: the network.
        num_classes: number of genres.
    """

    def __init__(self, network: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.network, self.calibration = network, Calibration(num_classes)
