"""What `test` prints, and the folder of figures and tables that it leaves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from musicgen_cls import __version__, plots
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.errors import UsageError, counted
from musicgen_cls.files import check_writable, safe_name, shortened, shown, writing
from musicgen_cls.formats.records import finite
from musicgen_cls.metrics.intervals import Interval, student
from musicgen_cls.metrics.named import metric_intervals
from musicgen_cls.metrics.scores import Scores
from musicgen_cls.metrics.summary import predictions_table, summarise
from musicgen_cls.pages.test_report import write_report_page
from musicgen_cls.sources.splits import LEAK_WARNING
from musicgen_cls.tables import write_csv
from musicgen_cls.tasks.classification import GenreClassifier
from musicgen_cls.tasks.generation import GenreGenerator

_LEVEL_DB = 6.0  # a difference in level worth a warning: peak-normalised files against others, say


class TestReport(Callback):
    """Prints one table at the end of a test and writes a report folder.

    The folder holds `report.html` (a page to look at), `report.json`, `tracks.csv` (a row a track), `per_genre.csv`,
    `confusion.csv`, `confusion.png` and `per_genre.png`.

    Args:
        out: the folder; `<checkpoint's name>-test-<source>-<split>` beside the checkpoint if None.
        figure_format: of the two figures.
    """

    __test__ = False  # not pytest's

    def __init__(self, out: str | None = None, figure_format: plots.FigureFormat = "png") -> None:
        self.out, self.figure_format = out, figure_format
        self.folder = Path()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find out, before the work, whether the report can be written."""
        if trainer.is_global_zero and self.out:
            check_writable(Path(self.out), "--out DIR")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print and write, on one process."""
        if not trainer.is_global_zero:
            return
        datamodule = getattr(trainer, "datamodule", None)
        assert isinstance(pl_module, GenreClassifier)
        assert isinstance(datamodule, GenreDataModule)
        scores = pl_module.results["test"]
        own = {name: asdict(interval) for name, interval in metric_intervals(pl_module.metrics, scores).items()}
        report = describe_test(trainer, datamodule) | summarise(scores, datamodule.genres) | {"metrics": own}
        print(format_report(report))
        self.folder = folder = Path(self.out) if self.out else _folder(trainer, report)
        try:
            write_report(folder, report, scores, datamodule, self.figure_format)
            write_report_page(folder / "report.html", report, warnings_of(report), scores, datamodule, pl_module)
        except OSError as error:
            raise UsageError(
                f"{folder}: cannot write the report there ({error.strerror}); give another folder with --out DIR"
            ) from error
        print(f"Report:      {folder / 'report.html'}")


def write_pair(path: Path, tests: Sequence[tuple[str, Scores]], genres: Sequence[str]) -> None:
    """Draw the confusion matrices of several tests of one network side by side, and say how they compare."""
    matrices = []
    for name, scores in tests:
        confusion = np.zeros((len(genres), len(genres)), dtype=int)
        np.add.at(confusion, (scores.track_y, scores.track_pred), 1)
        matrices.append(
            (f"{name}: {100 * scores.track_accuracy:.0f} % of {counted(len(scores.track_y), 'track')}", confusion)
        )
    plots.save(plots.confusion_matrices(matrices, genres), path)
    (name, ours), (other, theirs) = tests
    share = (
        f"{ours.track_accuracy / theirs.track_accuracy:.2f} times" if theirs.track_accuracy else "not comparable with"
    )
    print(f"Side by side: {path}\n  the genre of {name} is told {share} as often as that of {other}")


class LossReport(Callback):
    """Prints a generator's loss on held-out tracks at the end of a test and writes it, as `report.json`.

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
        assert isinstance(pl_module, GenreGenerator)
        assert isinstance(datamodule, GenreDataModule)
        report = describe_test(trainer, datamodule) | summarise_losses(pl_module.track_losses)
        apart = "LEAKS" if report["can_leak"] else "none of them trained on"
        print(
            f"\nTested on {counted(report['tracks'], 'held-out track')} of {report['source']}, split "
            f"'{report['split']}' ({apart})"
            f"\n  loss  {report['loss']['value']:.5f} [{report['loss']['low']:.5f}, {report['loss']['high']:.5f}]"
            f"   {type(pl_module.network).__name__}; comparable between networks of this kind only\n",
            *(f"  {line}.\n" for line in [*report["grouped"], *report["leaks"]]),
            sep="\n",
        )
        folder = Path(self.out) if self.out else _folder(trainer, report)
        check_writable(folder, "--out DIR")
        with writing(folder / "report.json") as temporary:
            temporary.write_text(json.dumps(finite(report), indent=2) + "\n")
        print(f"Report:      {folder}")


def summarise_losses(losses: list[float]) -> dict[str, Any]:
    """Number of tracks, and the mean of their losses with its 95 % interval (Student's t over tracks)."""
    interval = "95 %: Student's t over tracks"
    return {
        "tracks": len(losses),
        "loss": asdict(student(losses)),
        "interval": interval if len(losses) > 1 else "none: a single track",
    }


def describe_test(trainer: Trainer, datamodule: GenreDataModule) -> dict[str, Any]:
    """What was tested, on what, as plain values."""
    return {
        "version": __version__,
        "checkpoint": str(trainer.ckpt_path) if trainer.ckpt_path else None,
        "source": datamodule.source_name,
        "location": shown(datamodule.location),
        "split": datamodule.split_name,
        "fold": datamodule.fold,
        "split_seed": datamodule.split_seed,
        "can_leak": datamodule.leaks,
        "leaks": datamodule.known_leaks,
        "grouped": datamodule.grouped(datamodule.collection) if datamodule.collection else [],
        "near_duplicates": datamodule.collection.near if datamodule.collection else [],
        "tracks_heard_in_training": len(datamodule.seen_in_training("test")),
        "level_offset_db": None if (offset := datamodule.level_offset()) is None else round(offset, 2),
        "left_out": len(datamodule.collection.problems) if datamodule.collection else 0,
        "genres": datamodule.genres,
        "interval": "95 %: Wilson over tracks, its effective-sample-size form over windows, bootstrap for F1",
    }


def format_report(report: dict[str, Any]) -> str:
    """The report as text for a terminal."""
    fold = f", fold {report['fold']}" if report["fold"] else ""
    apart = "no artist on two sides" if report["split"] == "artist" else "no track on two sides"
    leak = "LEAKS" if report["can_leak"] else apart
    lines = [
        "",
        f"Tested on {counted(report['tracks'], 'track')} ({counted(report['windows'], 'window')}) of "
        f"{report['source']}, "
        f"split '{report['split']}'{fold} ({leak})",
        f"  track accuracy    {_percent(report['track_accuracy'])}   chance {100 * report['chance']:.1f} %",
        f"  segment accuracy  {_percent(report['segment_accuracy'])}",
        f"  macro F1          {_percent(report['macro_f1'])}",
        *(f"  {name:<18}{_number(interval)}" for name, interval in report.get("metrics", {}).items()),
        "",
        f"  {'genre':<14}{'tracks':>7}   {'recall':<24}{'precision':<24}{'F1':>6}",
    ]
    for genre, row in report["per_genre"].items():
        f1 = "" if row["f1"] is None else f"{100 * row['f1']:.1f}"
        recall, precision = _percent(row["recall"]), _percent(row["precision"])
        lines.append(f"  {genre:<14}{row['tracks']:>7}   {recall:<24}{precision:<24}{f1:>6}")
    lines += ["", *(f"  {line}." for line in grouped)] if (grouped := report.get("grouped")) else []
    for note in warnings_of(report):
        lines += ["", f"  Beware: {note}."]
    return "\n".join([*lines, ""])


def warnings_of(report: dict[str, Any]) -> list[str]:
    """What a reader of the report has to beware of."""
    found = []
    offset = report.get("level_offset_db") or 0.0
    if abs(offset) > _LEVEL_DB:
        louder = f"{abs(offset):.0f} dB {'louder' if offset > 0 else 'quieter'}"
        found.append(f"these windows are {louder} than the training windows; a network may hear that as genre")
    if heard := report.get("tracks_heard_in_training"):
        found.append(
            f"the checkpoint was trained or selected on {counted(heard, 'track')} of this test; its figures leak"
        )
    elif report["can_leak"]:
        found += report.get("leaks") or [LEAK_WARNING]
    return found


def write_report(
    folder: Path,
    report: dict[str, Any],
    scores: Scores,
    datamodule: GenreDataModule,
    figure_format: plots.FigureFormat = "png",
) -> None:
    """Write every file of the report folder, each whole or not at all."""
    assert datamodule.collection is not None
    folder.mkdir(parents=True, exist_ok=True)
    genres = datamodule.genres
    names = {row: datamodule.collection.name(row) for row in range(len(datamodule.collection.tracks))}
    counts = zip(genres, report["confusion"], strict=True)
    tables: dict[str, list[dict[str, Any]]] = {
        "tracks.csv": predictions_table(scores, genres, names),
        "per_genre.csv": _per_genre_table(report["per_genre"]),
        "confusion.csv": [{"true": genre, **dict(zip(genres, row, strict=True))} for genre, row in counts],
    }
    for name, rows in tables.items():
        write_csv(folder / name, list(rows[0]), rows)
    title = f"{report['source']}, split '{report['split']}': {_percent(report['track_accuracy'])} of tracks"
    plots.save(plots.confusion_matrix(report["confusion"], genres, title), folder / f"confusion.{figure_format}")
    plots.save(plots.track_accuracy_bars(report["per_genre"]), folder / f"per_genre.{figure_format}")
    with writing(folder / "report.json") as temporary:
        temporary.write_text(json.dumps(finite(report), indent=2) + "\n")


def _folder(trainer: Trainer, report: dict[str, Any]) -> Path:
    fold = f"-fold{report['fold'].replace(' ', '')}" if report["fold"] else ""
    name = safe_name(f"test-{report['source']}-{report['split']}{fold}")
    if not trainer.ckpt_path:
        return Path(trainer.default_root_dir) / name
    checkpoint = Path(trainer.ckpt_path)
    return checkpoint.with_name(shortened(f"{checkpoint.stem}-{name}"))


def _percent(interval: dict[str, float] | None) -> str:
    return "-" if interval is None else str(Interval(**interval))


def _number(interval: dict[str, float]) -> str:
    return "{value:.3f} [{low:.3f}, {high:.3f}]".format(**interval)


def _per_genre_table(per_genre: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for genre, row in per_genre.items():
        flat = {"genre": genre, "tracks": row["tracks"], "f1": row["f1"]}
        for name in ("recall", "precision"):
            for key in ("value", "low", "high"):
                flat[name if key == "value" else f"{name}_{key}"] = (row[name] or {}).get(key)
        rows.append(flat)
    return rows
