"""Callbacks of generators of notes: what `predict` writes, the report of a test, and figures for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from musicgen_cls import plots
from musicgen_cls.audio.io import to_pcm
from musicgen_cls.callbacks.generations import GenerationWriter
from musicgen_cls.callbacks.report import describe_test, test_folder
from musicgen_cls.datamodules.notes import NoteWindows
from musicgen_cls.errors import counted
from musicgen_cls.files import as_path, check_writable, writing
from musicgen_cls.formats.generations import Piece
from musicgen_cls.metrics.form import bars_that_return
from musicgen_cls.metrics.intervals import student
from musicgen_cls.models.notes.fields import SIZES
from musicgen_cls.notes.joined import sound_of
from musicgen_cls.notes.key import find_key, in_scale, key_name
from musicgen_cls.notes.midi import write_midi
from musicgen_cls.notes.render import render
from musicgen_cls.notes.score import Notes, transposed
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
            notes = transposed(piece, batch["back"][row])
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


def write_wav(path: Path, waveform: npt.NDArray[np.float32], sample_rate: int) -> None:
    """Write a recording of 16 bits, under a temporary name first."""
    import soundfile

    with writing(path) as temporary:
        soundfile.write(temporary, to_pcm(waveform), sample_rate, format="WAV", subtype="PCM_16")


def note_facts(notes: Notes) -> dict[str, Any]:
    """Facts about a piece, as plain values: key, tempo, number of notes, share in scale, and how well bars return."""
    key = find_key(notes)
    keyed = notes.copy()
    keyed["key"] = key
    pitched = notes["family"] != 0
    returns = bars_that_return(notes)
    return {
        "key": key_name(key),
        "tempo": int(np.bincount(notes["tempo"]).argmax()),
        "notes": len(notes),
        "in_scale": round(float(in_scale(keyed)[pitched].mean()), 3) if pitched.any() else None,
        "bars_that_return": None if np.isnan(returns) else round(returns, 3),
    }


class ScoreReport(Callback):
    """Prints the cost of a note in bits, by genre and by field, and writes it as `report.json`.

    Args:
        out: the folder; `<checkpoint's name>-test-<source>-<split>` beside the checkpoint if None.
    """

    def __init__(self, out: str | None = None) -> None:
        self.out = out

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print and write, on one process."""
        if not trainer.is_global_zero:
            return
        datamodule = getattr(trainer, "datamodule", None)
        assert isinstance(pl_module, NoteGenerator)
        assert isinstance(datamodule, NoteWindows)
        costs = {datamodule.genres[label]: bits.tolist() for label, bits in pl_module.by_genre().items()}
        mean = np.mean(list(costs.values()), axis=0)
        tracks = len(np.unique(datamodule.windows["test"].track))
        report = describe_test(trainer, datamodule) | {
            "tracks": tracks,
            "bits_a_note": float(mean.sum()),
            "bits_by_genre": {genre: sum(bits) for genre, bits in costs.items()},
            "bits_by_field": dict(zip(SIZES, mean.tolist(), strict=True)),
            "bits_of_pieces": pl_module.piece_bits,
        }
        rows = [[genre, *(f"{value:.2f}" for value in (sum(bits), *bits))] for genre, bits in costs.items()]
        rows.append(["mean of genres", *(f"{value:.2f}" for value in (mean.sum(), *mean))])
        spread = student(pl_module.piece_bits)
        print(
            f"\nTested on {counted(tracks, 'held-out piece')} of {report['source']}, split '{report['split']}': bits a "
            f"note of {type(pl_module.network).__name__}\n",
            as_text(["genre", "all", *SIZES], rows),
            f"\n  mean of pieces {spread.value:.2f} [{spread.low:.2f}, {spread.high:.2f}]\n",
            *(f"  {line}." for line in [*report["grouped"], *report["leaks"]]),
            sep="\n",
        )
        folder = Path(self.out) if self.out else test_folder(trainer, report)
        check_writable(folder, "--out DIR")
        with writing(folder / "report.json") as temporary:
            temporary.write_text(json.dumps(report, indent=2) + "\n")
        print(f"Report:      {folder}")


class ScoreFigures(Callback):
    """Logs a piece of each genre during training: its piano roll, and 10 s of its recording.

    Args:
        every_n_epochs: number of epochs between pieces; the last epoch always has some.
    """

    def __init__(self, every_n_epochs: int = 5) -> None:
        self.every_n_epochs = every_n_epochs

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw every few epochs."""
        if not trainer.sanity_checking and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._draw(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the last epoch."""
        self._draw(trainer, pl_module)

    def _draw(self, trainer: Trainer, pl_module: LightningModule) -> None:
        logger = trainer.logger
        datamodule = getattr(trainer, "datamodule", None)
        if not (trainer.is_global_zero and isinstance(logger, TensorBoardLogger)):
            return
        assert isinstance(pl_module, NoteGenerator)
        assert isinstance(datamodule, NoteWindows)
        board, step = logger.experiment, trainer.global_step
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
