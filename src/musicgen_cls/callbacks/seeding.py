"""Randomness that does not depend on what the process did before."""

from __future__ import annotations

import os

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class SeedEachEpoch(Callback):
    """Seed torch at the start of each training epoch with the run's seed, the epoch and the process.

    Dropout and augmentation then fall the same way in a resumed run as in one that was never interrupted.
    """

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed."""
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
        torch.manual_seed((seed * 1_000_003 + trainer.current_epoch) * 1_009 + trainer.global_rank)
