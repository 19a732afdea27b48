"""The report of a test as text for a terminal, and its warnings."""

from __future__ import annotations

import math
from typing import Any

from musicgen_cls.errors import counted
from musicgen_cls.metrics.intervals import Interval
from musicgen_cls.sources.splits import LEAK_WARNING
from musicgen_cls.tables import as_text
from musicgen_cls.untrained_parts import FEW_TRACKS

_LEVEL_DB = 6.0  # a larger difference in level gets a warning, as between peak-normalised and other files


def format_report(report: dict[str, Any]) -> str:
    """The report as text for a terminal."""
    fold = f", fold {report['fold']}" if report["fold"] else ""
    apart = {"artist": "no artist on two sides", "external": "all tracks are test tracks"}
    leak = "LEAKS" if report["can_leak"] else apart.get(report["split"], "no track on two sides")
    lines = [
        "",
        f"Tested on {counted(report['tracks'], 'track')} ({counted(report['windows'], 'window')}) of "
        f"{report['source']}, "
        f"split '{report['split']}'{fold} ({leak})",
        f"  track accuracy    {percent(report['track_accuracy'])}   baseline {100 * report['majority_baseline']:.1f} %",
        f"  window accuracy   {percent(report['segment_accuracy'])}",
        f"  macro F1          {percent(report['macro_f1'])}",
        *_confidence_lines(report),
        *_untrained_line(report),
        *(f"  {name:<18}{_number(interval)}" for name, interval in report.get("metrics", {}).items()),
        "",
    ]
    rows = [
        [
            genre,
            str(row["tracks"]),
            percent(row["recall"]),
            percent(row["precision"]),
            "" if row["f1"] is None else f"{100 * row['f1']:.1f}",
        ]
        for genre, row in report["per_genre"].items()
    ]
    lines.append(as_text(["genre", "tracks", "recall", "precision", "F1"], rows, left=("recall", "precision")))
    lines += ["", *(f"  {line}." for line in grouped)] if (grouped := report.get("grouped")) else []
    lines += ["", *(f"  {line}." for line in pretrained_lines(report))] if report.get("pretrained") else []
    for note in warnings_of(report):
        lines += ["", f"  Warning: {note}."]
    return "\n".join([*lines, ""])


def _confidence_lines(report: dict[str, Any]) -> list[str]:
    """The calibration error, and how many predictions are unsure; nothing for a report of an earlier version."""
    if "calibration_error" not in report:
        return []
    perfect = f"{100 * report['calibration_error_if_perfect']:.1f} % if perfectly calibrated"
    lines = [f"  calibration error {percent(report['calibration_error'])}   {perfect}"]
    if report["threshold"]:
        below = f"probability below {report['threshold']:g}; accuracy of the others {percent(report['sure_accuracy'])}"
        lines.append(f"  unsure            {percent(report['unsure'])}   {below}")
    return lines


def _untrained_line(report: dict[str, Any]) -> list[str]:
    """The accuracy of the untrained reading, where a genre has few training tracks."""
    found = report.get("untrained_accuracy")
    few = f"tags alone; a genre has fewer than {FEW_TRACKS} training tracks"
    return [] if found is None else [f"  untrained reading {percent(found)}   {few}"]


def pretrained_lines(report: dict[str, Any]) -> list[str]:
    """A sentence on each pretrained network of a report."""
    return [
        f"{network['name']}: pretrained on {network['trained_on']}, licence {network['licence']}"
        + (f"; {network['known_overlaps']}" if network["known_overlaps"] else "")
        for network in report["pretrained"]
    ]


def warnings_of(report: dict[str, Any]) -> list[str]:
    """Warnings for a reader of the report."""
    found = []
    offset = report.get("level_offset_db") or 0.0
    if abs(offset) > _LEVEL_DB:
        louder = f"{abs(offset):.0f} dB {'louder' if offset > 0 else 'quieter'}"
        found.append(f"these windows are {louder} than the training windows; the network may confuse level with genre")
    if seen := report.get("tracks_seen_in_training"):
        found.append(
            f"the checkpoint was trained or selected on {counted(seen, 'track')} of this test; its figures leak"
        )
    elif report["can_leak"]:
        found += report.get("leaks") or [LEAK_WARNING]
    return found


def percent(interval: dict[str, float] | None) -> str:
    """A share with its interval, in percent."""
    return "-" if interval is None else str(Interval(**interval))


def _number(interval: dict[str, float] | None) -> str:
    if interval is None:
        return "-  (a genre has no test track)"
    if math.isnan(interval["low"]):
        return f"{interval['value']:.3f} (no interval: a genre has one test track)"
    return "{value:.3f} [{low:.3f}, {high:.3f}]".format(**interval)
