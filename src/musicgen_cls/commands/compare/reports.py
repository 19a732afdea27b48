"""The reports that compare reads, as the rows of its table."""

from __future__ import annotations

import glob
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from musicgen_cls.errors import RecordError, UsageError, counted
from musicgen_cls.files import as_path
from musicgen_cls.formats.records import Damage, convert, parse, read_bytes
from musicgen_cls.formats.reports import Minutes, Report, read_answers
from musicgen_cls.metrics.intervals import Interval, student
from musicgen_cls.sources.names import composed

FIGURES = {
    "track_accuracy": "tracks, %",
    "segment_accuracy": "windows, %",
    "macro_f1": "macro F1, %",
    "calibration_error": "calibration error, %",
}


@dataclass(frozen=True)
class Tested:
    """A report folder: `report.json`, and whether the prediction of each track is right."""

    folder: Path
    report: Report
    correct: dict[str, bool] = field(default_factory=dict)
    minutes: float | None = None

    @property
    def division(self) -> str:
        """The collection and the division of its tracks, in words."""
        report = self.report
        seed = f", seed {report.split_seed}" if report.split in ("track", "artist", "segment") else ""
        fold = f", fold {report.fold}" if report.fold else ""
        return f"{report.source}, split {report.split}{fold}{seed}"

    @property
    def test_set(self) -> tuple[str, frozenset[str]]:
        """The division, and the tracks if they are known: figures are comparable where these are equal."""
        if not self.correct:
            where = f" of {self.report.location}" if self.report.location else ""
            return (
                f"{self.division}, {counted(self.report.tracks, 'track')}{where} (their names are unknown)",
                frozenset(),
            )
        return self.division, frozenset(map(composed, self.correct))

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for two reports of the same test."""
        checkpoint = self.report.checkpoint
        figures = tuple(self.report.figure(name) for name in FIGURES)
        answers = frozenset(self.correct.items())
        return (
            str(Path(checkpoint).absolute()) if checkpoint else self.folder.resolve(),
            self.test_set,
            figures,
            answers,
        )


@dataclass(frozen=True)
class Row:
    """A row of the comparison: a run, or several runs that differ in their seeds."""

    name: str
    tests: tuple[Tested, ...]

    @cached_property
    def test_sets(self) -> frozenset[tuple[str, frozenset[str]]]:
        """The test sets of its runs."""
        return frozenset(test.test_set for test in self.tests)

    @property
    def leaks(self) -> bool:
        """Whether tracks of a test may have been trained on."""
        return any(test.report.can_leak for test in self.tests)

    def figure(self, name: str) -> Interval | None:
        """A figure with its interval: the report's of one run (NaN if it has none), Student's over several."""
        found = [figure for test in self.tests if (figure := test.report.figure(name)) is not None]
        if len(found) < len(self.tests):
            return None
        if len(found) > 1:
            return student([figure.value for figure in found])
        low, high = (math.nan if end is None else end for end in (found[0].low, found[0].high))
        return Interval(found[0].value, low, high)

    def cell(self, name: str) -> str:
        """A figure as text, in percent if it is a share: of one run with its interval, of several mean ± deviation."""
        interval = self.figure(name)
        if interval is None:
            return ""
        scale, digits = (100, 1) if name in FIGURES else (1, 3)
        value, low, high = (f"{scale * x:.{digits}f}" for x in (interval.value, interval.low, interval.high))
        if len(self.tests) > 1:
            spread = statistics.stdev(figure.value for test in self.tests if (figure := test.report.figure(name)))
            return f"{value} ± {scale * spread:.{digits}f}"
        return value if math.isnan(interval.low) or math.isnan(interval.high) else f"{value} [{low}, {high}]"


def metric_names(rows: Sequence[Row]) -> list[str]:
    """The names of all metrics that the configs of the tested models named."""
    return list(dict.fromkeys(name for row in rows for test in row.tests for name in test.report.metrics))


def find_rows(runs: Sequence[str]) -> list[Row]:
    """Rows in the order of their names.

    Raises:
        UsageError: there is no report of a classifier under a name, or the tests of a pattern have no common mean.
    """
    runs = list(runs)
    if not runs or "" in runs:
        raise UsageError(
            "RUN: name two runs or more, as musiccli compare lightning_logs/vgg/version_0 other/report.json"
        )
    rows: list[Row] = []
    seen, named = set(), set[str]()
    for run in runs:
        name, equals, pattern = run.partition("=")
        if equals and not as_path(run, "RUN").exists():
            if not name or name in named:
                fault = "used twice; give each row a name, and one pattern for the runs of one row" if name else "empty"
                raise UsageError(f"RUN {run}: its name is {fault}")
            named.add(name)
            rows.append(_averaged(name, pattern))
            continue
        for test in _tests(run):
            if test.identity not in seen:
                rows.append(Row(_name(test.folder), (test,)))
            seen.add(test.identity)
    names = [row.name for row in rows]
    for name in names:
        if names.count(name) > 1:
            rows = [Row(str(row.tests[0].folder), row.tests) if row.name == name else row for row in rows]
    return rows


def _averaged(name: str, pattern: str) -> Row:
    """One row of several tests, on one split of one collection."""
    tests = _tests(pattern)
    kinds = sorted({f"{test.report.source}, split {test.report.split}" for test in tests})
    if len(kinds) > 1:
        raise UsageError(
            f"RUN {name}={pattern}: tests of several kinds ({'; '.join(kinds)}) have no common mean; give each "
            "kind a row of its own"
        )
    return Row(name, tuple(tests))


def _tests(pattern: str) -> list[Tested]:
    """The tests of a folder, a file or a pattern; of two reports of the same test, the first."""
    path = as_path(pattern, "RUN")
    places = [path] if path.exists() else sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207
    reports: list[Path] = []
    for place in places:
        if place.is_dir():
            here = place / "report.json"
            reports += [here] if here.is_file() else sorted(place.rglob("report.json"))
        else:
            reports.append(place)
    tests: dict[Any, Tested] = {}
    for report in dict.fromkeys(reports):
        if (test := _read(report, wanted=report in places)) is not None:
            tests.setdefault(test.identity, test)
    if not tests:
        only = f" (not {reports[0]})" if reports else ""
        raise UsageError(f"RUN {pattern}: no report.json of a classifier's test there{only}; musiccli test writes one")
    return list(tests.values())


def _read(path: Path, wanted: bool) -> Tested | None:
    """A report; None for a report of something else among the files of a folder."""
    remedy = "name a report.json that test wrote"
    try:
        content = parse(read_bytes(path, remedy), object)
        if not wanted and not (isinstance(content, dict) and "track_accuracy" in content):
            return None
        report = convert(content, Report)
    except Damage as damage:
        raise UsageError(f"RUN {path}: not the report of a classifier's test ({damage}); {remedy}") from None
    correct = read_answers(path.with_name("tracks.csv"), report, "test again, or delete the table")
    return Tested(path.parent, report, correct, _minutes(path.parent))


def _minutes(folder: Path) -> float | None:
    """Minutes of training and test, if a benchmark wrote them beside a report."""
    path = folder.absolute().with_name("minutes.json")
    try:
        return parse(read_bytes(path, ""), Minutes) if path.is_file() else None
    except (Damage, RecordError):  # another program's file of that name
        return None


def _name(folder: Path) -> str:
    """A short name for the run that a report belongs to."""
    parts = list(folder.absolute().parts)
    if "checkpoints" in parts:
        return "/".join(parts[: parts.index("checkpoints")][-2:])
    return "/".join(parts[-2:])
