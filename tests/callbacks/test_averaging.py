"""Averaged weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

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


@pytest.mark.parametrize("steps", [0, 100])
def test_whole_numbers_are_those_of_the_last_step(steps: int) -> None:
    """Batch norm counts batches, and `LinearProbe` has the number of the chosen classifier."""
    assert corrected(0.9)(torch.tensor(4), torch.tensor(7), steps) == 7


class Chooses(Counter):
    """Its validation chooses a number."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("chosen", torch.tensor(0))

    def validation_step(self, batch: int, index: int) -> None:
        """Something to validate."""

    def on_validation_epoch_end(self) -> None:
        self.chosen.fill_(self.current_epoch + 5)


def test_what_the_validation_chose_is_saved_with_the_average(tmp_path: Path) -> None:
    kept = ModelCheckpoint(tmp_path, save_top_k=-1, filename="{epoch}")
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    trainer = Trainer(max_epochs=3, accelerator="cpu", callbacks=[MovingAverage(0.99), kept], **quiet)
    trainer.fit(Chooses(), list(range(2)), [0])
    chosen = [int(torch.load(tmp_path / f"epoch={n}.ckpt")["state_dict"]["chosen"]) for n in range(3)]
    assert chosen == [5, 6, 7]


@pytest.mark.parametrize("decay", [1.0, -0.1, float("nan")])
def test_a_decay_out_of_range(decay: float) -> None:
    with pytest.raises(UsageError, match="must be at least 0, and below 1"):
        MovingAverage(decay)
