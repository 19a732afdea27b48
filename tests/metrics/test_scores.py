import json
import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from musicgen_cls.errors import UsageError
from musicgen_cls.metrics.intervals import Interval, bootstrap_interval, clustered_proportion, wilson
from musicgen_cls.metrics.scores import Scores, TrackScores
from musicgen_cls.metrics.summary import macro_f1, predictions_table, summarise

GENRES = ["blues", "jazz", "metal", "pop"]


def scores_of(track, y, probs) -> Scores:
    """Scores of windows in order, from probabilities."""
    n = len(track)
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.asarray(probs, dtype=np.float32))
    return Scores(np.arange(n), np.asarray(track), np.zeros(n, np.float32), np.asarray(y), log_probs)


def random_batch(n=60, classes=4, seed=0) -> dict[str, torch.Tensor]:
    """Windows of ten tracks, shuffled."""
    generator = torch.Generator().manual_seed(seed)
    index = torch.randperm(n, generator=generator)
    track = index % 10
    return {
        "index": index,
        "track": track,
        "start_s": (index // 10).float(),
        "y": track % classes,
        "log_probs": torch.randn(n, classes, generator=generator).log_softmax(1),
    }


def metric_of(batch, rows) -> TrackScores:
    """A metric after two updates with some rows of a batch."""
    metric = TrackScores()
    for part in torch.as_tensor(rows).chunk(2):
        metric.update(**{name: tensor[part] for name, tensor in batch.items()})
    return metric


def assert_same(one: Scores, other: Scores) -> None:
    for name in ("index", "track", "start_s", "y", "log_probs"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


# ---- collecting windows


def test_scores_are_sorted_and_typed():
    batch = random_batch()
    scores = metric_of(batch, range(60)).compute()
    np.testing.assert_array_equal(scores.index, np.arange(60))
    np.testing.assert_array_equal(scores.track, np.arange(60) % 10)
    np.testing.assert_array_equal(scores.log_probs, batch["log_probs"][batch["index"].argsort()])
    assert [a.dtype for a in (scores.start_s, scores.y, scores.log_probs)] == [np.float32, np.int64, np.float32]


def test_repeated_windows_count_once():
    batch = random_batch()
    padded = [*range(60), 0, 1, 2, 3]
    assert_same(metric_of(batch, padded).compute(), metric_of(batch, range(60)).compute())


def test_merge_of_two_processes_equals_one():
    batch = random_batch()
    one, two = metric_of(batch, range(0, 60, 2)), metric_of(batch, [*range(1, 60, 2), 0])
    one.merge_state(two)
    assert_same(one.compute(), metric_of(batch, range(60)).compute())


def test_sync_of_two_processes_equals_one():
    batch = random_batch()
    other = metric_of(batch, [*range(1, 60, 2), 0])  # one window more, as of a sampler that pads
    queue = [torch.cat(getattr(other, name)) for name in other._reductions]
    rank = TrackScores(
        distributed_available_fn=lambda: True, dist_sync_fn=lambda tensor, group=None: [tensor, queue.pop(0)]
    )
    rank.update(**{name: tensor[::2] for name, tensor in batch.items()})
    assert_same(rank.compute(), metric_of(batch, range(60)).compute())
    assert sum(map(len, rank.y)) == 30  # its own windows again


def test_no_graph_and_no_half_precision_is_kept():
    batch = random_batch()
    logits = torch.randn(60, 4, dtype=torch.bfloat16, requires_grad=True)
    metric = TrackScores()
    metric.update(**batch | {"log_probs": logits.log_softmax(1), "start_s": batch["start_s"].half()})
    assert not metric.log_probs[0].requires_grad
    assert metric.log_probs[0].dtype == metric.start_s[0].dtype == torch.float32


def test_reset_removes_all_windows_and_no_windows_is_an_error():
    metric = metric_of(random_batch(), range(10))
    metric.reset()
    with pytest.raises(UsageError, match="no test windows"), pytest.warns(UserWarning, match="before"):
        metric.compute()
    with pytest.raises(UsageError, match="no test windows"):
        scores_of([], [], np.empty((0, 3)))


# ---- from windows to tracks


def test_tracks_have_the_mean_probability_of_their_windows():
    scores = scores_of([7, 3, 7], [1, 0, 1], [[0.9, 0.1], [0.6, 0.4], [0.0, 1.0]])
    np.testing.assert_array_equal(scores.track_ids, [3, 7])
    np.testing.assert_array_equal(scores.track_y, [0, 1])
    np.testing.assert_array_equal(scores.track_windows, [1, 2])
    np.testing.assert_allclose(scores.track_probs, [[0.6, 0.4], [0.45, 0.55]], rtol=1e-6)
    np.testing.assert_array_equal(scores.track_pred, [0, 1])
    assert scores.segment_accuracy == pytest.approx(2 / 3)
    assert scores.track_accuracy == 1
    assert scores.loss == pytest.approx(-(math.log(0.1) + math.log(0.6)) / 3, rel=1e-6)
    assert scores.track_loss == pytest.approx(-(math.log(0.6) + math.log(0.55)) / 2, rel=1e-6)


# ---- intervals


@pytest.mark.parametrize(("correct", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (183, 290)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_wilson_is_scipys(correct, n, level):
    expected = binomtest(correct, n).proportion_ci(level, method="wilson")
    interval = wilson(correct, n, level)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1


@pytest.mark.parametrize(("correct", "n"), [(0, 0), (-1, 3), (4, 3)])
def test_wilson_refuses_impossible_counts(correct, n):
    with pytest.raises(ValueError, match=f"correct={correct} out of n={n}"):
        wilson(correct, n)


def test_interval_reads_as_percent():
    assert str(Interval(0.613, 0.55, 0.672)) == "61.3 % [55.0, 67.2]"


@pytest.mark.parametrize(("share", "correlation"), [(0.6, 0.5), (0.9, 0.5), (0.6, 0.1)])
def test_clustered_interval_covers_and_naive_does_not(share, correlation):
    """Beta-binomial windows: each of 30 tracks has its own probability of success, shared by its 14 windows."""
    rng = np.random.default_rng(0)
    a = share * (1 / correlation - 1)
    b = (1 - share) * (1 / correlation - 1)
    cluster = np.repeat(np.arange(30), 14)
    covered = np.zeros((600, 2))
    for trial in covered:
        correct = rng.random(420) < rng.beta(a, b, 30)[cluster]
        intervals = clustered_proportion(correct, cluster), wilson(int(correct.sum()), 420)
        trial[:] = [interval.low <= share <= interval.high for interval in intervals]
    clustered, naive = covered.mean(axis=0)
    assert 0.90 <= clustered <= 0.99
    assert naive < 0.85


def test_clustered_interval_of_single_windows_is_nearly_wilsons():
    correct = np.arange(200) % 3 > 0
    alone, together = clustered_proportion(correct, np.arange(200)), wilson(int(correct.sum()), 200)
    assert (alone.low, alone.high) == pytest.approx((together.low, together.high), abs=5e-4)


def test_clustered_interval_at_the_edges():
    cluster = np.repeat(np.arange(5), 10)
    assert clustered_proportion(np.ones(50), cluster) == wilson(5, 5)
    assert clustered_proportion(np.zeros(50), cluster) == wilson(0, 5)
    assert clustered_proportion([True], [3]) == wilson(1, 1)
    one_track = clustered_proportion([True, False], [3, 3])
    assert one_track.value == 0.5
    assert one_track.high - one_track.low > 0.8
    all_alike = clustered_proportion(np.arange(50) % 2, cluster)  # no variance between tracks: n is all there is
    assert all_alike == wilson(25, 50)
    with pytest.raises(ValueError, match="no windows"):
        clustered_proportion([], [])


def test_bootstrap_is_seeded_and_keeps_clusters_together():
    rng = np.random.default_rng(0)
    y = rng.integers(4, size=40)
    pred = np.where(rng.random(40) < 0.6, y, (y + 1) % 4)
    interval = partial(bootstrap_interval, statistic=macro_f1)
    alone = interval(y, pred, np.arange(40))
    assert alone == interval(y, pred, np.arange(40))
    assert alone != interval(y, pred, np.arange(40), seed=1)
    assert alone.low < alone.value < alone.high
    repeated = [np.repeat(a, 9) for a in (y, pred, np.arange(40))]
    again = interval(*repeated)
    assert (again.value, again.low, again.high) == pytest.approx((alone.value, alone.low, alone.high))


@pytest.mark.parametrize("seed", range(5))
def test_macro_f1_is_sklearns(seed):
    rng = np.random.default_rng(seed)
    y, pred = rng.integers(0, 6, 50), rng.integers(0, 7, 50)  # class 6 is predicted and never true
    expected = f1_score(y, pred, labels=np.unique(y), average="macro", zero_division=0)
    assert bootstrap_interval(y, pred, np.arange(50), macro_f1, resamples=2).value == pytest.approx(expected)


# ---- the report


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@pytest.fixture
def scores() -> Scores:
    """Six tracks of two windows each; none is `pop`, and one `jazz` track is predicted as `pop`."""
    track = np.repeat(np.arange(6), 2)
    pred = np.array([0, 0, 1, 3, 2, 0])
    probs = np.full((12, 4), 0.1)
    probs[np.arange(12), pred[track]] = 0.7
    return scores_of(track, np.array([0, 0, 1, 1, 2, 2])[track], probs)


def test_summary(scores):
    summary = summarise(scores, GENRES)
    assert (summary["tracks"], summary["windows"]) == (6, 12)
    assert summary["confusion"] == [[2, 0, 0, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert summary["track_accuracy"]["value"] == summary["segment_accuracy"]["value"] == pytest.approx(4 / 6)
    assert summary["macro_f1"]["value"] == pytest.approx((0.8 + 2 / 3 + 2 / 3) / 3)
    assert summary["majority_baseline"] == pytest.approx(1 / 3)
    assert summary["genres_without_tracks"] == ["pop"]
    assert summary["most_confused"] == [
        {"true": "jazz", "predicted": "pop", "tracks": 1},
        {"true": "metal", "predicted": "blues", "tracks": 1},
    ]
    pop, blues = summary["per_genre"]["pop"], summary["per_genre"]["blues"]
    assert (pop["tracks"], pop["recall"], pop["f1"], pop["precision"]["value"]) == (0, None, None, 0)
    assert (blues["recall"]["value"], blues["precision"]["value"]) == pytest.approx((1, 2 / 3))
    assert json.loads(json.dumps(summary), parse_constant=refuse) == summary


@pytest.mark.parametrize(
    ("track", "y", "pred", "value"),
    [
        ([5], [1], [1], 1),
        ([5], [1], [0], 0),
        ([5, 5, 5], [1, 1, 1], [1, 1, 1], 1),
        ([0, 1, 2], [0, 1, 2], [0, 1, 2], 1),
        ([0, 1, 2], [0, 1, 2], [1, 2, 0], 0),
    ],
    ids=["one window", "one wrong window", "one track", "all right", "all wrong"],
)
def test_summary_of_very_few_windows(track, y, pred, value):
    summary = summarise(scores_of(track, y, np.eye(4)[pred]), GENRES)  # a probability of 0 has an infinite loss
    assert json.loads(json.dumps(summary), parse_constant=refuse) == summary
    assert summary["track_accuracy"]["value"] == summary["macro_f1"]["value"] == value
    assert summary["track_accuracy"]["low"] < summary["track_accuracy"]["high"]
    assert summary["loss"] == (0 if value else None)


def test_summary_refuses_nan_and_wrong_genres(scores):
    with pytest.raises(ValueError, match="3 genres for 4 classes"):
        summarise(scores, GENRES[:3])
    scores.log_probs[3] = np.nan
    with pytest.raises(UsageError, match="1 of 12 windows have NaN"):
        summarise(scores, GENRES)


def test_predictions_table(scores):
    rows = predictions_table(scores, GENRES, {3: "jazz.00003"})
    assert [row["track"] for row in rows] == ["0", "1", "2", "jazz.00003", "4", "5"]
    assert {k: rows[3][k] for k in ("genre", "predicted", "correct", "windows")} == {
        "genre": "jazz", "predicted": "pop", "correct": False, "windows": 2,
    }  # fmt: skip
    assert [rows[3][f"p_{genre}"] for genre in GENRES] == pytest.approx([0.1, 0.1, 0.1, 0.7])
    assert rows[3]["true_probability"] == pytest.approx(0.1)
    assert json.loads(json.dumps(rows)) == rows
