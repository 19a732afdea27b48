"""`musiccli compare`: tests side by side, with intervals, and only where they can be compared a verdict."""

from __future__ import annotations

import glob
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from musicgen_cls import plots
from musicgen_cls.errors import RecordError, UsageError, counted
from musicgen_cls.files import as_path, check_writable, writing
from musicgen_cls.formats.records import Damage, convert, parse, read_bytes
from musicgen_cls.formats.reports import Minutes, Report, read_answers
from musicgen_cls.metrics.intervals import Interval, holm, mcnemar, student
from musicgen_cls.sources.names import composed
from musicgen_cls.tables import write_csv

FIGURES = {"track_accuracy": "tracks, %", "segment_accuracy": "segments, %", "macro_f1": "macro F1, %"}


@dataclass(frozen=True)
class Tested:
    """A report folder: what `report.json` says, and whether each track was recognised."""

    folder: Path
    report: Report
    correct: dict[str, bool] = field(default_factory=dict)
    minutes: float | None = None

    @property
    def division(self) -> str:
        """What the test tracks are, in words."""
        report = self.report
        seed = f", seed {report.split_seed}" if report.split in ("track", "artist", "segment") else ""
        fold = f", fold {report.fold}" if report.fold else ""
        return f"{report.source}, split {report.split}{fold}{seed}"

    @property
    def test_set(self) -> tuple[str, frozenset[str]]:
        """What must be the same for figures to be compared: the division, and the tracks where they are known."""
        if not self.correct:
            where = f" of {self.report.location}" if self.report.location else ""
            return (
                f"{self.division}, {counted(self.report.tracks, 'track')}{where} (which ones is not known)",
                frozenset(),
            )
        return self.division, frozenset(map(composed, self.correct))

    @property
    def identity(self) -> tuple[Any, ...]:
        """What two reports have in common only if one test was made twice."""
        checkpoint = self.report.checkpoint
        figures = tuple(self.report.figure(name) for name in FIGURES)
        told = frozenset(self.correct.items())
        return (str(Path(checkpoint).absolute()) if checkpoint else self.folder.resolve(), self.test_set, figures, told)


@dataclass(frozen=True)
class Row:
    """One line of the comparison: a run, or runs that differ by their seeds."""

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
        """A figure as text: of one run with its interval, of several mean and standard deviation."""
        interval = self.figure(name)
        if interval is None:
            return ""
        if math.isnan(interval.low) or math.isnan(interval.high):
            return f"{100 * interval.value:.1f}"
        if len(self.tests) == 1:
            return str(interval).replace(" %", "", 1)
        spread = statistics.stdev(figure.value for test in self.tests if (figure := test.report.figure(name)))
        return f"{100 * interval.value:.1f} ± {100 * spread:.1f}"


def compare(runs: Sequence[str], out: str = "comparison", figure_format: plots.FigureFormat = "png") -> Path:
    """Hold tests against one another: a table, a chart, and a paired test wherever two were made on the same tracks.

    Writes `comparison.md`, `comparison.csv`, `comparison.png` and, where there are pairs, `pairs.csv`.

    Args:
        runs: folders of runs, of their reports, or report.json files, a row each; or NAME=PATTERN, one row of all the
            runs that it stands for, as of several seeds: mean and standard deviation.
        out: the folder to write into.
        figure_format: of the chart.

    Raises:
        UsageError: there is no report, it cannot be read, or nothing can be written.
    """
    rows = find_rows(runs)
    folder = as_path(out, "--out")
    check_writable(folder, "--out DIR")
    table, found = table_of(rows), pairs(rows)
    text = "\n\n".join([as_markdown(table), *notes(rows), *([as_markdown(pairs_table(found))] if found else [])])
    print(f"\n{text}\n")
    with writing(folder / "comparison.md") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    figures = figures_table(rows)
    write_csv(folder / "comparison.csv", list(figures[0]), figures)
    if found:
        write_csv(folder / "pairs.csv", list(found[0]), found)
    else:
        (folder / "pairs.csv").unlink(missing_ok=True)  # of another comparison
    letters = letters_of(rows)
    drawn = [(row.name, row.figure("track_accuracy"), letters[row.test_sets], row.leaks) for row in rows]
    chart = f"comparison.{figure_format}"
    plots.save(plots.comparison(drawn), folder / chart)
    print(f"Comparison:  {folder}: comparison.md, comparison.csv, {chart}" + (", pairs.csv" if found else ""))
    return folder


# Reading


def find_rows(runs: Sequence[str]) -> list[Row]:
    """Rows in the order in which they were named.

    Raises:
        UsageError: a name that stands for no report of a classifier, or a pattern for tests of which no mean can be.
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
                said = "twice; give each row its own, and one pattern for runs that are one row" if name else "empty"
                raise UsageError(f"RUN {run}: its name is {said}")
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
            f"RUN {name}={pattern}: tests of several kinds ({'; '.join(kinds)}), whose mean would say nothing; give "
            "each kind a row of its own"
        )
    return Row(name, tuple(tests))


def _tests(pattern: str) -> list[Tested]:
    """The tests that a folder, a file or a pattern stands for; of one that was made again, the first."""
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
        raise UsageError(
            f"RUN {pattern}: no report.json of a classifier's test there{only}; musiccli test --ckpt_path writes one"
        )
    return list(tests.values())


def _read(path: Path, wanted: bool) -> Tested | None:
    """A report; None for one of something else that lies in a folder among others."""
    remedy = "name a report.json that test wrote"
    try:
        said = parse(read_bytes(path, remedy), object)
        if not wanted and not (isinstance(said, dict) and "track_accuracy" in said):
            return None
        report = convert(said, Report)
    except Damage as damage:
        raise UsageError(f"RUN {path}: not the report of a classifier's test ({damage}); {remedy}") from None
    correct = read_answers(path.with_name("tracks.csv"), report, "test again, or delete the table")
    return Tested(path.parent, report, correct, _minutes(path.parent))


def _minutes(folder: Path) -> float | None:
    """What training and test took, where a benchmark left that beside a report."""
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


# Comparing


def letters_of(rows: Sequence[Row]) -> dict[frozenset[tuple[str, frozenset[str]]], str]:
    """A letter for each test set (or set of test sets, of runs that were divided by their seeds)."""
    sets = list(dict.fromkeys(row.test_sets for row in rows))
    return {test_set: ascii_uppercase[i] if i < 26 else str(i + 1) for i, test_set in enumerate(sets)}


def table_of(rows: Sequence[Row]) -> list[dict[str, str]]:
    """The comparison in words: a column that is empty throughout is left out."""
    letters = letters_of(rows)
    table = []
    for row in rows:
        report = row.tests[0].report
        sizes = sorted({test.report.tracks for test in row.tests})
        minutes = [test.minutes for test in row.tests if test.minutes is not None]
        chance = [test.report.chance for test in row.tests if test.report.chance is not None]
        table.append(
            {
                "run": row.name,
                "split": report.split + (" (leaks)" if row.leaks else ""),
                **{label: row.cell(name) for name, label in FIGURES.items()},
                "chance, %": f"{100 * statistics.mean(chance):.1f}" if chance else "",
                "runs": str(len(row.tests)),
                "test tracks": str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}",
                "test set": letters[row.test_sets] if len(letters) > 1 else "",
                "minutes": f"{statistics.mean(minutes):.1f}" if minutes else "",
            }
        )
    kept = [name for name in table[0] if any(line[name] for line in table)]
    return [{name: line[name] for name in kept} for line in table]


def notes(rows: Sequence[Row]) -> list[str]:
    """What must be known to read the table."""
    found = []
    letters = letters_of(rows)
    if len(letters) > 1:
        sets = "; ".join(f"{letter}: {_describe(test_set)}" for test_set, letter in letters.items())
        found.append(f"**Different test sets: figures of one cannot be held against those of another.** {sets}.")
    if any(row.leaks for row in rows):
        found.append(
            "(leaks): tracks, or their slices, were on both sides; such a figure does not tell how new music fares."
        )
    if any(len(row.tests) > 1 for row in rows):
        found.append("Of several runs mean ± standard deviation; of one run its 95 % interval.")
    return found


def _describe(test_sets: frozenset[tuple[str, frozenset[str]]]) -> str:
    divisions = sorted({division for division, _ in test_sets})
    if len(divisions) > 1:
        return f"{divisions[0].rpartition(', seed')[0]}, {len(test_sets)} divisions"
    sizes = {len(tracks) for _, tracks in test_sets}
    return divisions[0] + (f", {counted(sizes.pop(), 'track')}" if len(sizes) == 1 and sizes != {0} else "")


def pairs(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """McNemar's test on the tracks of each two single runs that were tested on the same, Holm-corrected over all."""
    single = [row for row in rows if len(row.tests) == 1 and row.tests[0].correct]
    found: list[dict[str, Any]] = []
    for first, second in combinations(single, 2):
        if first.test_sets != second.test_sets or first.tests[0].identity == second.tests[0].identity:
            continue
        ours, theirs = (by_name(row.tests[0].correct) for row in (first, second))
        only_first = sum(ours[track] and not theirs[track] for track in ours)
        only_second = sum(theirs[track] and not ours[track] for track in ours)
        found.append(
            {"run": first.name, "other": second.name, "tracks": len(ours), "only run right": only_first,
             "only other right": only_second, "p": mcnemar(only_first, only_second)}
        )  # fmt: skip
    for line, corrected in zip(found, holm([float(line["p"]) for line in found]), strict=True):
        line["p, Holm"] = corrected
    return found


def by_name(correct: dict[str, bool]) -> dict[str, bool]:
    """What is known of each track, by its composed name: another system may have written the same name otherwise."""
    return {composed(track): right for track, right in correct.items()}


def pairs_table(found: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Those tests in words."""
    table = []
    for line in found:
        better = line["run"] if line["only run right"] > line["only other right"] else line["other"]
        verdict = f"{better} is better" if line["p, Holm"] < 0.05 else "no difference shown"
        words = {name: f"{value:.3g}" if isinstance(value, float) else str(value) for name, value in line.items()}
        table.append(words | {"": verdict})
    return table


def figures_table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The comparison in numbers, all digits."""
    letters = letters_of(rows)
    table = []
    for row in rows:
        line: dict[str, Any] = {
            "run": row.name,
            "split": row.tests[0].report.split,
            "leaks": row.leaks,
            "test_set": letters[row.test_sets],
            "test_tracks": ";".join(str(test.report.tracks) for test in row.tests),
            "runs": len(row.tests),
        }
        for name in FIGURES:
            interval = row.figure(name)
            for end in ("value", "low", "high"):
                number = getattr(interval, end) if interval else math.nan
                line[name if end == "value" else f"{name}_{end}"] = "" if math.isnan(number) else number
        table.append(line | {"folders": ";".join(str(test.folder) for test in row.tests)})
    return table


# Writing


def as_markdown(table: Sequence[dict[str, str]]) -> str:
    """A table whose columns line up as text too; those of numbers to the right."""
    names = list(table[0])
    width = {name: max(3, len(name), *(len(line[name]) for line in table)) for name in names}
    right = {name for name in names[1:] if all(line[name][:1].isdigit() or not line[name] for line in table)}
    place: dict[str, Callable[[str, str], str]] = {
        name: (lambda text, n: text.rjust(width[n])) if name in right else (lambda text, n: text.ljust(width[n]))
        for name in names
    }
    rule = [("-" * (width[name] - 1) + ":") if name in right else "-" * width[name] for name in names]
    rows = [[place[name](line[name].replace("|", "\\|"), name) for name in names] for line in table]
    head = [place[name](name, name) for name in names]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))
