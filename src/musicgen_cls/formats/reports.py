"""The report of a classifier's test, as `test` writes it and `compare` and `export` read it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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


class Report(Struct, frozen=True, kw_only=True):
    """What `compare` takes from a `report.json`."""

    source: str
    split: str
    can_leak: bool
    tracks: Annotated[int, Meta(ge=1)]
    track_accuracy: Figure
    segment_accuracy: Figure | None = None
    macro_f1: Figure | None = None
    fold: str | None = None
    split_seed: int | None = None
    location: str | None = None
    checkpoint: str | None = None
    chance: Share | None = None

    def figure(self, name: str) -> Figure | None:
        """One of the three figures, by its name."""
        found: Figure | None = getattr(self, name)
        return found


class Bounded(Figure, frozen=True, kw_only=True):
    """A share with its interval."""

    low: Share
    high: Share


class OfGenre(Struct, frozen=True):
    """The figures of one genre; None where there are no tracks to tell."""

    tracks: Count
    recall: Bounded | None
    precision: Bounded | None
    f1: Share | None


class FullReport(Report, frozen=True, kw_only=True):
    """What a model card takes from a `report.json`: everything that a test writes into it."""

    track_accuracy: Bounded
    segment_accuracy: Bounded
    macro_f1: Bounded
    fold: str | None
    split_seed: int | None
    chance: Share
    windows: Count
    interval: str
    per_genre: dict[str, OfGenre]
    genres: list[str]
    tracks_heard_in_training: int | None = None
    level_offset_db: float | None = None
    leaks: list[str] = []


class Answer(Struct, frozen=True):
    """A row of `tracks.csv`: a test track, its genre, and the genre that the network predicted."""

    track: str
    genre: str
    predicted: str


def read_answers(path: Path, report: Report, remedy: str) -> dict[str, bool]:
    """Whether each test track was recognised, from `tracks.csv`; nothing where there is no such table.

    Args:
        path: the table.
        report: the report beside it, which the table must agree with.
        remedy: what to do about a damaged table.

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
            f"{path}: holds {counted(len(rows), 'track')}, report.json beside it has {report.tracks}: cut short, or of "
            f"another test; {remedy}"
        )
    share = sum(correct.values()) / len(rows)
    if abs(share - report.track_accuracy.value) > 1e-6:
        raise RecordError(
            f"{path}: {100 * share:.1f} % of its tracks are recognised, report.json beside it has "
            f"{100 * report.track_accuracy.value:.1f} %: damaged, or of another test; {remedy}"
        )
    return correct
