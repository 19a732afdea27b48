"""The report of a test as one self-contained page: figures, and the most confident mistakes with charts and sound."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from musicgen_cls import plots
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.files import shown
from musicgen_cls.metrics.scores import Scores
from musicgen_cls.metrics.threshold import is_sure
from musicgen_cls.pages.page import embedded_png, embedded_sound, write_page
from musicgen_cls.tasks.classification import GenreClassifier
from musicgen_cls.tasks.timeline import timeline

_SHOWN, _PLAYED_S = 10, 30


def write_report_page(
    path: Path,
    report: dict[str, Any],
    notes: list[str],
    pretrained: list[str],
    figures: Mapping[str, Any],
    scores: Scores,
    datamodule: GenreDataModule,
    task: GenreClassifier,
) -> None:
    """Write the page.

    Args:
        path: path of the page.
        report: the content of `report.json`.
        notes: warnings for the reader.
        pretrained: sentences on pretrained networks.
        figures: by name, the PNG file or the figure.
        scores: scores of the test.
        datamodule: the test data.
        task: the classifier, on its device.
    """
    write_page(
        path,
        "report.html",
        report=report,
        notes=notes,
        pretrained=pretrained,
        figures={name: embedded_png(figure, dpi=120) for name, figure in figures.items()},
        wrong=len(scores.mistakes),
        mistakes=[
            _mistake(int(place), scores, datamodule, task, report["threshold"]) for place in scores.mistakes[:_SHOWN]
        ],
        step="step by step" if hasattr(task.network, "step_probabilities") else "window by window",
    )


def _mistake(
    place: int, scores: Scores, datamodule: GenreDataModule, task: GenreClassifier, threshold: float
) -> dict[str, str]:
    """A track with a wrong prediction: its names, chart and sound."""
    assert datamodule.collection is not None
    row, genres = int(scores.track_ids[place]), datamodule.genres
    track = datamodule.collection.tracks[row]
    genre, predicted = genres[scores.track_y[place]], genres[scores.track_pred[place]]
    windows = np.flatnonzero(scores.track == row)
    windows = windows[np.argsort(scores.start_s[windows], kind="stable")]
    batch = datamodule.test_windows(scores.index[windows])
    line = timeline(task, batch["x"].to(task.device), scores.start_s[windows], datamodule.window_seconds)
    confidence = float(scores.track_probs[place].max())
    share = f"{100 * confidence:.0f} %" + ("" if is_sure(confidence, threshold) else ", unsure")
    chart = plots.timeline(line.start_s, line.end_s, line.probabilities, genres, true=genre)
    return {
        "track": datamodule.collection.name(row),
        "genre": genre,
        "predicted": f"{predicted} ({share})",
        "path": shown(track.path),
        "chart": embedded_png(chart),
        "sound": _sound(datamodule, row),
    }


def _sound(datamodule: GenreDataModule, row: int) -> str:
    """The sound of a track's first seconds; an empty string without audio."""
    sound = datamodule.first_seconds(row, _PLAYED_S)
    if sound is None or datamodule.sample_rate is None:
        return ""
    return embedded_sound(sound, datamodule.sample_rate, compress=True)
