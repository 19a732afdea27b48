"""The report of a test: what it prints, and a folder of figures and tables."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, LightningModule, Trainer

from musicgen_cls import __version__, plots
from musicgen_cls.callbacks.report_text import format_report, percent, pretrained_lines, warnings_of
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.errors import UsageError, counted
from musicgen_cls.files import check_not_read, check_writable, safe_name, shortened, shown, writing
from musicgen_cls.formats.records import finite
from musicgen_cls.metrics.intervals import confusion_matrix, student
from musicgen_cls.metrics.named import metric_intervals
from musicgen_cls.metrics.reliability import summarise_confidence
from musicgen_cls.metrics.scores import Scores
from musicgen_cls.metrics.summary import predictions_table, summarise
from musicgen_cls.metrics.threshold import THRESHOLD, check_threshold
from musicgen_cls.pages.test_report import write_report_page
from musicgen_cls.tables import write_csv
from musicgen_cls.tasks.classification import GenreClassifier
from musicgen_cls.tasks.generation import GenreGenerator
from musicgen_cls.untrained_parts import untrained_beside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TABLES = ("tracks.csv", "per_genre.csv", "confusion.csv")


class TestReport(Callback):
    """Prints one table at the end of a test and writes a report folder.

    The folder holds `report.html` (a page), `report.json`, `tracks.csv` (a row a track), `per_genre.csv`,
    `confusion.csv`, `confusion.png`, `per_genre.png` and `reliability.png`.

    Args:
        out: the folder; `<checkpoint's name>-test-<source>-<split>` beside the checkpoint if None.
        figure_format: format of the figures.
        threshold: the network is unsure of a track whose most probable genre has a lower probability; 0 turns it off.

    Raises:
        UsageError: the threshold is not from 0 to 1.
    """

    __test__ = False  # not pytest's

    def __init__(
        self, out: str | None = None, figure_format: plots.FigureFormat = "png", threshold: float = THRESHOLD
    ) -> None:
        self.out, self.figure_format = out, figure_format
        self.threshold = check_threshold(threshold)
        self.folder = Path()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check, before the work, that the report can be written."""
        if trainer.is_global_zero and self.out:
            check_writable(Path(self.out), "--out DIR")
            datamodule: GenreDataModule = trainer.datamodule  # type: ignore[attr-defined]
            check_not_read(Path(self.out), _TABLES, datamodule.lists, "--out")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print and write, on one process."""
        if not trainer.is_global_zero:
            return
        datamodule = getattr(trainer, "datamodule", None)
        assert isinstance(pl_module, GenreClassifier)
        assert isinstance(datamodule, GenreDataModule)
        scores = pl_module.results["test"]
        found = metric_intervals(pl_module.metrics, scores)
        own = {name: None if math.isnan(figure.value) else asdict(figure) for name, figure in found.items()}
        report = describe_test(trainer, datamodule) | summarise(scores, datamodule.genres) | {"metrics": own}
        report |= {"calibration": pl_module.calibration.facts(), **summarise_confidence(scores, self.threshold)}
        report |= {"pretrained": [*datamodule.pretrained, *pl_module.pretrained]}
        report |= {"untrained_accuracy": asdict(beside) if (beside := untrained_beside(datamodule)) else None}
        print(format_report(report))
        self.folder = folder = Path(self.out) if self.out else test_folder(trainer, report)
        try:
            figures = write_report(folder, report, scores, datamodule, self.figure_format)
            write_report_page(
                folder / "report.html",
                report,
                warnings_of(report),
                pretrained_lines(report),
                figures,
                scores,
                datamodule,
                pl_module,
            )
        except OSError as error:
            raise UsageError(
                f"{folder}: cannot write the report there ({error.strerror}); name another folder with --out DIR"
            ) from error
        print(f"Report:      {folder / 'report.html'}")


def write_pair(path: Path, tests: Sequence[tuple[str, Scores]], genres: Sequence[str]) -> None:
    """Draw the confusion matrices of two tests of one network side by side, and print the ratio of accuracies."""
    matrices = []
    for name, scores in tests:
        confusion = confusion_matrix(scores.track_y, scores.track_pred, len(genres))
        matrices.append(
            (f"{name}: {100 * scores.track_accuracy:.0f} % of {counted(len(scores.track_y), 'track')}", confusion)
        )
    plots.save(plots.confusion_matrices(matrices, genres), path)
    (name, first), (other, second) = tests
    ratio = f"{first.track_accuracy / second.track_accuracy:.2f}" if second.track_accuracy else "no number"
    print(f"Side by side: {path}\n  track accuracy of {name} / track accuracy of {other}: {ratio}")


class JsonReport(Callback, ABC):
    """Prints what a test of a generator found, and writes it as `report.json`.

    Args:
        out: the folder; `<checkpoint's name>-test-<source>-<split>` beside the checkpoint if None.
    """

    def __init__(self, out: str | None = None) -> None:
        self.out = out

    @abstractmethod
    def describe(self, report: dict[str, Any], task: Any, datamodule: GenreDataModule) -> str:
        """The results as text; they are added to the report, which has the facts about the test."""

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print and write, on one process."""
        if not trainer.is_global_zero:
            return
        datamodule = getattr(trainer, "datamodule", None)
        assert isinstance(datamodule, GenreDataModule)
        report = describe_test(trainer, datamodule)
        text = self.describe(report, pl_module, datamodule)
        print(f"\n{text}", *(f"  {line}.\n" for line in [*report["grouped"], *report["leaks"]]), sep="\n")
        folder = Path(self.out) if self.out else test_folder(trainer, report)
        check_writable(folder, "--out DIR")
        with writing(folder / "report.json") as temporary:
            temporary.write_text(json.dumps(finite(report), indent=2) + "\n")
        print(f"Report:      {folder}")


class LossReport(JsonReport):
    """Prints a generator's loss on held-out tracks at the end of a test, and writes it as `report.json`."""

    def describe(self, report: dict[str, Any], task: GenreGenerator, datamodule: GenreDataModule) -> str:
        """The loss as text; it is added to the report."""
        report |= summarise_losses(task.track_losses)
        apart = "LEAKS" if report["can_leak"] else "none of them trained on"
        return (
            f"Tested on {counted(report['tracks'], 'held-out track')} of {report['source']}, split "
            f"'{report['split']}' ({apart})"
            f"\n  loss  {report['loss']['value']:.5f} [{report['loss']['low']:.5f}, {report['loss']['high']:.5f}]"
            f"   {type(task.network).__name__}; comparable between networks of this kind only\n"
        )


def summarise_losses(losses: list[float]) -> dict[str, Any]:
    """Number of tracks, and the mean of their losses with its 95 % interval (Student's t over tracks)."""
    interval = "95 %: Student's t over tracks"
    return {
        "tracks": len(losses),
        "loss": asdict(student(losses)),
        "interval": interval if len(losses) > 1 else "none: a single track",
    }


def describe_test(trainer: Trainer, datamodule: GenreDataModule) -> dict[str, Any]:
    """The checkpoint and the test tracks, as plain values."""
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
        "tracks_seen_in_training": len(datamodule.seen_in_training("test")),
        "level_offset_db": None if (offset := datamodule.level_offset()) is None else round(offset, 2),
        "left_out": len(datamodule.collection.problems) if datamodule.collection else 0,
        "genres": datamodule.genres,
        "interval": "95 %: Wilson over tracks, its effective-sample-size form over windows, bootstrap for F1, "
        "for the calibration error and for the metrics of the config",
    }


def write_report(
    folder: Path,
    report: dict[str, Any],
    scores: Scores,
    datamodule: GenreDataModule,
    figure_format: plots.FigureFormat = "png",
) -> dict[str, Path | Figure]:
    """Write every file of the report folder except the page, each completely or not at all.

    Returns:
        For each figure by name its file, or, if that is no PNG, the figure itself.
    """
    assert datamodule.collection is not None
    genres = datamodule.genres
    names = {row: datamodule.collection.name(row) for row in range(len(datamodule.collection.tracks))}
    counts = zip(genres, report["confusion"], strict=True)
    tables: tuple[list[dict[str, Any]], ...] = (
        predictions_table(scores, genres, names),
        _per_genre_table(report["per_genre"]),
        [{"true": genre, **dict(zip(genres, row, strict=True))} for genre, row in counts],
    )
    for name, rows in zip(_TABLES, tables, strict=True):
        write_csv(folder / name, list(rows[0]), rows)
    figures = _figures(report, scores, genres)
    paths = {name: folder / f"{name}.{figure_format}" for name in figures}
    for name, figure in figures.items():
        plots.save(figure, paths[name])
    with writing(folder / "report.json") as temporary:
        temporary.write_text(json.dumps(finite(report), indent=2) + "\n")
    return {**paths} if figure_format == "png" else {**figures}


def _figures(report: dict[str, Any], scores: Scores, genres: Sequence[str]) -> dict[str, Figure]:
    title = f"{report['source']}, split '{report['split']}': {percent(report['track_accuracy'])} of tracks correct"
    confidence = scores.track_probs.max(axis=1)
    return {
        "confusion": plots.confusion_matrix(report["confusion"], genres, title),
        "per_genre": plots.track_accuracy_bars(report["per_genre"]),
        "reliability": plots.reliability(report["reliability"], confidence, report["threshold"]),
    }


def test_folder(trainer: Trainer, report: dict[str, Any]) -> Path:
    """The folder of a report that is not named: beside the checkpoint, or in the folder of the logger."""
    fold = f"-fold{report['fold'].replace(' ', '')}" if report["fold"] else ""
    name = safe_name(f"test-{report['source']}-{report['split']}{fold}")
    if not trainer.ckpt_path:
        return Path(trainer.default_root_dir) / name
    checkpoint = Path(trainer.ckpt_path)
    return checkpoint.with_name(shortened(f"{checkpoint.stem}-{name}"))


def _per_genre_table(per_genre: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for genre, row in per_genre.items():
        flat = {"genre": genre, "tracks": row["tracks"], "f1": row["f1"]}
        for name in ("recall", "precision"):
            for key in ("value", "low", "high"):
                flat[name if key == "value" else f"{name}_{key}"] = (row[name] or {}).get(key)
        rows.append(flat)
    return rows
