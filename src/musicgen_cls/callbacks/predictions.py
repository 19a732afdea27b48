"""Writes and prints the results of `predict`: a row for each file."""

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
from musicgen_cls.metrics.threshold import THRESHOLD, check_threshold, is_sure
from musicgen_cls.sources.find import skipped_files
from musicgen_cls.tables import as_text, write_csv
from musicgen_cls.tasks.timeline import Timeline

JOURNAL = "predictions.partial.jsonl"


class PredictionWriter(Callback):
    """Collects the windows of each file, writes `predictions.csv` and `predictions.json`, and prints a table.

    The row of each file is written to a journal when the file is finished. A stopped run resumes from the journal, if
    the checkpoint is the same; files that have changed are predicted again.

    Args:
        out: folder for the results; it is created if it does not exist.
        threshold: the network is unsure of a file whose most probable genre has a lower probability; 0 turns it off.

    Raises:
        UsageError: the threshold is not from 0 to 1.
    """

    def __init__(self, out: str = "predictions", threshold: float = THRESHOLD) -> None:
        self.out = as_path(out, "--out")
        self.threshold = check_threshold(threshold)
        self.rows: list[dict[str, Any]] = []
        """The predictions, once all are written."""
        self._done: dict[str, dict[str, Any]] = {}

    def resume(self, datamodule: GenreDataModule, checkpoint: Path) -> None:
        """Read the journal of a stopped run, so that the datamodule skips the finished files.

        Args:
            datamodule: has the files.
            checkpoint: checkpoint of the network.
        """
        check_writable(self.out, "--out DIR")
        self._run = version_of(checkpoint)
        for journal in self._journals():
            self._done |= finished_rows(journal, self._run)
        datamodule.finished_files = frozenset(self._done)
        if self._done:
            rank_zero_only(print)(
                f"Resuming:    {counted(len(self._done), 'file')} already predicted in {self.out / JOURNAL}"
            )

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the journal; each process has its own."""
        from tqdm import tqdm

        self._windows: dict[str, list[Timeline]] = defaultdict(list)
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
        """Keep the probabilities of a batch; after the last batch of a file, write its row."""
        file = batch["file"]
        if outputs is not None:
            starts = batch["start_s"].double().cpu().numpy()
            end_s = starts + _datamodule(trainer).window_seconds
            self._windows[file].append(Timeline(starts, end_s, outputs.double().cpu().numpy()))
        if not batch["last"]:
            return
        row: dict[str, Any] = {"file": file}
        windows = self._windows.pop(file, [])
        if "error" in batch:
            row |= {"error": batch["error"]}
        else:
            row |= {"seconds": batch["seconds"], **summary(Timeline.joined(windows), _datamodule(trainer).genres)}
        self._files.append(row)
        self._bar.update()
        try:
            self._journal.write(self._line(batch["key"], row))
            self._journal.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the progress bar and the journal."""
        if hasattr(self, "_journal"):
            self._bar.close()
            self._journal.close()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Collect the rows of all processes; write and print them on one."""
        self._bar.close()
        self._journal.close()
        gathered = [self._files]
        if trainer.world_size > 1:
            gathered = [[] for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(gathered, self._files)
        if not trainer.is_global_zero:
            return
        order = {str(path): place for place, path in enumerate(named_files(_datamodule(trainer).files))}
        rows = [with_sure(row, self.threshold) for part in gathered for row in part if row["file"] in order]
        rows.sort(key=lambda row: order[row["file"]])
        good = [row for row in rows if "error" not in row]
        left_out = [row["error"] for row in rows if "error" in row]
        files = _datamodule(trainer).files
        left_out += [str(problem) for problem in skipped_files(files if files is not None else [])]
        if not good:
            self._remove_journals()
            more = f" ({len(left_out)} files, none of them usable)" if len(left_out) > 1 else ""
            raise AudioError(left_out[0] + more)
        try:
            self._write(rows, good, _datamodule(trainer).genres)
        except OSError as error:
            raise self._unwritable(error) from error
        self._remove_journals()
        self.rows = good
        print(format_predictions(good))
        for reason in left_out:
            print(f"left out: {reason}")
        print(f"Written:     {self.out / 'predictions.csv'}, and predictions.json with the timeline of each file")

    def _write(self, rows: list[dict[str, Any]], good: list[dict[str, Any]], genres: list[str]) -> None:
        columns = ["file", "genre", "probability", "seconds", *genres, "sure"]
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
            f"{self.out}: cannot be written ({error.strerror}); free space, and the same command resumes, or give "
            "another folder with --out DIR"
        )


class JournalLine(Struct, kw_only=True):
    """A line of the journal: the prediction for a file, or the reason why there is none.

    `key` is the version of the file, and `run` the version of the checkpoint.
    """

    run: str
    key: str
    row: dict[str, Any]

    def __post_init__(self) -> None:
        names = {"file", "error"} if "error" in self.row else {"file", "seconds", "genre", "probabilities", "timeline"}
        if missing := sorted(names - self.row.keys()):
            raise ValueError(f"row has no {missing[0]}")


def finished_rows(journal: Path, run: str) -> dict[str, dict[str, Any]]:
    """The rows in a journal by the version of their file: the complete lines of one checkpoint."""
    found = [line.value for line in records.lines(journal, JournalLine, sealed=True) if line.value is not None]
    return {line.key: line.row for line in found if line.run == run}


def summary(timeline: Timeline, genres: list[str]) -> dict[str, Any]:
    """The prediction for a file: the mean probability of each genre, the most probable genre, and every window.

    Args:
        timeline: the predictions for the windows of the file.
        genres: names of the classes.
    """
    mean = timeline.mean
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
            for start, p in zip(timeline.start_s, timeline.probabilities, strict=True)
        ],
    }


def with_sure(row: dict[str, Any], threshold: float) -> dict[str, Any]:
    """A row with the field `sure`: whether its genre reaches the threshold. A row of an error stays as it is."""
    if "error" in row:
        return row
    first = {name: row[name] for name in ("file", "seconds", "genre")}
    probability = max(row["probabilities"].values())
    return {**first, "probability": probability, "sure": is_sure(probability, threshold), **row}


def format_predictions(rows: list[dict[str, Any]]) -> str:
    """A table for a terminal: file, length, and the three most probable genres, as `unsure (...)` if it is unsure."""
    table = []
    for row in rows:
        top = sorted(row["probabilities"].items(), key=lambda item: -item[1])[:3]
        genres = "   ".join(f"{genre} {100 * p:.0f} %" for genre, p in top)
        genres = genres if row.get("sure", True) else f"unsure ({genres})"
        minutes, seconds = divmod(round(row["seconds"]), 60)
        table.append([_shortened(row["file"]), f"{minutes}:{seconds:02d}", genres])
    last = "most probable genres"
    return f"\n{as_text(['file', 'length', last], table, left=[last])}\n"


def _shortened(file: str, width: int = 60) -> str:
    return file if len(file) <= width else "..." + file[3 - width :]


def _datamodule(trainer: Trainer) -> GenreDataModule:
    datamodule = getattr(trainer, "datamodule", None)
    assert isinstance(datamodule, GenreDataModule)
    return datamodule
