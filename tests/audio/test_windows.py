import numpy as np
import pytest

from musicgen_cls.audio.windows import sliding_starts, spaced_starts, to_samples

RATE = 22050


@pytest.mark.parametrize(
    ("seconds", "rate", "samples"),
    [(2, RATE, 44100), (0.0774, RATE, 1707), (30.013, 22050, 661787), (1 / 3, 16000, 5333), (0, 8000, 0)],
)
def test_to_samples(seconds, rate, samples):
    assert to_samples(seconds, rate) == samples
    assert isinstance(to_samples(seconds, rate), int)


@pytest.mark.parametrize(
    ("samples", "count"),
    [
        (661794, 14),  # GTZAN's usual 30.013 s: 15 would fit
        (to_samples(30.013, RATE), 14),
        (660000, 14),  # 29.93 s, the shortest track of GTZAN: 14 fit
        (to_samples(30, RATE), 14),
        (14 * 44100, 14),
        (14 * 44100 - 1, 13),
        (2 * 44100, 2),
        (44100, 1),
        (44099, 0),
        (1, 0),
        (0, 0),
    ],
)
def test_counts_of_two_second_windows(samples, count):
    starts = spaced_starts(samples, 44100, 14)
    assert len(starts) == count
    assert starts.dtype == np.int64


def test_fifteen_fit_if_allowed():
    assert len(spaced_starts(661794, 44100, 20)) == 15


def test_one_window_lies_in_the_middle():
    assert spaced_starts(100, 40, 1).tolist() == [30]
    assert spaced_starts(70, 40, 9).tolist() == [15]


def test_windows_that_fill_a_track_touch():
    assert spaced_starts(400, 100, 4).tolist() == [0, 100, 200, 300]


def test_spaced_windows_at_random():
    rng = np.random.default_rng(0)
    for _ in range(2000):
        window, limit = int(rng.integers(1, 5000)), int(rng.integers(1, 40))
        samples = int(rng.integers(0, 30 * window))
        starts = spaced_starts(samples, window, limit)
        case = (samples, window, limit)
        assert len(starts) == min(limit, samples // window), case
        if len(starts):
            assert starts[0] >= 0, case
            assert starts[-1] + window <= samples, case
            assert (np.diff(starts) >= window).all(), case
        if len(starts) > 1:
            assert starts[0] == 0, case
            assert starts[-1] == samples - window, case
            assert np.ptp(np.diff(starts)) <= 1, case


def test_sliding_windows_at_random():
    rng = np.random.default_rng(1)
    for _ in range(2000):
        window = int(rng.integers(1, 3000))
        samples, hop = int(rng.integers(0, 20 * window)), int(rng.integers(1, window + 1))
        starts = sliding_starts(samples, window, hop)
        case = (samples, window, hop)
        assert starts[0] == 0, case
        assert starts[-1] == max(0, samples - window), case
        assert (np.diff(starts) > 0).all(), case
        assert (np.diff(starts) <= hop).all(), case  # with hop <= window nothing is left uncovered
        assert (np.diff(starts)[:-1] == hop).all(), case
