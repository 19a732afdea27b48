"""Predicts files with Lightning's trainer: several devices, options of the trainer."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.files import alone
from musicgen_cls.metrics.threshold import THRESHOLD
from musicgen_cls.predictions import JOURNAL, Predictions, Row, resuming_line, row_of
from musicgen_cls.tasks.timeline import Timeline


class PredictionWriter(Callback):
    """Collects the windows of each file, and writes and prints the results; see `Predictions`.

    Args:
        out: folder for the results; it is created if it does not exist.
        threshold: the network is unsure of a file whose most probable genre has a lower probability; 0 turns it off.
    """

    def __init__(self, out: str = "predictions", threshold: float = THRESHOLD) -> None:
        self.results = Predictions(out, threshold)
        self.rows: list[Row] = []
        """The predictions, once all are written."""
        self._lock = ExitStack()

    def resume(self, datamodule: GenreDataModule, checkpoint: Path) -> None:
        """Read the journal of a stopped run, so that the datamodule skips the finished files.

        Args:
            datamodule: has the files.
            checkpoint: checkpoint of the network.
        """
        if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            self._lock.enter_context(alone(self.results.out / JOURNAL, self.results.out))
        self.results.resume(checkpoint, datamodule.files)
        datamodule.left_files = self.results.left
        if self.results.done:
            rank_zero_only(print)(resuming_line(self.results))

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the journal; each process has its own."""
        from tqdm import tqdm

        self._windows: dict[str, list[Timeline]] = defaultdict(list)
        self.results.open(trainer.global_rank)
        rank, world = trainer.global_rank, trainer.world_size
        total = len(self.results.left[rank::world])
        off = not any("Progress" in type(callback).__name__ for callback in trainer.callbacks)  # type: ignore[attr-defined]
        self._bar = tqdm(total=total, desc="Predicting", unit="file", disable=off or not trainer.is_global_zero)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Tensor | None,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the probabilities of a batch; after the last batch of a file, write its row."""
        file, datamodule = batch["file"], _datamodule(trainer)
        if outputs is not None:
            windows = Timeline.of_windows(batch["start_s"].cpu(), datamodule.window_seconds, outputs)
            self._windows[file].append(windows)
        if batch["last"]:
            self.results.add(batch["key"], row_of(file, self._windows.pop(file, []), datamodule.genres, batch))
            self._bar.update()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the progress bar and the journal."""
        self.results.close()
        self._lock.close()
        if hasattr(self, "_bar"):
            self._bar.close()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and print the rows of all processes on one, once the others have written their journals."""
        self._bar.close()
        self.results.close()
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            self.rows = self.results.finish(_datamodule(trainer).genres, trainer.world_size)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let other commands write the folder, also if nothing was predicted."""
        self._lock.close()


def _datamodule(trainer: Trainer) -> GenreDataModule:
    datamodule = getattr(trainer, "datamodule", None)
    assert isinstance(datamodule, GenreDataModule)
    return datamodule
