"""The judgement of scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicgen_cls.commands.judge.audio import Options
from musicgen_cls.commands.judge.note_measures import measure_scores
from musicgen_cls.commands.judge.note_verdict import broken_by, note_targets
from musicgen_cls.commands.judge.scores import (
    Scores,
    bounds,
    cut_scores,
    load_real_scores,
    load_scores,
    score_span,
)
from musicgen_cls.commands.judge.verdict import controls_fail, gated, with_verdicts
from musicgen_cls.metrics.excerpts import excerpt


@dataclass(frozen=True)
class JudgedScores:
    """The judgement of scores: the generated columns, the whole real scores, and what is reported."""

    generated: list[Scores]
    held_out: Scores
    report: dict[str, Any]
    targets: list[dict[str, Any]]
    notes: list[str]
    broken: str
    """Why a classifier of genres means nothing; empty if it does."""


def judge_scores(folders: dict[str, Path], options: Options) -> JudgedScores:
    """Compare the scores of generated folders, by name, with the real ones of `options.real`; the first is judged."""
    columns = [load_scores(name, folder, options.context_seconds) for name, folder in folders.items()]
    context, length = score_span(columns, options.seconds)
    truth = load_real_scores(options.real, columns, options.training)
    real = cut_scores(truth.held_out, context, length)
    judged = [real, *(cut_scores(column, context, length) for column in columns), *bounds(real, options.seed)]
    measure_scores(judged, truth.training, lambda notes: excerpt(notes, length - context, None, context))
    rows = with_verdicts(note_targets(judged[0], judged[1]), min(column.independent for column in judged[:2]))
    missed = broken_by(rows)
    broken = f"the notes miss their targets ({', '.join(missed)})" if missed else ""
    rows = gated(rows, broken or controls_fail(real.measures.get("recognised")))
    report = {
        "real": str(options.real),
        "judged_s": [context, length],
        "training_scores": sum(map(len, truth.training.values())),
        "pieces": {column.name: column.count for column in judged},
        "measures": {column.name: column.measures for column in judged},
    }
    return JudgedScores(columns, truth.held_out, report, rows, truth.notes, broken)
