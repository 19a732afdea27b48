"""Writes what `predict` generates into a folder: recordings, figures, a line of JSON for each, and a page."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from musicgen_cls import plots
from musicgen_cls.audio.mel import LogMel
from musicgen_cls.checkpoints import Checkpoint
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.errors import UsageError, counted
from musicgen_cls.files import check_writable, safe_name, writing
from musicgen_cls.formats.generations import (
    LINES,
    SETTINGS,
    Continuation,
    read_lines,
    tidy,
    training_warning,
    was_stopped,
)
from musicgen_cls.metrics.by_second import loudness
from musicgen_cls.pages.generated import write_generated_page
from musicgen_cls.tables import as_text

_DRAWN_SECONDS = 60


class GenerationWriter(Callback):
    """Writes generated music; a stopped generation with the same settings is completed.

    Each recording is `<out>/<genre>/<genre>.NNNNN.wav` (16 bit, mono; `Folder` reads it), with figures beside it. When
    these are complete, `<out>/continuations.jsonl` gets a line. If the folder has other files, a folder with a number
    in its name is used instead.

    Args:
        out: the folder.
        overwrite: write into the folder even if it has files, and replace files of the same names.
        checkpoint: checkpoint of the generator; it has the length of the training.
        figure_format: format of the figures.
    """

    KIND: ClassVar[type[Continuation]] = Continuation
    """The kind of the lines."""

    def __init__(
        self,
        out: str = "generated",
        overwrite: bool = False,
        checkpoint: Checkpoint | None = None,
        figure_format: plots.FigureFormat = "png",
    ) -> None:
        self.requested = Path(out)
        self.overwrite, self.figure_format = overwrite, figure_format
        self.trained = {"steps": checkpoint.steps, "epochs": checkpoint.epoch + 1} if checkpoint else {}
        self.out = self.requested

    @abstractmethod
    def settings(self, datamodule: Any, task: Any) -> dict[str, Any]:
        """The settings of a generation beside its checkpoint; equal settings give equal files."""

    @abstractmethod
    def write(self, outputs: Any, batch: dict[str, Any], places: list[Path], task: Any) -> list[dict[str, Any]]:
        """Generate a batch, and write its recordings.

        Args:
            outputs: what `predict_step` returned.
            batch: with `position` `[batch]`.
            places: names of the recordings in the folder.
            task: the generator.

        Returns:
            What the line about each recording has: `prompt`, `prompt_id`, `context_seconds`, and more.
        """

    @abstractmethod
    def genre_labels(self, batch: dict[str, Any]) -> list[int]:
        """The label of each recording of a batch."""

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the folder, and check that it can be written."""
        if not getattr(pl_module.network, "CAN_TRAIN", True):  # the length of its training is not ours to tell
            self.trained = {}
        seed = {"seed": int(os.environ.get("PL_GLOBAL_SEED", 0))}
        self._settings = _checkpoint_of(trainer) | self.settings(_datamodule(trainer), pl_module) | seed
        self._id = hashlib.sha256(json.dumps(self._settings).encode()).hexdigest()[:12]
        folder = self.requested
        if trainer.is_global_zero:
            folder = folder if self.overwrite else next(f for f in _numbered(self.requested) if self._may_use(f))
            check_writable(folder, "--out DIR")
            folder.mkdir(parents=True, exist_ok=True)
            _announce(_datamodule(trainer).prompts, pl_module, folder)
            if self.trained and (warning := training_warning(self.trained["steps"], self.KIND.LEAST_STEPS)):
                print(f"Warning:     {warning}")
            tidy(folder)  # else the first new line is appended to a line that a kill cut short
        self.out = trainer.strategy.broadcast(folder)
        resumed = self._lines() if was_stopped(self.out, self._settings) else []
        self._done = {line.position for line in resumed if (self.out / line.file).is_file()}
        if trainer.is_global_zero:
            if self.out != self.requested:
                print(f"{self.requested} has other files (--overwrite true writes into it); using {self.out}")
            if self._done:
                print(f"{self.out}: {counted(len(self._done), 'recording')} already written")
            self._write_settings(finished=False)

    def on_predict_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Remove from a batch the recordings that an earlier run wrote."""
        rows = [row for row, position in enumerate(batch["position"].tolist()) if position not in self._done]
        for name, values in batch.items():
            batch[name] = values[rows] if isinstance(values, Tensor) else [values[row] for row in rows]

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Generate a batch of recordings, and write it."""
        genres = _datamodule(trainer).genres
        names = [safe_name(genre) for genre in genres]
        labels = self.genre_labels(batch)
        places = [
            Path(names[label]) / f"{names[label]}.{position:05d}.wav"
            for label, position in zip(labels, batch["position"].tolist(), strict=True)
        ]
        if not places:
            return
        try:
            for place in places:
                (self.out / place).parent.mkdir(parents=True, exist_ok=True)
            facts = self.write(outputs, batch, places, pl_module)
            for place, label, own, position in zip(places, labels, facts, batch["position"].tolist(), strict=True):
                self._describe({"file": place.as_posix(), "genre": genres[label], **own}, position)
        except OSError as error:
            raise self._unwritable(error) from error

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the recordings, and write the page."""
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            tidy(self.out)
            self._write_settings(finished=True)
            lines = sorted(self._lines(), key=lambda line: line.position)
            print(self.table(lines))
            print(f"Written:     {self.out} (recordings, figures, {LINES})")
            try:
                page = write_generated_page(self.out, lines, self._settings)
            except OSError as error:
                raise self._unwritable(error) from error
            print(f"Listen:      {page}")

    def _unwritable(self, error: OSError) -> UsageError:
        return UsageError(
            f"{self.out}: cannot be written ({error.strerror}); finished recordings are complete; free space, and the "
            "same command resumes"
        )

    def _lines(self) -> list[Continuation]:
        """The finished recordings of this generation."""
        return [line for line in read_lines(self.out, self.KIND) if line.generation == self._id]

    def _may_use(self, folder: Path) -> bool:
        return not folder.is_dir() or not any(folder.iterdir()) or was_stopped(folder, self._settings)

    def _write_settings(self, finished: bool) -> None:
        with writing(self.out / SETTINGS) as temporary:
            temporary.write_text(json.dumps({**self._settings, "finished": finished}, indent=1) + "\n")

    def table(self, lines: Sequence[Any]) -> str:
        """A table of the recordings for a terminal."""
        return format_lines(lines)

    def draw(self, path: Path, waveform: npt.NDArray[np.float32], rate: int, prompt_s: float, title: str) -> None:
        """Write the figures beside a recording.

        Args:
            path: the recording.
            waveform: its first minute, `[samples]`.
            rate: Hz.
            prompt_s: length of the prompt, s.
            title: of the figures.
        """
        mel = LogMel(rate, 1024, 256, 80)
        with torch.inference_mode():
            decibels = mel(torch.from_numpy(waveform)[None])[0].numpy()
        figure = plots.mel_spectrogram(decibels, len(waveform) / rate, mel.centres_hz, title, prompt_s)
        plots.save(figure, path.with_suffix(f".mel.{self.figure_format}"))

    def _describe(self, line: dict[str, Any], position: int) -> None:
        """Draw the figures of a finished recording, and write its line."""
        path = self.out / line["file"]
        waveform, rate, seconds, by_second = _first_minute(path)
        title = f"{path.stem}, after {Path(line['prompt']).name}" if line["prompt"] else path.stem
        self.draw(path, waveform, rate, line["context_seconds"], title)
        line |= {
            "position": position,
            "generation": self._id,
            "checkpoint": self._settings["checkpoint"],
            **self.trained,
            "sample_rate": rate,
            "seconds": seconds,
            "loudness_db": by_second,
        }
        with (self.out / LINES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _checkpoint_of(trainer: Trainer) -> dict[str, Any]:
    """The checkpoint of a generation, and when it was written."""
    checkpoint = Path(str(trainer.ckpt_path))
    return {"checkpoint": str(checkpoint), "checkpoint_mtime_ns": checkpoint.stat().st_mtime_ns}


def format_lines(lines: Sequence[Continuation]) -> str:
    """A table for a terminal: file, loudness of the first, middle and last second, and prompt."""
    last = min(len(line.loudness_db) for line in lines)
    seconds = sorted({0, last // 2, last - 1})
    head = ["file", *(f"second {second + 1}" for second in seconds), "continues"]
    rows = [[line.file, *(f"{line.loudness_db[second]:.1f} dB" for second in seconds), line.prompt] for line in lines]
    return f"\n{as_text(head, rows, left=['continues'])}\n"


def _announce(count: int, task: Any, folder: Path) -> None:
    """Print how much audio the command generates.

    Raises:
        UsageError: the audio does not fit on the disk.
    """
    hours, size = count * task.seconds / 3600, count * task.seconds * task.sample_rate * 2
    amount = (
        f"{counted(count, 'recording')} of {task.seconds:g} s: {hours * 60:.1f} minutes of audio, {size / 1e6:,.1f} MB"
    )
    if size > (free := shutil.disk_usage(folder).free):
        raise UsageError(
            f"--model.seconds {task.seconds:g}: {amount}, but only {free / 1e6:,.0f} MB are free in {folder}; lower "
            "--model.seconds or --data.samples_per_prompt"
        )
    print(f"Generating:  {amount}")


def _datamodule(trainer: Trainer) -> GenreDataModule:
    datamodule = getattr(trainer, "datamodule", None)
    assert isinstance(datamodule, GenreDataModule)
    return datamodule


def _numbered(folder: Path) -> Iterator[Path]:
    """A folder, and folders with numbers: generated, generated-1, generated-2 and so on."""
    yield folder
    for number in count(1):
        yield folder.with_name(f"{folder.name}-{number}")


def _first_minute(path: Path) -> tuple[npt.NDArray[np.float32], int, float, list[float]]:
    """The first minute of a wav `[samples]`, its sample rate, Hz, its length, s, and its loudness by second, dB."""
    import soundfile

    with soundfile.SoundFile(path) as file:
        rate, seconds = file.samplerate, file.frames / file.samplerate
        first, levels = [], []
        for second, block in enumerate(file.blocks(rate, dtype="float32")):
            levels.append(round(loudness(block), 2))
            if second < _DRAWN_SECONDS:
                first.append(block)
    return np.concatenate(first), rate, seconds, levels
