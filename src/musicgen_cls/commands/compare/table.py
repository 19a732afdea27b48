"""The tables of a comparison, in words and in numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import combinations
from string import ascii_uppercase
from typing import Any

from musicgen_cls.commands.compare.reports import FIGURES, Row, metric_names
from musicgen_cls.errors import counted
from musicgen_cls.metrics.intervals import holm, mcnemar
from musicgen_cls.sources.names import composed


def letters_of(rows: Sequence[Row]) -> dict[frozenset[tuple[str, frozenset[str]]], str]:
    """A letter for each test set, or for each set of test sets, if every run of a row has its own division."""
    sets = list(dict.fromkeys(row.test_sets for row in rows))
    return {test_set: ascii_uppercase[i] if i < 26 else str(i + 1) for i, test_set in enumerate(sets)}


def table_of(rows: Sequence[Row]) -> list[dict[str, str]]:
    """The comparison as text, without empty columns."""
    letters = letters_of(rows)
    table = []
    for row in rows:
        report = row.tests[0].report
        sizes = sorted({test.report.tracks for test in row.tests})
        minutes = [test.minutes for test in row.tests if test.minutes is not None]
        baselines = [test.report.majority_baseline for test in row.tests if test.report.majority_baseline is not None]
        table.append(
            {
                "run": row.name,
                "split": report.split + (" (leaks)" if row.leaks else ""),
                **{label: row.cell(name) for name, label in FIGURES.items()},
                **{name: row.cell(name) for name in metric_names(rows)},
                "baseline, %": f"{100 * statistics.mean(baselines):.1f}" if baselines else "",
                "runs": str(len(row.tests)),
                "test tracks": str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}",
                "test set": letters[row.test_sets] if len(letters) > 1 else "",
                "minutes": f"{statistics.mean(minutes):.1f}" if minutes else "",
            }
        )
    kept = [name for name in table[0] if any(line[name] for line in table)]
    return [{name: line[name] for name in kept} for line in table]


def notes(rows: Sequence[Row]) -> list[str]:
    """Notes on how to read the table."""
    found = []
    letters = letters_of(rows)
    if len(letters) > 1:
        sets = "; ".join(f"{letter}: {_describe(test_set)}" for test_set, letter in letters.items())
        found.append(f"**Different test sets: their figures are not comparable.** {sets}.")
    if any(row.leaks for row in rows):
        found.append("(leaks): tracks, or slices of them, were on both sides; the figure does not hold for new music.")
    if any(len(row.tests) > 1 for row in rows):
        found.append("Several runs: mean ± standard deviation. One run: its 95 % interval.")
    return found


def _describe(test_sets: frozenset[tuple[str, frozenset[str]]]) -> str:
    divisions = sorted({division for division, _ in test_sets})
    if len(divisions) > 1:
        return f"{divisions[0].rpartition(', seed')[0]}, {len(test_sets)} divisions"
    sizes = {len(tracks) for _, tracks in test_sets}
    return divisions[0] + (f", {counted(sizes.pop(), 'track')}" if len(sizes) == 1 and sizes != {0} else "")


def pairs(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """McNemar's test for every two single runs with the same test tracks, with Holm's correction over all pairs."""
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
    """The answers by composed track name: systems write the same name with different characters."""
    return {composed(track): right for track, right in correct.items()}


def pairs_table(found: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """The paired tests as text."""
    table = []
    for line in found:
        better = line["run"] if line["only run right"] > line["only other right"] else line["other"]
        verdict = f"{better} is better" if line["p, Holm"] < 0.05 else "no difference shown"
        words = {name: f"{value:.3g}" if isinstance(value, float) else str(value) for name, value in line.items()}
        table.append(words | {"": verdict})
    return table


def figures_table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The comparison in numbers, with all digits."""
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
        for name in (*FIGURES, *metric_names(rows)):
            interval = row.figure(name)
            for end in ("value", "low", "high"):
                number = getattr(interval, end) if interval else math.nan
                line[name if end == "value" else f"{name}_{end}"] = "" if math.isnan(number) else number
        table.append(line | {"folders": ";".join(str(test.folder) for test in row.tests)})
    return table
