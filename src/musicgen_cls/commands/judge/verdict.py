"""The judgement as text: measures, targets and verdicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from musicgen_cls.checkpoints import trained
from musicgen_cls.commands.judge.measures import BEAT, STEADINESS
from musicgen_cls.commands.judge.music import REAL, Music
from musicgen_cls.metrics import by_second as sound
from musicgen_cls.metrics import distances
from musicgen_cls.tables import as_text

RECOGNISED = "genre recognised"

VERDICT_TRACKS = 20
"""With fewer independent tracks no target is called met or not met."""


def targets(real: Music, ours: Music, baseline: Music | None) -> list[dict[str, Any]]:
    """The targets of a generator: what is measured, the value, what is wanted, and whether it is met."""
    rows: list[dict[str, Any]] = []
    seconds = len(real.measures["loudness"]["median"])
    for second in sorted({min(5, seconds), seconds}):
        (median, error), (goal, doubt) = (
            [column.measures["loudness"][name][second - 1] for name in ("median", "error")] for column in (ours, real)
        )
        gap = median - goal
        wide = math.nan if None in (error, doubt) else 1.96 * math.hypot(error, doubt)
        interval = "" if math.isnan(wide) else f" [{gap - wide:+.1f}, {gap + wide:+.1f}]"
        rows.append(target(f"loudness at second {second} against the real median",
                            f"{gap:+.1f} dB{interval}", "within 3 dB",
                            abs(gap) <= 3))  # fmt: skip
        flat = ours.measures["flatness"]["median"][second - 1]
        low, high = (real.measures["flatness"][name][second - 1] for name in ("low", "high"))
        rows.append(target(f"flatness at second {second}", f"{flat:.4f}", f"{low:.4f} to {high:.4f}, real 5 to 95 %",
                            low <= flat <= high))  # fmt: skip
    if BEAT in ours.measures:
        peak, bound = ours.measures[BEAT]["value"], real.measures[BEAT]
        rows.append(target(BEAT, f"{peak:.2f}", f"{bound['p5']:.2f} to {bound['p95']:.2f}, real 5 to 95 %",
                           bound["p5"] <= peak <= bound["p95"]))  # fmt: skip
    if "recognised" in ours.measures:
        share, base = (column.measures["recognised"]["value"] for column in (ours, real))
        rows.append(target(f"{RECOGNISED}, against real music", f"{ratio(share, base)} times", ">= 0.8 times",
                            base > 0 and share >= 0.8 * base))  # fmt: skip
    if baseline is not None:
        for name in ours.measures["mmd"]:
            if None in (pair := [column.measures["mmd"][name] for column in (ours, baseline)]):
                continue
            at, least = (distance["value"] for distance in pair)
            rows.append(target(f"MMD^2, {name}, against {baseline.name}", f"{ratio(at, least)} times",
                                "<= 0.333 times", least > 0 and at <= least / 3))  # fmt: skip
    if "nearest" in ours.measures:
        near, bound = ours.measures["nearest"]["first_percentile"], real.measures["nearest"]
    if "nearest" in ours.measures and bound["first_percentile"] is not None:
        wanted = f">= {_near(bound)}, as real"
        rows.append(target("nearest training window, 1st percentile", "silent" if near is None else f"{near:.2f} dB",
                            wanted, near is None or near >= bound["first_percentile"]))  # fmt: skip
    return rows


def with_verdicts(rows: Sequence[dict[str, Any]], tracks: int) -> list[dict[str, Any]]:
    """Targets, each with a verdict in words; with few independent tracks there is none."""
    if tracks < VERDICT_TRACKS:
        few = f"too few tracks for a verdict: {tracks} of {VERDICT_TRACKS}"
        return [{**row, "met": None, "verdict": few} for row in rows]
    return [{**row, "verdict": "met" if row["met"] else "not met"} for row in rows]


def gated(rows: Sequence[dict[str, Any]], why: str) -> list[dict[str, Any]]:
    """Targets, without a verdict on the recognised genre if there is a reason why it means nothing."""
    if not why:
        return list(rows)
    withheld = {"met": None, "verdict": "no verdict"}
    return [
        {**row, **withheld, "wanted": f"{row['wanted']}; but {why}"}
        if row["met"] is not None and row["what"].startswith(RECOGNISED)
        else row
        for row in rows
    ]


def controls_fail(recognised: dict[str, float] | None) -> str:
    """Why a classifier cannot judge genres: it is no better than a random guess on real music; empty if it is."""
    if recognised is None or recognised["low"] > recognised["baseline"]:
        return ""
    return "the classifier recognises real music no better than a random guess"


def measure_rows(report: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """The name of each measure and its values as text, one for each kind of music."""
    columns = report["measures"]
    rows: list[tuple[str, list[str]]] = []
    seconds = len(columns[REAL]["loudness"]["median"])
    made = min(math.ceil(report["judged_s"][0]) + 1, seconds)  # the first second without any of the prompt
    for second in sorted({made, max(made, min(5, seconds)), seconds}):
        for name, unit in sound.MEASURES.items():
            cells = [_at(column.get(name), second, unit) for column in columns.values()]
            rows.append((f"{name} at second {second}", cells))
    for kind in ("mmd", "frechet"):
        for name in columns[REAL][kind]:
            cells = [_cell(column[kind][name]) for column in columns.values()]
            rows.append((f"{'MMD^2' if kind == 'mmd' else 'Frechet'}, {name}", cells))
    rows += [
        (name, [_cell(_bare(column.get(name))) for column in columns.values()])
        for name in (BEAT, STEADINESS)
        if name in columns[REAL]
    ]
    if "recognised" in columns[REAL]:
        rows.append((RECOGNISED, [percent(column.get("recognised")) for column in columns.values()]))
    if "nearest" in columns[REAL]:
        cells = [_near(column["nearest"]) for column in columns.values()]
        rows.append(("nearest training window, 1st %", cells))
    return rows


def format_measures(report: dict[str, Any]) -> str:
    """The measures of recordings as text: a row for each measure, a column for each kind of music."""
    columns = report["measures"]
    head = [f"{name} ({report['tracks'].get(name, '')})" for name in columns]
    span = f"{report['judged_s'][0]:g} to {report['judged_s'][1]:g} s"
    table = as_text(["", *head], [[name, *cells] for name, cells in measure_rows(report)])
    lower = f"MMD^2 and Frechet distance under '{REAL}': one half of its tracks from the other."
    return "\n".join(["", f"Judged from {span} at {report['sample_rate']} Hz", "", table, "", lower])


def format_verdicts(report: dict[str, Any]) -> str:
    """The generators, the notes and the targets as text."""
    lines = []
    for made in report["generators"]:
        known = made["steps"] is not None
        training = trained(made["steps"], made["epochs"]) if known else "trained for an unknown number of steps"
        lines.append(f"Generator of {made['name']}: {made['checkpoint']}, {training}.")
    lines += [f"Note: {note}." for note in report["notes"]]
    lines += ["", "Targets:"]
    head = ["verdict", "measure", "value", "target"]
    rows_of_targets = [[row["verdict"], row["what"], row["reached"], row["wanted"]] for row in report["targets"]]
    lines.append(as_text(head, rows_of_targets, left=head))
    return "\n".join([*lines, ""])


def _bare(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """A value with its interval alone."""
    return {name: found[name] for name in ("value", "low", "high")} if found else None


def _cell(distance: dict[str, Any] | None) -> str:
    return str(distances.Distance(**distance)) if distance else ""


def ratio(value: float, base: float) -> str:
    """A value as a multiple of a base, as text."""
    return f"{value / base:.3f}" if base > 0 else f"{value:.3g} to {base:.3g}, no"


def percent(share: dict[str, float] | None) -> str:
    """A share with its interval, in percent."""
    return "{:.0f} % [{:.0f}, {:.0f}]".format(*(100 * share[key] for key in ("value", "low", "high"))) if share else ""


def target(what: str, reached: str, wanted: str, met: bool) -> dict[str, Any]:
    """A row of the targets."""
    return {"what": what, "reached": reached, "wanted": wanted, "met": bool(met)}


def _at(curve: dict[str, list[float]] | None, second: int, unit: str) -> str:
    if curve is None or len(curve["median"]) < second:
        return ""
    value = curve["median"][second - 1]
    return f"{value:.4f}" if not unit else f"{value:.1f} {unit}" if unit == "dB" else f"{value:.0f} {unit}"


def _near(nearest: dict[str, float | None]) -> str:
    """The first percentile of distances to training windows, with its interval if there is one."""
    first, low, high = (nearest[name] for name in ("first_percentile", "low", "high"))
    if first is None:
        return ""
    return f"{first:.2f} dB" + ("" if low is None or high is None else f" [{low:.2f}, {high:.2f}]")
