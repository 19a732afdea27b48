"""Measures the time of `musiccli fit` in its process: a callback that `speed.py` and `memory.py` name in the config."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from loops import now


class EpochClock(Callback):
    """Windows and batches per second of each training epoch, from its start to the start of its validation.

    Args:
        out: file for the results, a line of JSON for each epoch.
    """

    def __init__(self, out: str) -> None:
        self.out = Path(out)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.windows, self.batches = 0, 0
        self.begin = now()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: dict[str, list[int]], batch_idx: int
    ) -> None:
        """Count."""
        self.windows += len(batch["track"])
        self.batches += 1

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock and write."""
        if trainer.sanity_checking:
            return
        took = now() - self.begin
        with self.out.open("a") as file:
            file.write(json.dumps({"windows": self.windows / took, "batches": self.batches / took}) + "\n")


def clocked(out: Path, unit: str) -> float:
    """The median over the epochs, without the first; removes the file."""
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    out.unlink()
    return statistics.median(row[unit] for row in rows[1:])
