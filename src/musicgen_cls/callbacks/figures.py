"""Figures, sound and texts for TensorBoard."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from musicgen_cls import plots
from musicgen_cls.audio.mel import LogMel
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.metrics.intervals import confusion_matrix
from musicgen_cls.metrics.scores import Scores
from musicgen_cls.tasks.classification import GenreClassifier
from musicgen_cls.tasks.generation import GenreGenerator

_PAGE = 16  # windows on the page of spectrograms
_PLAYED, _PLAYED_S = 4, 10  # number of mistakes with audio, and seconds of each


class EpochFigures(Callback, ABC):
    """Draws for TensorBoard, on one process, every few epochs.

    Args:
        every_n_epochs: number of epochs between drawings; the last epoch is always drawn.
    """

    def __init__(self, every_n_epochs: int = 5) -> None:
        self.every_n_epochs = every_n_epochs

    @abstractmethod
    def draw(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Draw what the last validation (`val`) or test (`test`) found, on `trainer.logger.experiment`."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw every few epochs."""
        if not trainer.sanity_checking and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self.draw_once(trainer, pl_module, "val")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the last epoch."""
        self.draw_once(trainer, pl_module, "val")

    def draw_once(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Draw on one process, if it logs to TensorBoard."""
        if trainer.is_global_zero and isinstance(trainer.logger, TensorBoardLogger):
            self.draw(trainer, pl_module, stage)


class TensorBoardFigures(EpochFigures):
    """Draws confusion matrix, spectrograms and precision-recall curves after validation and test.

    After a test, it also logs audio of the most confident mistakes.

    Args:
        every_n_epochs: number of epochs between drawings, which take about a second; the last epoch is always drawn.
    """

    def __init__(self, every_n_epochs: int = 5) -> None:
        super().__init__(every_n_epochs)
        self._page: dict[str, torch.Tensor] | None = None

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep some windows of the batch."""
        self._keep(batch, batch_idx)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep some windows of the batch."""
        self._keep(batch, batch_idx)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the test."""
        self.draw_once(trainer, pl_module, "test")

    def _keep(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Keep a few windows of each batch, so that the page shows many tracks."""
        if batch_idx == 0:
            self._page = None
        rows = torch.unique(torch.linspace(0, len(batch["y"]) - 1, 4).long())
        new = {name: batch[name][rows.to(batch[name].device)].cpu() for name in ("x", "index")}
        kept = self._page
        if kept is None:
            self._page = new
        elif len(kept["index"]) < _PAGE:
            self._page = {name: torch.cat([kept[name], new[name]])[:_PAGE] for name in new}

    def draw(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Draw confusion matrix, curves and spectrograms."""
        datamodule = getattr(trainer, "datamodule", None)
        assert isinstance(trainer.logger, TensorBoardLogger)
        assert isinstance(pl_module, GenreClassifier)
        assert isinstance(datamodule, GenreDataModule)
        scores = pl_module.results.get(stage)
        if scores is None or not np.isfinite(scores.log_probs).all():  # training diverged
            return
        genres, step, board = datamodule.genres, trainer.global_step, trainer.logger.experiment
        confusion = confusion_matrix(scores.track_y, scores.track_pred, len(genres))
        board.add_figure(f"{stage}/confusion", plots.confusion_matrix(confusion, genres, "tracks"), step)
        board.add_figure(f"{stage}/precision_recall", plots.pr_curves(scores.y, np.exp(scores.log_probs), genres), step)
        for label, genre in enumerate(genres):
            board.add_pr_curve(f"{stage}/{genre}", scores.y == label, np.exp(scores.log_probs[:, label]), step)
        if stage == "test":
            _add_sounds(board, step, scores, datamodule)
        page = None if self._page is None else spectrograms(self._page, scores, datamodule)
        if page is not None:
            board.add_figure(f"{stage}/spectrograms", page, step)


def _add_sounds(board: Any, step: int, scores: Scores, datamodule: GenreDataModule) -> None:
    """Log audio of the most confident mistakes, if the data has audio."""
    assert datamodule.collection is not None
    genres = datamodule.genres
    for place in scores.mistakes[:_PLAYED]:
        row = int(scores.track_ids[place])
        sound = datamodule.first_seconds(row, _PLAYED_S)
        if sound is not None:
            track = datamodule.collection.tracks[row].id
            name = f"{track}: {genres[scores.track_y[place]]}, predicted {genres[scores.track_pred[place]]}"
            board.add_audio(f"test/{name}", torch.from_numpy(sound), step, datamodule.sample_rate)


def spectrograms(page: dict[str, torch.Tensor], scores: Scores, datamodule: GenreDataModule) -> Any:
    """A page of mel spectrograms, each with its true and predicted genre; None if the data has no spectrograms.

    Args:
        page: `x` `[n, n_mels, frames]`, the input of the network, and `index` `[n]`, the windows' numbers in `scores`.
        scores: the predictions.
        datamodule: converts the input back to dB, and has names and sizes.
    """
    with torch.no_grad():
        levels = datamodule.mel_levels(page["x"])
    if levels is None:
        return None
    rows = np.searchsorted(scores.index, page["index"].numpy())
    genres, y, pred = datamodule.genres, scores.y[rows], scores.pred[rows]
    titles = [genres[t] if t == p else f"{genres[t]}, predicted {genres[p]}" for t, p in zip(y, pred, strict=True)]
    decibels, centres_hz = levels
    return plots.spectrogram_page(decibels.numpy(), titles, list(y == pred), datamodule.window_seconds, centres_hz)


class ContinuationFigures(EpochFigures):
    """Logs two samples of a generator during training; their names have genre, track and time of the prompt.

    Each sample has a figure of the waveform, with the prompt and both the real and the generated continuation, and a
    continuation of the task's `seconds` as audio and as mel spectrogram.

    Args:
        every_n_epochs: number of epochs between samples; the last epoch always has some.
    """

    def __init__(self, every_n_epochs: int = 5) -> None:
        super().__init__(every_n_epochs)
        self._shown: dict[str, torch.Tensor] = {}

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first and the last window of the first batch."""
        if batch_idx == 0:
            rows = [0, -1] if len(batch["genre"]) > 1 else [0]
            self._shown = {name: batch[name][rows] for name in ("context", "target", "genre", "track", "start_s")}

    def draw(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Log the samples, if there was a validation."""
        shown = self._shown
        datamodule = getattr(trainer, "datamodule", None)
        if not shown:
            return
        assert isinstance(trainer.logger, TensorBoardLogger)
        assert isinstance(pl_module, GenreGenerator)
        assert isinstance(datamodule, GenreDataModule)
        assert datamodule.collection is not None
        assert datamodule.sample_rate is not None
        shown = {name: values.to(pl_module.device) for name, values in shown.items()}
        training = pl_module.network.training
        pl_module.network.eval()
        pieces = list(pl_module.continuations(shown["context"], shown["genre"], [0, 1][: len(shown["genre"])]))
        pl_module.network.train(training)
        generated = torch.cat(pieces, dim=1).float().cpu()  # [shown, samples]
        rate, board, step = datamodule.sample_rate, trainer.logger.experiment, trainer.global_step
        mel = LogMel(rate, 1024, 256, 80)
        prompt_samples = shown["context"].shape[1]
        for row, label in enumerate(shown["genre"].tolist()):
            track = datamodule.collection.tracks[int(shown["track"][row])].id
            name = f"sample {row + 1}, {datamodule.genres[label]}, prompt {track} from {shown['start_s'][row]:.1f} s"
            true = torch.cat([shown["context"], shown["target"]], dim=1)[row].float().cpu().numpy()
            board.add_audio(f"continuation/{name}", generated[row], step, rate)
            decibels = mel(generated[row][None])[0].numpy()
            seconds = generated.shape[1] / rate
            title = f"{name}, epoch {trainer.current_epoch}"
            figure = plots.mel_spectrogram(decibels, seconds, mel.centres_hz, title, prompt_samples / rate)
            board.add_figure(f"continuation/{name}", figure, step)
            figure = plots.waveform(generated[row, : len(true)].numpy(), rate, prompt_samples / rate, title, true)
            board.add_figure(f"waveform/{name}", figure, step)
