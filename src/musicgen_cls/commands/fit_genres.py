"""`musiccli fit-genres`: train one network for each genre, one after another, as in the generation study."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from msgspec import Struct
from msgspec.structs import asdict

from musicgen_cls.cli.command_line import option
from musicgen_cls.cli.configs import dumped
from musicgen_cls.cli.lightning import MusicCLI, start
from musicgen_cls.errors import UsageError
from musicgen_cls.files import check_writable, safe_name, writing
from musicgen_cls.formats.records import finite, read
from musicgen_cls.specs import resolve
from musicgen_cls.tables import as_text
from musicgen_cls.tasks.generation import GenreGenerator
from musicgen_cls.tasks.notes import NoteGenerator

FINISHED = "finished.json"


class Finished(Struct, frozen=True):
    """The content of `finished.json` after a training; the loss is None if no epoch was left to train."""

    epochs: int
    minutes: float
    val_loss: float | None


class Settings(MusicCLI):
    """The config of a command line; it creates no objects and runs nothing."""

    def before_instantiate_classes(self) -> None:
        """Do nothing."""

    instantiate_classes = after_instantiate_classes = before_instantiate_classes

    def _run_subcommand(self, subcommand: str) -> None:
        pass


class EpochLine(Callback):
    """A progress bar for the epochs of a genre, with the validation loss, on standard error."""

    def __init__(self, genre: str) -> None:
        self.genre = genre
        self.val_loss: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar at the current epoch."""
        from tqdm import tqdm

        self._bar = tqdm(total=trainer.max_epochs, initial=trainer.current_epoch, desc=self.genre, unit="epoch")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Advance."""
        if "val_loss" in trainer.callback_metrics:  # not where validation is limited or has not run yet
            self.val_loss = float(trainer.callback_metrics["val_loss"])
            self._bar.set_postfix(val_loss=f"{self.val_loss:.4g}", refresh=False)
        self._bar.update()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._bar.close()


def fit_genres(run: str = "genres", fit_options: Sequence[str] = ()) -> None:
    """Train one network for each genre, one after another, in `<save_dir>/<name>/<run>/<genre>/`.

    All other options are options of fit. The same command resumes a stopped run; finished genres are not trained again.
    `--data.genres [a,b]` trains only these genres.

    Args:
        run: name of the folder of the runs.
        fit_options: options of fit.

    Raises:
        UsageError: an option is not allowed for this command.
    """
    name, rest = run, list(fit_options)
    if option(rest, "ckpt_path"):
        raise UsageError("--ckpt_path: fit-genres resumes each genre by itself; leave it out")
    config = start(["fit", *rest], Settings).config["fit"]
    if not issubclass(resolve(config.model.class_path), (GenreGenerator, NoteGenerator)):
        raise UsageError("fit-genres: trains generators; name a config of one, such as --config generator_gru")
    logger = config.trainer.logger
    if not hasattr(logger, "init_args") or "version" not in logger.init_args:
        raise UsageError("--trainer.logger: fit-genres needs a logger with folders; use TensorBoardLogger")
    place = Path(logger.init_args.save_dir) / (logger.init_args.name or "lightning_logs") / name
    check_writable(place, "--trainer.logger.save_dir")
    genres = _genres(config)
    for genre in genres:
        _fit(genre, place / safe_name(genre), f"{name}/{safe_name(genre)}", rest)
    rows = []
    for genre in genres:
        folder = place / safe_name(genre)
        row = _finished(folder)
        loss = "-" if row.val_loss is None else f"{row.val_loss:.5g}"
        rows.append([genre, str(row.epochs), loss, f"{row.minutes:.1f}", str(folder / "checkpoints" / "best.ckpt")])
    print(f"\n{as_text(['genre', 'epochs', 'val loss', 'minutes', 'checkpoint'], rows, left=['checkpoint'])}")


def _fit(genre: str, folder: Path, version: str, args: list[str]) -> None:
    """Train one genre, unless it is finished; the output of `fit` goes to a file."""
    if (folder / FINISHED).exists():
        _finished(folder)  # a damaged file is reported now, not after hours
        print(f"{genre}: already finished, in {folder}", file=sys.stderr)
        return
    folder.mkdir(parents=True, exist_ok=True)
    ours = [f"--data.genres={dumped([genre])}", f"--trainer.logger.version={version}"]
    ours += ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    if (folder / "checkpoints" / "last.ckpt").is_file():
        ours += ["--ckpt_path=last"]
    line, start_s = EpochLine(genre), time.monotonic()
    with (folder / "fit.log").open("a", encoding="utf-8") as log, redirect_stdout(log):
        cli = start(["fit", *args, *ours], more_callbacks=[line])
    row = Finished(cli.trainer.current_epoch, (time.monotonic() - start_s) / 60, line.val_loss)
    with writing(folder / FINISHED) as temporary:
        temporary.write_text(json.dumps(finite(asdict(row))) + "\n")


def _finished(folder: Path) -> Finished:
    """The content of `finished.json`; raises `RecordError` if it is damaged."""
    return read(folder / FINISHED, Finished, "delete it, and the same command completes the training of that genre")


def _genres(config: Any) -> list[str]:
    """The genres to train: those in the command line or the config, or else all genres of the source."""
    data = config.data.init_args
    if data.get("genres"):
        return list(data.genres)
    if data.source is None:
        raise UsageError("--data.source: not set; name one, such as --data.source Folder --data.source.root DIR")
    source = resolve(data.source.class_path)(**data.source.get("init_args", {}))
    source.prepare()
    return list(source.genres)
