"""The results of `predict`: a journal while it runs, then tables, `predictions.csv` and `predictions.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from musicgen_cls.datamodules.stream import named_files, version_of
from musicgen_cls.errors import AudioError, UsageError, counted
from musicgen_cls.files import as_path, check_writable, writing
from musicgen_cls.formats import records
from musicgen_cls.metrics.threshold import THRESHOLD, check_threshold, is_sure
from musicgen_cls.sources.find import skipped_files
from musicgen_cls.tables import as_text, write_csv
from musicgen_cls.tasks.predicting import NOT_FINITE
from musicgen_cls.tasks.timeline import Timeline

JOURNAL = "predictions.partial.jsonl"

Row = dict[str, Any]
"""The prediction for a file, see `summary`, with `file` and `seconds`; or `file` and `error`."""


class Predictions:
    """The folder of the results.

    The row of each file is written to a journal when the file is finished. A stopped run resumes from the journal, if
    the checkpoint is the same; files that have changed are predicted again.

    Args:
        out: the folder; it is created if it does not exist.
        threshold: the network is unsure of a file whose most probable genre has a lower probability; 0 turns it off.

    Raises:
        UsageError: the threshold is not from 0 to 1.
    """

    def __init__(self, out: str = "predictions", threshold: float = THRESHOLD) -> None:
        self.out = as_path(out, "--out")
        self.threshold = check_threshold(threshold)
        self.done: dict[str, Row] = {}
        """The rows of a stopped run, by the version of the file."""

    def resume(self, checkpoint: Path, files: Sequence[str] | str | None) -> None:
        """Read the journals of a stopped run of a checkpoint: the rows of named files that have not changed.

        Args:
            checkpoint: checkpoint of the network.
            files: the names that the user gave.
        """
        check_writable(self.out, "--out DIR")
        self._run, self._named = version_of(checkpoint), files
        self._files = {version_of(path): path for path in named_files(files)}
        for journal in self._journals():
            found = finished_rows(journal, self._run).items()
            self.done |= {key: row | {"file": str(self._files[key])} for key, row in found if key in self._files}

    @property
    def left(self) -> list[tuple[str, Path]]:
        """Version and path of the files that are not predicted yet."""
        return [file for file in self._files.items() if file[0] not in self.done]

    def open(self, rank: int = 0) -> None:
        """Open the journal; each process has its own, and the first one keeps the rows of the stopped run."""
        self.rows = [] if rank else list(self.done.values())
        name = f"{rank}.{JOURNAL}" if rank else JOURNAL
        with writing(self.out / name) as temporary:
            temporary.write_bytes(b"".join(self._line(key, row) for key, row in (() if rank else self.done.items())))
        self._journal = (self.out / name).open("ab")

    def add(self, key: str, row: Row) -> None:
        """Write a row to the journal.

        Args:
            key: version of the file.
            row: its prediction.
        """
        self.rows.append(row)
        try:
            self._journal.write(self._line(key, row))
            self._journal.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Close the journal."""
        if hasattr(self, "_journal"):
            self._journal.close()

    def finish(self, rows: Sequence[Row], genres: list[str]) -> list[Row]:
        """Write and print all rows, remove the journals, and return the rows of files with a prediction.

        Args:
            rows: of all processes.
            genres: names of the classes.

        Raises:
            AudioError: no file has a prediction.
            UsageError: the folder cannot be written.
        """
        order = {str(path): place for place, path in enumerate(self._files.values())}
        rows = sorted(
            (with_sure(row, self.threshold) for row in rows), key=lambda row: order.get(row["file"], len(order))
        )
        good = [row for row in rows if "error" not in row]
        left_out = [row["error"] for row in rows if "error" in row]
        left_out += [str(problem) for problem in skipped_files(self._named or [])]
        if not good:
            self._remove_journals()
            more = f" ({len(left_out)} files, none of them usable)" if len(left_out) > 1 else ""
            raise AudioError(left_out[0] + more)
        try:
            self._write(rows, good, genres)
        except OSError as error:
            raise self._unwritable(error) from error
        self._remove_journals()
        print(format_predictions(good))
        for reason in left_out:
            print(f"left out: {reason}")
        print(f"Written:     {self.out / 'predictions.csv'}, and predictions.json with the timeline of each file")
        return good

    def _write(self, rows: list[Row], good: list[Row], genres: list[str]) -> None:
        columns = ["file", "genre", "probability", "seconds", *genres, "sure"]
        write_csv(self.out / "predictions.csv", columns, ({**row["probabilities"], **row} for row in good))
        with writing(self.out / "predictions.json") as temporary:
            temporary.write_text(json.dumps(rows, indent=1) + "\n")

    def _line(self, key: str, row: Row) -> bytes:
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


def resuming_line(results: Predictions) -> str:
    """What is printed when a stopped run resumes."""
    return f"Resuming:    {counted(len(results.done), 'file')} already predicted in {results.out / JOURNAL}"


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


def finished_rows(journal: Path, run: str) -> dict[str, Row]:
    """The rows in a journal by the version of their file: the complete lines of one checkpoint."""
    found = [line.value for line in records.lines(journal, JournalLine, sealed=True) if line.value is not None]
    return {line.key: line.row for line in found if line.run == run}


def row_of(file: str, windows: Sequence[Timeline], genres: list[str], batch: dict[str, Any]) -> Row:
    """The row of a file.

    Args:
        file: its name.
        windows: the predictions for its windows, batch by batch.
        genres: names of the classes.
        batch: its last batch, with `seconds` or `error`, see `datamodules.stream.batches`.
    """
    if "error" in batch:
        return {"file": file, "error": batch["error"]}
    return {"file": file, "seconds": batch["seconds"], **summary(Timeline.joined(windows), genres)}


def summary(timeline: Timeline, genres: list[str]) -> dict[str, Any]:
    """The prediction for a file: the mean probability of each genre, the most probable genre, and every window.

    Args:
        timeline: the predictions for the windows of the file.
        genres: names of the classes.

    Raises:
        UsageError: the probabilities are not finite.
    """
    mean = timeline.mean
    if not np.isfinite(mean).all():
        raise UsageError(NOT_FINITE)
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
