"""The measures of every kind of score that judge compares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_cls.commands.judge.music import REAL
from musicgen_cls.commands.judge.scores import Scores
from musicgen_cls.errors import counted
from musicgen_cls.metrics.copying import RunIndex
from musicgen_cls.metrics.form import bars_that_return, self_similarity
from musicgen_cls.metrics.harmony import degrees, divergence, harmony, intervals
from musicgen_cls.metrics.intervals import stratified_bootstrap, wilson
from musicgen_cls.metrics.note_features import genre_classifier, note_features
from musicgen_cls.metrics.playing import playing
from musicgen_cls.metrics.rhythm import score_beat
from musicgen_cls.notes.score import Notes

Floats = npt.NDArray[np.float64]

RUN, GENRE = "longest run of a training score, notes", "genre recognised from note statistics"

HISTOGRAMS: dict[str, Callable[[Notes], Floats]] = {
    "pitch classes, divergence from real, bits": degrees,
    "intervals, divergence from real, bits": intervals,
}

_LEARNT = 200  # training scores of a genre that the classifier of note statistics learns from


def measure_scores(
    columns: Sequence[Scores], training: dict[str, list[Notes]], length_of: Callable[[Notes], Notes]
) -> None:
    """Fill in the measures of every column; the first one has the real scores, which all others are compared with.

    Args:
        columns: the scores, each cut to the span that is judged.
        training: whole training scores by genre; copies and genres are not measured without any.
        length_of: cuts a training score to the length of the others.
    """
    from tqdm import tqdm

    known = [notes for own in training.values() for notes in own]
    index = RunIndex(known) if known else None
    classifier = _classifier(training, length_of)
    for column in tqdm(columns, desc="Judging scores", unit="set"):
        values = {genre: [score_values(notes, index) for notes in own] for genre, own in column.pieces.items()}
        names = {name: None for own in values.values() for piece in own for name in piece}
        column.measures["values"] = {
            name: _summary(column, {genre: [piece.get(name, np.nan) for piece in own] for genre, own in values.items()})
            for name in names
        }
        column.measures["distances"] = {
            name: _divergence(column, columns[0], histogram) for name, histogram in HISTOGRAMS.items()
        }
        if classifier is not None:
            column.measures["recognised"] = _recognised(column, classifier)


def score_values(notes: Notes, index: RunIndex | None) -> dict[str, float]:
    """The measures of one score by name; NaN where it has no value, and `RUN` only with an index of training scores."""
    tune, way = harmony(notes), playing(notes)
    beat, bar = score_beat(notes)
    values = {
        "onsets return after a beat": beat,
        "onsets return after a bar": bar,
        "notes in scale": tune.in_scale,
        "key clarity": tune.clarity,
        "margin of the key": tune.margin,
        "entropy of the pitch classes of a bar, bits": tune.entropy,
        "bars that return": bars_that_return(notes),
        **{f"similarity at {counted(apart, 'bar')}": value for apart, value in self_similarity(notes).items()},
        "most notes at once": way.most_at_once,
        "mean of notes at once": way.mean_at_once,
        "notes a beat": way.notes_per_beat,
        "instruments": way.instruments,
        "notes without an end": way.endless,
    }
    return values | ({RUN: index.longest_run(notes)} if index is not None else {})


def _summary(column: Scores, values: dict[str, list[float]]) -> dict[str, Any] | None:
    """Mean over genres with its interval over scores, the middle 90 % of scores, the highest, and the mean of genres.

    None if no score has a value.
    """
    strata = {genre: _independent(column, genre, np.array(own)[:, None]) for genre, own in values.items() if own}
    strata = {genre: rows for genre, rows in strata.items() if len(rows)}
    if not strata:
        return None
    found = stratified_bootstrap(list(strata.values()))
    alone = all(len(rows) == 1 for rows in strata.values())
    every = np.concatenate(list(strata.values()))[:, 0]
    weights = np.concatenate([np.full(len(rows), 1 / len(rows)) for rows in strata.values()])
    low, high = _weighted_quantiles(every, weights, (0.05, 0.95))
    return {
        "value": found.value, "low": None if alone else found.low, "high": None if alone else found.high,
        "p5": low, "p95": high, "highest": float(np.nanmax([value for own in values.values() for value in own])),
        "by_genre": {genre: float(rows.mean()) for genre, rows in strata.items()},
    }  # fmt: skip


def _independent(column: Scores, genre: str, rows: Floats) -> Floats:
    """Rows of scores `[scores, features]` to means of prompts; rows with NaN do not count."""
    groups = [[number for number in group if not np.isnan(rows[number]).any()] for group in column.groups(genre)]
    return np.array([rows[group].mean(axis=0) for group in groups if group]).reshape(-1, rows.shape[1])


def _weighted_quantiles(values: Floats, weights: Floats, levels: Sequence[float]) -> list[float]:
    """The smallest values that hold at least each share of the weight."""
    order = np.argsort(values)
    held = np.cumsum(weights[order]) / weights.sum()
    return [float(values[order][min(int(np.searchsorted(held, level)), len(values) - 1)]) for level in levels]


def _divergence(column: Scores, real: Scores, histogram: Callable[[Notes], Floats]) -> dict[str, float | None] | None:
    """Divergence of the mean histogram from the real one; of one half of the real scores from the other for them."""
    halves = column.name == REAL
    ours = _shares(column, histogram, slice(0, None, 2) if halves else slice(None))
    base = _shares(real, histogram, slice(1, None, 2) if halves else slice(None))
    if not ours or not ours.keys() <= base.keys():
        return None
    wanted = np.mean([base[genre].mean(axis=0) for genre in ours], axis=0)
    found = stratified_bootstrap(list(ours.values()), lambda shares: divergence(shares, wanted), resamples=300)
    alone = all(len(rows) == 1 for rows in ours.values())
    return {"value": found.value, "low": None if alone else found.low, "high": None if alone else found.high}


def _shares(column: Scores, histogram: Callable[[Notes], Floats], part: slice) -> dict[str, Floats]:
    """The histogram of each independent score as shares, by genre; without scores that have no counts."""
    found = {}
    for genre, own in column.pieces.items():
        counts = np.array([histogram(notes) for notes in own])
        total = counts.sum(axis=1, keepdims=True)
        shares = _independent(column, genre, np.where(total > 0, counts / np.maximum(total, 1), np.nan))[part]
        if len(shares):
            found[genre] = shares
    return found


def _classifier(training: dict[str, list[Notes]], length_of: Callable[[Notes], Notes]) -> Any:
    """A classifier of genres on note statistics; None with training scores of fewer than two genres."""
    cut = {genre: [length_of(notes) for notes in own[:_LEARNT]] for genre, own in training.items()}
    cut = {genre: with_notes for genre, own in cut.items() if (with_notes := [notes for notes in own if len(notes)])}
    if len(cut) < 2:
        return None
    return genre_classifier(
        [notes for own in cut.values() for notes in own], [genre for genre, own in cut.items() for _ in own]
    )


def _recognised(column: Scores, classifier: Any) -> dict[str, float]:
    """Share of scores whose genre the classifier predicts, mean over genres; `baseline` is that of a random guess."""
    shares = []
    for genre, own in column.pieces.items():
        rows = [note_features(notes) for notes in own if len(notes)]
        right = classifier.predict(np.stack(rows)) == genre if rows else np.zeros(0)
        shares.append(float(np.sum(right)) / len(own))
    value = float(np.mean(shares))
    share = wilson(value * column.independent, column.independent)
    return {"value": value, "low": share.low, "high": share.high, "baseline": 1 / len(classifier.classes_)}
