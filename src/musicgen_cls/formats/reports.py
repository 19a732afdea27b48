"""The report of a classifier's test: `test` writes it, `compare` and `export` read it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from musicgen_cls.errors import RecordError, counted
from musicgen_cls.formats.records import read_table

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]
Minutes = Annotated[float, Meta(ge=0)]
"""What `minutes.json` beside a report holds: how long training and test took."""


class Figure(Struct, frozen=True):
    """A share, with the ends of its interval where there is one."""

    value: Share
    low: Share | None = None
    high: Share | None = None

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"the lower bound {self.low} is above the upper bound {self.high}")


class Number(Struct, frozen=True):
    """A value with the ends of its interval, if it has one."""

    value: float
    low: float | None = None
    high: float | None = None


class Report(Struct, frozen=True, kw_only=True):
    """The parts of a `report.json` that `compare` reads."""

    OLD_KEYS: ClassVar[dict[str, str]] = {
        "chance": "majority_baseline",  # words: ignore
        "tracks_heard_in_training": "tracks_seen_in_training",  # words: ignore
    }
    """Keys of version 0.1, and those of this version."""

    source: str
    split: str
    can_leak: bool
    tracks: Annotated[int, Meta(ge=1)]
    track_accuracy: Figure
    segment_accuracy: Figure | None = None
    macro_f1: Figure | None = None
    calibration_error: Figure | None = None
    """Expected calibration error of tracks; version 0.1 did not measure it."""
    fold: str | None = None
    split_seed: int | None = None
    location: str | None = None
    checkpoint: str | None = None
    majority_baseline: Share | None = None
    """Accuracy of always predicting the most frequent genre."""
    metrics: dict[str, Number | None] = {}

    def figure(self, name: str) -> Figure | Number | None:
        """One of the four figures, or of the metrics that the config named."""
        found: Figure | Number | None = self.metrics[name] if name in self.metrics else getattr(self, name, None)
        return found


class Bounded(Figure, frozen=True, kw_only=True):
    """A share with its interval."""

    low: Share
    high: Share


class OfGenre(Struct, frozen=True):
    """The figures of one genre; None without tracks."""

    tracks: Count
    recall: Bounded | None
    precision: Bounded | None
    f1: Share | None


class FullReport(Report, frozen=True, kw_only=True):
    """The parts of a `report.json` that a model card shows: all that a test writes."""

    track_accuracy: Bounded
    segment_accuracy: Bounded
    macro_f1: Bounded
    fold: str | None
    split_seed: int | None
    majority_baseline: Share
    windows: Count
    interval: str
    per_genre: dict[str, OfGenre]
    genres: list[str]
    tracks_seen_in_training: int | None = None
    level_offset_db: float | None = None
    leaks: list[str] = []


class Answer(Struct, frozen=True):
    """A row of `tracks.csv`: a test track, its genre, and the genre that the network predicted."""

    track: str
    genre: str
    predicted: str


class ScoredAnswer(Answer, frozen=True):
    """A row of `tracks.csv` with the probability of the true genre."""

    true_probability: Share


def read_answers(path: Path, report: Report, remedy: str) -> dict[str, bool]:
    """Whether the prediction of each test track is right, from `tracks.csv`; empty without such a table.

    Args:
        path: the table.
        report: the report beside it; the table must agree with it.
        remedy: how to fix a damaged table, for errors.

    Raises:
        RecordError: the table is damaged, or of another test.
    """
    if not path.is_file():
        return {}
    rows = read_table(path, Answer, remedy)
    correct: dict[str, bool] = {}
    for row in rows:
        if row.track in correct:
            raise RecordError(f"{path}: holds the track {row.track} twice; {remedy}")
        correct[row.track] = row.genre == row.predicted
    if len(rows) != report.tracks:
        raise RecordError(
            f"{path}: holds {counted(len(rows), 'track')}, but report.json beside it has {report.tracks}: cut short, "
            f"or of another test; {remedy}"
        )
    share = sum(correct.values()) / len(rows)
    if abs(share - report.track_accuracy.value) > 1e-6:
        raise RecordError(
            f"{path}: {100 * share:.1f} % of its predictions are right, but report.json beside it has "
            f"{100 * report.track_accuracy.value:.1f} %: damaged, or of another test; {remedy}"
        )
    return correct
