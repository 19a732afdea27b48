"""What `predict` prints and writes: a row a file."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from msgspec import Struct
from torch import Tensor

from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.datamodules.stream import named_files, own_files, version_of
from musicgen_cls.errors import AudioError, UsageError, counted
from musicgen_cls.files import as_path, check_writable, writing
from musicgen_cls.formats import records
from musicgen_cls.sources.find import passed_by
from musicgen_cls.tables import write_csv

JOURNAL = "predictions.partial.jsonl"


class PredictionWriter(Callback):
    """Gathers the windows of each file, and writes `predictions.csv` and `predictions.json` and prints a table.

    The row of each file goes into a journal as soon as it is known. A run that was stopped is resumed from it: the same
    checkpoint on files that have not changed.

    Args:
        out: folder to write into, made if need be.
    """

    def __init__(self, out: str = "predictions") -> None:
        self.out = as_path(out, "--out")
        self._done: dict[str, dict[str, Any]] = {}

    def resume(self, datamodule: GenreDataModule, checkpoint: Path) -> None:
        """Take up what a stopped run has left, so that the datamodule does not read those files again.

        Args:
            datamodule: with the files.
            checkpoint: the network's.
        """
        check_writable(self.out, "--out DIR")
        self._run = version_of(checkpoint)
        for journal in self._journals():
            self._done |= answered(journal, self._run)
        datamodule.answered = frozenset(self._done)
        if self._done:
            rank_zero_only(print)(
                f"Resuming:    {counted(len(self._done), 'file')} answered already in {self.out / JOURNAL}"
            )

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the journal, one of each process."""
        from tqdm import tqdm

        self._windows: dict[str, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        self._files = list(self._done.values()) if trainer.is_global_zero else []
        name = JOURNAL if trainer.is_global_zero else f"{trainer.global_rank}.{JOURNAL}"
        with writing(self.out / name) as temporary:
            done = self._done.items() if trainer.is_global_zero else ()
            temporary.write_bytes(b"".join(self._line(key, row) for key, row in done))
        self._journal = (self.out / name).open("ab")
        total = len(own_files(_datamodule(trainer).files, self._done, trainer.global_rank, trainer.world_size))
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
        """Keep a batch's probabilities; after a file's last batch, its row."""
        file = batch["file"]
        if outputs is not None:
            self._windows[file].append((batch["start_s"].cpu(), outputs.cpu()))
        if not batch["last"]:
            return
        row: dict[str, Any] = {"file": file}
        windows = self._windows.pop(file, [])
        if "error" in batch:
            row |= {"error": batch["error"]}
        else:
            row |= {"seconds": batch["seconds"], **summary(windows, _datamodule(trainer).genres)}
        self._files.append(row)
        self._bar.update()
        try:
            self._journal.write(self._line(batch["key"], row))
            self._journal.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close bar and journal; both stay as they are."""
        if hasattr(self, "_journal"):
            self._bar.close()
            self._journal.close()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the rows of all processes together; write and print on one."""
        self._bar.close()
        self._journal.close()
        gathered = [self._files]
        if trainer.world_size > 1:
            gathered = [[] for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(gathered, self._files)
        if not trainer.is_global_zero:
            return
        order = {str(path): place for place, path in enumerate(named_files(_datamodule(trainer).files))}
        rows = [row for part in gathered for row in part if row["file"] in order]
        rows.sort(key=lambda row: order[row["file"]])
        good = [row for row in rows if "error" not in row]
        left_out = [row["error"] for row in rows if "error" in row]
        files = _datamodule(trainer).files
        left_out += [str(problem) for problem in passed_by(files if files is not None else [])]
        if not good:
            self._remove_journals()
            more = f" ({len(left_out)} files, none of them usable)" if len(left_out) > 1 else ""
            raise AudioError(left_out[0] + more)
        try:
            self._write(rows, good, _datamodule(trainer).genres)
        except OSError as error:
            raise self._unwritable(error) from error
        self._remove_journals()
        print(format_predictions(good))
        for reason in left_out:
            print(f"left out: {reason}")
        print(f"Written:     {self.out / 'predictions.csv'} and predictions.json (with the timeline of each file)")

    def _write(self, rows: list[dict[str, Any]], good: list[dict[str, Any]], genres: list[str]) -> None:
        columns = ["file", "genre", "probability", "seconds", *genres]
        write_csv(self.out / "predictions.csv", columns, ({**row["probabilities"], **row} for row in good))
        with writing(self.out / "predictions.json") as temporary:
            temporary.write_text(json.dumps(rows, indent=1) + "\n")

    def _line(self, key: str, row: dict[str, Any]) -> bytes:
        return records.seal({"run": self._run, "key": key, "row": row})

    def _journals(self) -> Iterator[Path]:
        yield from sorted(self.out.glob(f"*{JOURNAL}"))

    def _remove_journals(self) -> None:
        for journal in self._journals():
            journal.unlink(missing_ok=True)

    def _unwritable(self, error: OSError) -> UsageError:
        return UsageError(
            f"{self.out}: cannot write there ({error.strerror}); free space, and the same command resumes, or give "
            "another folder with --out DIR"
        )


class Answer(Struct, kw_only=True):
    """A line of the journal: what is predicted for a file, or why nothing is.

    `key` is the version of the file, `run` that of the checkpoint.
    """

    run: str
    key: str
    row: dict[str, Any]

    def __post_init__(self) -> None:
        names = {"file", "error"} if "error" in self.row else {"file", "seconds", "genre", "probabilities", "timeline"}
        if missing := sorted(names - self.row.keys()):
            raise ValueError(f"row has no {missing[0]}")


def answered(journal: Path, run: str) -> dict[str, dict[str, Any]]:
    """The rows in a journal by the version of their file: those of this checkpoint whose lines are whole."""
    found = [line.value for line in records.lines(journal, Answer, sealed=True) if line.value is not None]
    return {answer.key: answer.row for answer in found if answer.run == run}


def summary(windows: list[tuple[Tensor, Tensor]], genres: list[str]) -> dict[str, Any]:
    """What is predicted for a file: mean probability of each genre, the most probable genre, and every window's.

    Args:
        windows: pairs of start times `[batch]`, s, and probabilities `[batch, num_classes]`.
        genres: names of the classes.
    """
    starts = torch.cat([start for start, _ in windows])
    probabilities = torch.cat([p for _, p in windows]).double()
    mean = probabilities.mean(dim=0)
    top = int(mean.argmax())
    return {
        "genre": genres[top],
        "probability": float(mean[top]),
        "probabilities": dict(zip(genres, mean.tolist(), strict=True)),
        "timeline": [
            {
                "start_s": round(float(start), 3),
                "genre": genres[int(p.argmax())],
                "probabilities": [round(value, 4) for value in p.tolist()],
            }
            for start, p in zip(starts, probabilities, strict=True)
        ],
    }


def format_predictions(rows: list[dict[str, Any]]) -> str:
    """A table for a terminal: file, length, and its three most probable genres."""
    names = _shortened([row["file"] for row in rows])
    width = max(len(name) for name in names)
    lines = ["", f"  {'file':<{width}}  {'length':>8}   most probable genres"]
    for name, row in zip(names, rows, strict=True):
        top = sorted(row["probabilities"].items(), key=lambda item: -item[1])[:3]
        genres = "   ".join(f"{genre} {100 * p:.0f} %" for genre, p in top)
        minutes, seconds = divmod(round(row["seconds"]), 60)
        lines.append(f"  {name:<{width}}  {minutes:>5}:{seconds:02d}   {genres}")
    return "\n".join([*lines, ""])


def _shortened(files: list[str], width: int = 60) -> list[str]:
    return [file if len(file) <= width else "..." + file[3 - width :] for file in files]


def _datamodule(trainer: Trainer) -> GenreDataModule:
    datamodule = getattr(trainer, "datamodule", None)
    assert isinstance(datamodule, GenreDataModule)
    return datamodule
