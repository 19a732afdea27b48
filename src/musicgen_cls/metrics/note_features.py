"""Statistics of a score as a vector, and a classifier of genres on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_cls.metrics.form import DISTANCES, bars_that_return, self_similarity
from musicgen_cls.metrics.harmony import WIDEST, degrees, harmony, in_found_key, intervals
from musicgen_cls.metrics.playing import playing
from musicgen_cls.metrics.rhythm import score_beat
from musicgen_cls.notes.families import FAMILIES
from musicgen_cls.notes.key import NAMES
from musicgen_cls.notes.score import GRID, Notes

Floats = npt.NDArray[np.float64]

_DURATIONS = (2, 4, 7, 13, 25)  # steps: bounds of shorter than a sixth, sixteenth, eighth, quarter, half, longer

NAMES_OF_FEATURES = (
    *(f"share of notes {step} semitones above the tonic" for step in range(12)),
    *(f"share of melodic intervals of {step} semitones" for step in range(-WIDEST, WIDEST + 1)),
    *(f"share of notes of {family}" for family in FAMILIES),
    *(f"share of notes {step} steps after a beat" for step in range(GRID)),
    *(f"share of notes of duration class {number}" for number in range(len(_DURATIONS) + 1)),
    "mean pitch", "spread of pitch", "mean velocity", "spread of velocity", "logarithm of the tempo", "steps in a bar",
    "minor", "share in scale", "key clarity", "margin of the key", "entropy of a bar",
    "autocorrelation at a beat", "autocorrelation at a bar",
    "bars that return", *(f"similarity {apart} bars apart" for apart in DISTANCES),
    "instruments", "most notes at once", "mean of notes at once", "notes a beat",
)  # fmt: skip
"""The name of each feature, in the order of the vector. Shares are from 0 to 1; pitches are in semitones."""


def note_features(notes: Notes) -> Floats:
    """The statistics of a score, `[features]`; see `NAMES_OF_FEATURES`. What the score does not have is 0.

    Raises:
        ValueError: the score has no notes.
    """
    if not len(notes):
        raise ValueError("a score without notes has no statistics")
    own = in_found_key(notes)
    found, way = harmony(notes), playing(notes)
    pitch, velocity = own["pitch"].astype(float), notes["velocity"].astype(float)
    values = [
        *_shares(degrees(notes)),
        *_shares(intervals(notes)),
        *_shares(np.bincount(notes["family"], minlength=len(FAMILIES))),
        *_shares(np.bincount(notes["place"] % GRID, minlength=GRID)),
        *_shares(np.bincount(np.digitize(notes["duration"], _DURATIONS), minlength=len(_DURATIONS) + 1)),
        pitch.mean() if len(own) else 0.0, pitch.std() if len(own) else 0.0, velocity.mean(), velocity.std(),
        np.log(notes["tempo"].astype(float)).mean(), notes["bar"].mean(),
        float(len(own) > 0 and own["key"][0] >= len(NAMES)),
        found.in_scale, found.clarity, found.margin, found.entropy, *score_beat(notes),
        bars_that_return(notes), *self_similarity(notes).values(),
        way.instruments, way.most_at_once, way.mean_at_once, way.notes_per_beat,
    ]  # fmt: skip
    return np.nan_to_num(np.array(values, dtype=np.float64))


def genre_classifier(scores: Sequence[Notes], genres: Sequence[str]) -> Any:
    """A logistic regression from the statistics of scores to their genres, each genre with equal weight.

    Returns:
        The fitted scikit-learn pipeline: `predict` and `predict_proba` take rows of `note_features`.

    Raises:
        ValueError: there are fewer than two genres.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = np.stack([note_features(notes) for notes in scores])
    regression = LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000)
    return make_pipeline(StandardScaler(), regression).fit(rows, list(genres))


def _shares(counts: npt.ArrayLike) -> Floats:
    values = np.asarray(counts, dtype=np.float64)
    return np.asarray(values / max(values.sum(), 1.0))
