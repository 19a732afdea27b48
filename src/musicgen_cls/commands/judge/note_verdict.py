"""The judgement of scores as text: measures and targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from musicgen_cls.commands.judge.note_measures import GENRE, RUN
from musicgen_cls.commands.judge.scores import Scores
from musicgen_cls.commands.judge.verdict import percent, ratio, target
from musicgen_cls.tables import as_text

RETURNING = 0.75
"""Lowest share of the bars that return in real scores."""

IN_SCALE, FORM, ENDLESS = "notes in scale", "bars that return", "notes without an end"

_WITHIN = (
    "onsets return after a beat",
    "onsets return after a bar",
    "most notes at once",
    "mean of notes at once",
    "instruments",
)

GATES = (IN_SCALE, "most notes at once")
"""Music that misses the target of one of these is broken, whatever a classifier of genres predicts."""


def note_targets(real: Scores, ours: Scores) -> list[dict[str, Any]]:
    """The targets of a generator of notes: what is measured, the value, what is wanted, and whether it is met."""
    theirs, own = real.measures["values"], ours.measures["values"]
    rows = [target(IN_SCALE, _cell(own[IN_SCALE]), f"within 0.03 of real, {_cell(theirs[IN_SCALE])}",
                   _near(own[IN_SCALE], theirs[IN_SCALE], 0.03))]  # fmt: skip
    for name in _WITHIN:
        low, high = theirs[name]["p5"], theirs[name]["p95"]
        rows.append(target(name, _cell(own[name]), f"{low:.3g} to {high:.3g}, real 5 to 95 %",
                           low <= own[name]["value"] <= high))  # fmt: skip
    returning, wanted = own[FORM], theirs[FORM]
    rows.append(target(FORM, _cell(returning), f">= {RETURNING} times real, {_cell(wanted)}",
                       _at_least(returning, wanted, RETURNING)))  # fmt: skip
    endless, most = own[ENDLESS], theirs[ENDLESS]["high"] or theirs[ENDLESS]["value"]
    rows.append(target(ENDLESS, _cell(endless), f"<= {most:.3g}, as real", endless["value"] <= most))
    if RUN in own:
        longest, bound = own[RUN]["highest"], theirs[RUN]["highest"]
        rows.append(target(f"{RUN}, longest of all", f"{longest:.0f}", f"<= {bound:.0f}, as real", longest <= bound))
    if "recognised" in ours.measures:
        share, base = (column.measures["recognised"]["value"] for column in (ours, real))
        rows.append(target(f"{GENRE}, against real scores", f"{ratio(share, base)} times", ">= 0.8 times",
                           base > 0 and share >= 0.8 * base))  # fmt: skip
    return rows


def format_scores(scores: dict[str, Any]) -> str:
    """The measures of notes as text: a row for each measure, a column for each kind of score."""
    head = [f"{name} ({scores['pieces'][name]})" for name in scores["measures"]]
    return "\n".join([
        "", f"Scores judged from {scores['judged_s'][0]:.4g} to {scores['judged_s'][1]:.4g} s: means over genres",
        "", as_text(["", *head], [[name, *cells] for name, cells in note_rows(scores["measures"])]),
    ])  # fmt: skip


def note_rows(columns: dict[str, dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """The name of each measure of notes and its values as text, one for each kind of score."""
    first = next(iter(columns.values()))
    rows = [(name, [_cell(column["values"].get(name)) for column in columns.values()]) for name in first["values"]]
    rows = [(name, cells) for name, cells in rows if any(cells)]
    if RUN in first["values"]:
        most = [f"{column['values'][RUN]['highest']:.0f}" for column in columns.values()]
        rows.append((f"{RUN}, longest of all", most))
    rows += [(name, [_cell(column["distances"][name]) for column in columns.values()]) for name in first["distances"]]
    if "recognised" in first:
        rows.append((GENRE, [percent(column["recognised"]) for column in columns.values()]))
    return rows


def broken_by(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The measures of notes without which music is broken, and whose targets are missed."""
    return [row["what"] for row in rows if row["what"] in GATES and row["met"] is False]


def _cell(found: dict[str, Any] | None) -> str:
    if not found:
        return ""
    interval = "" if found["low"] is None else f" [{found['low']:.3g}, {found['high']:.3g}]"
    return f"{found['value']:.3g}{interval}"


def _near(found: dict[str, Any] | None, wanted: dict[str, Any] | None, most: float) -> bool:
    return found is not None and wanted is not None and abs(found["value"] - wanted["value"]) <= most


def _at_least(found: dict[str, Any] | None, wanted: dict[str, Any] | None, times: float) -> bool:
    return found is not None and wanted is not None and bool(found["value"] >= times * wanted["value"])
