"""The results of `predict`: a journal while it runs, then tables, `predictions.csv` and `predictions.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from textwrap import indent
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct

from musicgen_cls.datamodules.stream import version_of, versioned_files
from musicgen_cls.errors import AudioError, RecordError, UsageError, counted
from musicgen_cls.files import as_path, check_writable, shown, writing
from musicgen_cls.formats import records
from musicgen_cls.metrics.threshold import THRESHOLD, check_threshold, is_sure
from musicgen_cls.sources.find import skipped_files
from musicgen_cls.tables import as_text, write_csv
from musicgen_cls.tasks.predicting import NOT_FINITE
from musicgen_cls.tasks.timeline import Timeline

JOURNAL = "predictions.partial.jsonl"

Row = dict[str, Any]
"""The prediction for a file, see `summary`, with `file` and `seconds`; or `file` and `error`."""


class _Place(NamedTuple):
    """Where the row of a file is: the journal, and the position of its line, bytes; `error` if it has no prediction."""

    journal: Path
    offset: int
    error: str | None


class Predictions:
    """The folder of the results.

    The row of each file is written to a journal when the file is finished, and is not kept in memory. A stopped run
    resumes from the journal, if the checkpoint is the same. Files that have changed are predicted again, and files that
    could not be used are tried again.

    Args:
        out: the folder; it is created if it does not exist.
        threshold: the network is unsure of a file whose most probable genre has a lower probability; 0 turns it off.

    Raises:
        UsageError: the threshold is not from 0 to 1.
    """

    def __init__(self, out: str = "predictions", threshold: float = THRESHOLD) -> None:
        self.out = as_path(out, "--out")
        self.threshold = check_threshold(threshold)
        self.done: frozenset[str] = frozenset()
        """The versions of the files that a stopped run has predicted."""

    def resume(self, checkpoint: Path, files: Sequence[str] | str | None) -> None:
        """Read the journals of a stopped run of a checkpoint.

        Args:
            checkpoint: checkpoint of the network.
            files: the names that the user gave.
        """
        check_writable(self.out, "--out DIR")
        self._run, self._named = version_of(checkpoint), files
        self._files = dict(versioned_files(files))
        self.done = frozenset(key for key, place in self._places().items() if place.error is None)

    @property
    def left(self) -> list[tuple[str, Path]]:
        """Version and path of the files that are not predicted yet."""
        return [file for file in self._files.items() if file[0] not in self.done]

    def open(self, rank: int = 0) -> None:
        """Open the journal; each process has its own. The lines of the stopped run stay."""
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            self._journal = (self.out / (f"{rank}.{JOURNAL}" if rank else JOURNAL)).open("ab")
            if self._journal.tell():
                self._journal.write(b"\n")  # ends a line that a killed process has not finished
        except OSError as error:
            raise self._unwritable(error) from error

    def add(self, key: str, row: Row) -> None:
        """Write a row to the journal.

        Args:
            key: version of the file.
            row: its prediction.
        """
        try:
            self._journal.write(records.seal({"run": self._run, "key": key, "row": row}))
            self._journal.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Close the journal."""
        if hasattr(self, "_journal"):
            self._journal.close()

    def finish(self, genres: list[str], processes: int = 1) -> list[Row]:
        """Write and print the rows of all processes, remove the journals, and return the rows without timelines.

        Files without a prediction have no row in what is returned.

        Args:
            genres: names of the classes.
            processes: how many have written a journal.

        Raises:
            AudioError: no file has a prediction.
            UsageError: the folder cannot be written, or is not the same for all processes.
        """
        if len(self._journals()) < processes:
            raise UsageError(f"{self.out}: other processes wrote elsewhere; give an --out that all processes share")
        found = self._places()
        errors = [found[key].error if key in found else f"{path}: not predicted" for key, path in self._files.items()]
        left_out = [error for error in errors if error is not None]
        left_out += [str(problem) for problem in skipped_files(self._named or [])]
        if all(place.error is not None for place in found.values()):
            self._remove_journals()
            more = f" ({len(left_out)} files, none of them usable)" if len(left_out) > 1 else ""
            raise AudioError(left_out[0] + more)
        try:
            good = self._write(found, genres)
        except OSError as error:
            raise self._unwritable(error) from error
        self._remove_journals()
        print(format_predictions(good))
        for reason in left_out:
            print(f"left out: {shown(reason)}")
        print(f"Written:     {self.out / 'predictions.csv'}, and predictions.json with the timeline of each file")
        return good

    def _write(self, found: Mapping[str, _Place], genres: list[str]) -> list[Row]:
        """Write both tables row by row, and return the rows of files with a prediction, without timelines."""
        good = list[Row]()
        with writing(self.out / "predictions.json") as temporary, temporary.open("w") as file:
            for number, row in enumerate(self._rows(found)):
                file.write(",\n" if number else "[\n")
                file.write(indent(json.dumps(row, indent=1), " "))
                if "error" not in row:
                    good.append({name: value for name, value in row.items() if name != "timeline"})
            file.write("\n]\n")
        columns = ["file", "genre", "probability", "seconds", *genres, "sure"]
        write_csv(self.out / "predictions.csv", columns, ({**row["probabilities"], **row} for row in good))
        return good

    def _rows(self, found: Mapping[str, _Place]) -> Iterator[Row]:
        """The rows of all files, in their order, with their present names."""
        with ExitStack() as stack:
            journals = {path: stack.enter_context(path.open("rb")) for path in self._journals()}
            for key, path in ((key, path) for key, path in self._files.items() if key in found):
                journal, offset, _ = found[key]
                journals[journal].seek(offset)
                try:
                    row = records.parse(journals[journal].readline(), JournalLine).row
                except records.Damage as damage:
                    raise RecordError(f"{journal}: {damage}; the same command predicts that file again") from None
                yield with_sure(row | {"file": str(path)}, self.threshold)

    def _places(self) -> dict[str, _Place]:
        """Where the row of each named file is, by the version of the file; a prediction comes before an error."""
        found: dict[str, _Place] = {}
        for journal in self._journals():
            for key, place in places_in(journal, self._run):
                if key in self._files and (place.error is None or key not in found):
                    found[key] = place
        return found

    def _journals(self) -> list[Path]:
        return sorted(self.out.glob(f"*{JOURNAL}"))

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


def places_in(journal: Path, run: str) -> Iterator[tuple[str, _Place]]:
    """The version of each file in a journal, and the place of its row: the complete lines of one checkpoint."""
    offset = 0
    for line in records.lines(journal, JournalLine, sealed=True):
        if line.value is not None and line.value.run == run:
            yield line.value.key, _Place(journal, offset, line.value.row.get("error"))
        offset += len(line.raw)


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
