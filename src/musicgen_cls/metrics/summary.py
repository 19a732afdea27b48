"""The metrics and tables of a report."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

import numpy as np

from musicgen_cls.errors import UsageError
from musicgen_cls.metrics.intervals import bootstrap_interval, clustered_proportion, confusion_matrix, wilson
from musicgen_cls.metrics.scores import Floats, Ints, Scores


def _f1(confusion: Ints) -> Floats:
    """F1 of each class, `[..., classes]`; 0 for a class that is neither true nor predicted."""
    either: Ints = np.maximum(confusion.sum(axis=-2) + confusion.sum(axis=-1), 1)
    return 2 * np.diagonal(confusion, axis1=-2, axis2=-1) / either


def macro_f1(confusion: Ints) -> Floats:
    """Mean F1 over the classes with a true example, `[...]`, in `confusion`, `[..., classes, classes]`."""
    present = confusion.sum(axis=-1) > 0
    return np.asarray((_f1(confusion) * present).sum(axis=-1) / present.sum(axis=-1))


def summarise(scores: Scores, genres: Sequence[str]) -> dict[str, Any]:
    """All metrics of a report, as numbers, strings, lists and dicts for JSON.

    All metrics but `segment_accuracy` and `loss` are over tracks. A metric that does not exist is None, such as the
    recall of a genre without a track; `macro_f1` leaves such a genre out. Intervals have the level 95 %. They are
    Wilson's, but `clustered_proportion` for windows and `bootstrap_interval` for `macro_f1`. `majority_baseline` is
    the accuracy of the baseline that always predicts the most frequent genre of the test tracks.

    Args:
        scores: from `TrackScores`.
        genres: names of the classes, in order.

    Raises:
        UsageError: a probability is NaN.
        ValueError: the number of genres is not the number of classes.

    """
    if len(genres) != scores.num_classes:
        raise ValueError(f"{len(genres)} genres for {scores.num_classes} classes: expected one name per class")
    if bad := int(np.isnan(scores.log_probs).any(axis=1).sum()):
        raise UsageError(f"{bad} of {len(scores.y)} windows have NaN for probabilities: training diverged, reduce `lr`")
    y, pred = scores.track_y, scores.track_pred
    confusion = confusion_matrix(y, pred, len(genres))
    tracks, predicted, right = confusion.sum(axis=1), confusion.sum(axis=0), confusion.diagonal()
    f1 = _f1(confusion)
    return {
        "tracks": len(y),
        "windows": len(scores.y),
        "segment_accuracy": asdict(clustered_proportion(scores.pred == scores.y, scores.track)),
        "track_accuracy": asdict(wilson(int(right.sum()), len(y))),
        "macro_f1": asdict(bootstrap_interval(y, pred, scores.track_ids, macro_f1)),
        "loss": scores.loss if isfinite(scores.loss) else None,
        "track_loss": scores.track_loss if isfinite(scores.track_loss) else None,
        "majority_baseline": float(tracks.max() / len(y)),
        "genres_without_tracks": [genre for genre, n in zip(genres, tracks, strict=True) if not n],
        "per_genre": {
            genre: {
                "tracks": int(tracks[i]),
                "precision": _share(right[i], predicted[i]),
                "recall": _share(right[i], tracks[i]),
                "f1": float(f1[i]) if tracks[i] else None,
            }
            for i, genre in enumerate(genres)
        },
        "confusion": confusion.tolist(),
        "most_confused": _most_confused(confusion, genres),
    }


def _share(right: int, n: int) -> dict[str, float] | None:
    """`wilson` as a dict, or None if n is 0."""
    return asdict(wilson(int(right), int(n))) if n else None


def _most_confused(confusion: Ints, genres: Sequence[str], pairs: int = 3) -> list[dict[str, Any]]:
    """The most frequent pairs of a true and a wrong predicted genre, the most frequent first."""
    wrong = confusion * (1 - np.eye(len(genres), dtype=np.int64))
    commonest = np.argsort(-wrong, axis=None, kind="stable")[:pairs]
    cells = zip(*np.unravel_index(commonest, wrong.shape), strict=True)
    return [{"true": genres[i], "predicted": genres[j], "tracks": int(wrong[i, j])} for i, j in cells if wrong[i, j]]


def predictions_table(scores: Scores, genres: Sequence[str], track_names: Mapping[int, str]) -> list[dict[str, Any]]:
    """One row for each track, by ascending id: true genre, predicted genre, probability of each genre.

    Args:
        scores: from `TrackScores`.
        genres: names of the classes, in order.
        track_names: names by the ids in `scores`; a track without a name has its id as name.

    """
    columns = (scores.track_ids, scores.track_y, scores.track_pred, scores.track_windows, scores.track_probs)
    return [
        {
            "track": track_names.get(int(track), str(track)),
            "genre": genres[y],
            "predicted": genres[pred],
            "correct": bool(y == pred),
            "true_probability": float(probs[y]),
            "windows": int(windows),
            **{f"p_{genre}": float(p) for genre, p in zip(genres, probs, strict=True)},
        }
        for track, y, pred, windows, probs in zip(*columns, strict=True)
    ]
