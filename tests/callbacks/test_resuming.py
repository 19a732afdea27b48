"""Early stopping, and going on after it."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

from musicgen_cls.callbacks.resuming import LastingStop


class NeverBetter(LightningModule):
    """Its figure is the same after every epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch: Any, index: int) -> Any:
        return self.layer(batch).sum()

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", torch.tensor(1.0))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def steps(folder: Path, patience: int, ckpt_path: Path | None = None, threshold: float | None = None) -> int:
    data = DataLoader(torch.ones(4, 1), batch_size=2)
    kept = ModelCheckpoint(folder, save_last=True, save_on_train_epoch_end=True, enable_version_counter=False)
    trainer = Trainer(
        max_epochs=9, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[LastingStop("val_loss", patience=patience, stopping_threshold=threshold), kept],
    )  # fmt: skip
    trainer.fit(NeverBetter(), data, data, ckpt_path=ckpt_path)
    return trainer.global_step


def test_what_was_stopped_stays_stopped_unless_patience_grows(tmp_path: Path) -> None:
    assert steps(tmp_path, 2) == 3 * 2  # epochs of two steps: the first, and two that are no better
    assert steps(tmp_path, 2, tmp_path / "last.ckpt") == 3 * 2
    assert steps(tmp_path, 4, tmp_path / "last.ckpt") == 5 * 2


def test_no_patience_is_one_epoch_that_is_no_better(tmp_path: Path) -> None:
    assert steps(tmp_path, 0) == 2 * 2


def test_a_threshold_that_was_reached_stops_again(tmp_path: Path) -> None:
    assert steps(tmp_path, 5, threshold=1.5) == 2
    assert steps(tmp_path, 5, tmp_path / "last.ckpt", threshold=1.5) == 2
    assert steps(tmp_path, 5, tmp_path / "last.ckpt", threshold=0.5) > 2
