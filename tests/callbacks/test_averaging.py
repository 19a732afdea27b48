"""Averaged weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from musicgen_cls.callbacks.averaging import MovingAverage, corrected
from musicgen_cls.errors import UsageError


class Counter(LightningModule):
    """Its weight is the number of steps."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.0))

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        return -self.weight

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.995])
def test_the_mean_of_the_steps_with_decaying_shares(decay: float) -> None:
    model, steps = Counter(), 7
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    Trainer(max_epochs=1, accelerator="cpu", callbacks=[MovingAverage(decay)], **quiet).fit(model, list(range(steps)))
    shares = decay ** np.arange(steps)[::-1]
    assert float(model.weight.detach()) == pytest.approx((shares * np.arange(1, steps + 1)).sum() / shares.sum())


def test_whole_numbers_stay_near() -> None:
    """Batch norm counts batches; its other statistics are real numbers."""
    assert corrected(0.9)(torch.tensor(4), torch.tensor(5), 0) == 5


@pytest.mark.parametrize("decay", [1.0, -0.1, float("nan")])
def test_a_decay_out_of_range(decay: float) -> None:
    with pytest.raises(UsageError, match="must be at least 0, and below 1"):
        MovingAverage(decay)
