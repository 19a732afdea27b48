"""Callbacks of generators of notes: what `predict` writes, the report of a test, and figures for TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from musicgen_cls import plots
from musicgen_cls.audio.io import write_wav
from musicgen_cls.callbacks.figures import EpochFigures
from musicgen_cls.callbacks.generations import GenerationWriter
from musicgen_cls.callbacks.report import JsonReport
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.datamodules.notes import NoteWindows
from musicgen_cls.errors import counted
from musicgen_cls.files import as_path
from musicgen_cls.formats.generations import Piece
from musicgen_cls.metrics.form import bars_that_return
from musicgen_cls.metrics.harmony import harmony
from musicgen_cls.metrics.intervals import student
from musicgen_cls.models.notes.fields import SIZES
from musicgen_cls.notes.facts import facts_of
from musicgen_cls.notes.joined import sound_of
from musicgen_cls.notes.key import find_key, key_name
from musicgen_cls.notes.midi import write_midi
from musicgen_cls.notes.render import render
from musicgen_cls.notes.score import Notes, moved_back
from musicgen_cls.notes.soundfont import SoundFont
from musicgen_cls.tables import as_text
from musicgen_cls.tasks.notes import NoteGenerator


class ScoreWriter(GenerationWriter):
    """Writes generated pieces: a MIDI file, a recording, a piano roll and a mel spectrogram for each.

    The arguments are those of `GenerationWriter`, and `soundfont`: a file .sf2 whose instruments play the pieces.

    Raises:
        UsageError: the file is no SoundFont, or tinysoundfont is not installed.
    """

    KIND = Piece

    def __init__(self, *arguments: Any, soundfont: str | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.soundfont = soundfont
        self.render = render if soundfont is None else SoundFont(as_path(soundfont, "--soundfont")).render

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the prompts, and choose the folder."""
        datamodule = getattr(trainer, "datamodule", None)
        assert isinstance(pl_module, NoteGenerator)
        assert isinstance(datamodule, NoteWindows)
        for batch in datamodule.predict_dataloader():
            pl_module.check_prompts(batch["wanted"])
        super().on_predict_start(trainer, pl_module)

    def settings(self, datamodule: NoteWindows, task: NoteGenerator) -> dict[str, Any]:
        """What the pieces depend on."""
        return {
            "files": datamodule.files,
            "genre": datamodule.genre,
            "samples_per_prompt": datamodule.samples_per_prompt,
            "prompt_bars": datamodule.prompt_bars,
            "seconds": task.seconds,
            "bars": task.bars,
            "temperature": task.sampling.temperature,
            "top_p": task.sampling.top_p,
            "guidance": task.sampling.guidance,
            "tempo": task.tempo,
            "instruments": task.instruments,
            "density": task.density,
            "soundfont": self.soundfont,
        }

    def genre_labels(self, batch: dict[str, Any]) -> list[int]:
        """The label of each piece of a batch."""
        return [wanted.genre for wanted in batch["wanted"]]

    def write(
        self, outputs: Any, batch: dict[str, Any], places: list[Path], task: NoteGenerator
    ) -> list[dict[str, Any]]:
        """Generate the pieces of a batch, and write them."""
        from tqdm import tqdm

        with tqdm(total=1.0, desc=counted(len(places), "piece"), bar_format=_BAR, leave=False) as bar:
            pieces = task.pieces(batch["wanted"], batch["position"].tolist(), lambda share: bar.update(share - bar.n))
        self._pieces: dict[Path, tuple[Notes, float]] = {}
        facts = []
        for row, (place, piece) in enumerate(zip(places, pieces, strict=True)):
            notes = moved_back(piece, batch["back"][row])
            prompt = len(batch["wanted"][row].prompt)
            waveform, prompt_s, prompt_s_of_score = sound_of(
                notes, prompt, batch["recording"][row], self.render, task.sample_rate
            )
            self._pieces[self.out / place] = notes, prompt_s_of_score
            write_midi(notes, (self.out / place).with_suffix(".mid"))
            write_wav(self.out / place, waveform, task.sample_rate)
            facts.append(
                {"prompt": batch["file"][row], "prompt_id": batch["file"][row], "context_seconds": prompt_s,
                 "score": place.with_suffix(".mid").as_posix(), **note_facts(notes)}
            )  # fmt: skip
        return facts

    def table(self, lines: Sequence[Piece]) -> str:
        """A table of the pieces for a terminal."""
        head = ["file", "key", "tempo", "notes", "in scale", "bars that return", "continues"]
        rows = [
            [line.file, line.key, f"{line.tempo}", f"{line.notes}", _share(line.in_scale),
             _share(line.bars_that_return), Path(line.prompt).name]
            for line in lines
        ]  # fmt: skip
        return f"\n{as_text(head, rows, left=['key', 'continues'])}\n"

    def draw(self, path: Path, waveform: npt.NDArray[np.float32], rate: int, prompt_s: float, title: str) -> None:
        """Write the piano roll and the mel spectrogram."""
        notes, prompt_end = self._pieces[path]
        figure = plots.piano_roll(notes, title, prompt_end or None)
        plots.save(figure, path.with_suffix(f".roll.{self.figure_format}"))
        super().draw(path, waveform, rate, prompt_s, title)


_BAR = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def note_facts(notes: Notes) -> dict[str, Any]:
    """Facts about a piece, as plain values: key, tempo, number of notes, share in scale, and how well bars return."""
    shares = {"in_scale": harmony(notes).in_scale, "bars_that_return": bars_that_return(notes)}
    return {
        "key": key_name(find_key(notes)),
        "tempo": facts_of(notes).tempo,
        "notes": len(notes),
        **{name: None if math.isnan(value) else round(value, 3) for name, value in shares.items()},
    }


class ScoreReport(JsonReport):
    """Prints the cost of a note in bits, by genre and by field, and writes it as `report.json`."""

    def describe(self, report: dict[str, Any], task: NoteGenerator, datamodule: GenreDataModule) -> str:
        """The costs as text; they are added to the report."""
        costs = {datamodule.genres[label]: bits.tolist() for label, bits in task.by_genre().items()}
        mean = np.mean(list(costs.values()), axis=0)
        report |= {
            "tracks": len(task.piece_bits),
            "bits_a_note": float(mean.sum()),
            "bits_by_genre": {genre: sum(bits) for genre, bits in costs.items()},
            "bits_by_field": dict(zip(SIZES, mean.tolist(), strict=True)),
            "bits_of_pieces": task.piece_bits,
        }
        rows = [[genre, *(f"{value:.2f}" for value in (sum(bits), *bits))] for genre, bits in costs.items()]
        rows.append(["mean of genres", *(f"{value:.2f}" for value in (mean.sum(), *mean))])
        spread = student(task.piece_bits)
        return (
            f"Tested on {counted(report['tracks'], 'held-out piece')} of {report['source']}, split "
            f"'{report['split']}': bits a note of {type(task.network).__name__}\n\n"
            f"{as_text(['genre', 'all', *SIZES], rows)}\n\n"
            f"  mean of pieces {spread.value:.2f} [{spread.low:.2f}, {spread.high:.2f}]\n"
        )


class ScoreFigures(EpochFigures):
    """Logs a piece of each genre during training: its piano roll, and 10 s of its recording.

    Args:
        every_n_epochs: number of epochs between pieces; the last epoch always has some.
    """

    def draw(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Log the cost of a note by genre, and the pieces."""
        datamodule = getattr(trainer, "datamodule", None)
        assert isinstance(pl_module, NoteGenerator)
        assert isinstance(datamodule, NoteWindows)
        assert isinstance(trainer.logger, TensorBoardLogger)
        board, step = trainer.logger.experiment, trainer.global_step
        for label, bits in pl_module.by_genre().items():
            board.add_scalar(f"bits/{datamodule.genres[label]}", float(bits.sum()), step)
        wanted = datamodule.wanted_of_each_genre()
        with torch.random.fork_rng(devices=[]):
            pieces = pl_module.pieces(wanted, list(range(len(wanted))), seconds=_PLAYED_S)
        for genre, notes in zip(datamodule.genres, pieces, strict=True):
            title = f"{genre}, epoch {trainer.current_epoch}"
            board.add_figure(f"piece/{genre}", plots.piano_roll(notes, title), step)
            sound = torch.from_numpy(render(notes, pl_module.sample_rate, _PLAYED_S))
            board.add_audio(f"piece/{genre}", sound, step, pl_module.sample_rate)


_PLAYED_S = 10.0
