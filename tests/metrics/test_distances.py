import numpy as np
import pytest

from musicgen_cls.metrics import distances


def tracks(rng, count: int, shift: float = 0.0, features: int = 6) -> list[np.ndarray]:
    """Tracks of eight correlated windows."""
    return [rng.normal(shift, 1, features) + 0.5 * rng.normal(0, 1, (8, features)) for _ in range(count)]


class TestMmd:
    def test_is_zero_on_average_for_equal_distributions(self):
        rng = np.random.default_rng(0)
        found = [distances.mmd(tracks(rng, 8), tracks(rng, 12), 3.0) for _ in range(60)]
        values = np.array([distance.value for distance in found])
        assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
        assert (values < 0).any()
        held = np.mean([distance.low <= 0 <= distance.high for distance in found])
        assert held > 0.85

    def test_is_the_formula_for_tracks_of_one_window(self):
        rng = np.random.default_rng(1)
        x, y = rng.normal(size=(5, 3)), rng.normal(1, 1, (6, 3))
        kernel = lambda a, b: np.exp(-((a - b) ** 2).sum() / (2 * 2.0**2))  # noqa: E731
        xx = sum(kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j) / 20
        yy = sum(kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j) / 30
        xy = np.mean([kernel(a, b) for a in x for b in y])
        found = distances.mmd([row[None] for row in x], [row[None] for row in y], 2.0)
        assert found.value == pytest.approx(xx + yy - 2 * xy)

    def test_grows_with_the_difference(self):
        rng = np.random.default_rng(2)
        real = tracks(rng, 20)
        values = [distances.mmd(tracks(rng, 20, shift), real, 3.0).value for shift in (0.0, 1.0, 3.0)]
        assert values[0] < values[1] < values[2]


class TestFrechet:
    def test_between_normal_distributions_is_the_formula(self):
        rng = np.random.default_rng(0)
        a, b = rng.normal(0, 1, (20_000, 2)), rng.normal((3, 0), (2, 1), (20_000, 2))
        assert distances.frechet([a], [b]).value == pytest.approx(9 + 1, rel=0.03)

    def test_is_small_for_equal_distributions(self):
        rng = np.random.default_rng(0)
        assert distances.frechet([rng.normal(size=(5000, 3))], [rng.normal(size=(5000, 3))]).value < 0.01


def test_nearest_is_the_nearest():
    rng = np.random.default_rng(0)
    training = rng.normal(size=(300, 10))
    ours = np.concatenate([training[[7, 200]] + 0.1, rng.normal(size=(700, 10))])
    found = distances.nearest(ours, training, chunk=64)
    want = np.sqrt(((ours[:, None] - training) ** 2).mean(axis=2)).min(axis=1)
    np.testing.assert_allclose(found, want, rtol=1e-5)
    np.testing.assert_allclose(found[:2], 0.1, rtol=1e-4)


def test_median_distance():
    points = [np.array([[0.0], [1.0]]), np.array([[3.0]])]
    assert distances.median_distance(points) == 2


def test_related_pairs_of_tracks_are_left_out():
    rng = np.random.default_rng(3)
    plain, left_out = [], []
    for _ in range(40):
        real = tracks(rng, 8)
        ours = [track + 0.1 * rng.normal(size=track.shape) for track in real]
        plain.append(distances.mmd(ours, real, 3.0).value)
        left_out.append(distances.mmd(ours, real, 3.0, [(i, i) for i in range(8)]).value)
    assert np.mean(plain) < -3 * np.std(plain) / np.sqrt(40)
    assert abs(np.mean(left_out)) < 3 * np.std(left_out) / np.sqrt(40)


def test_frechet_distance_of_constant_sets():
    rng = np.random.default_rng(0)
    silent, real = [np.zeros((9, 5))] * 2, [rng.normal(1, 1, (50, 5))]
    assert distances.frechet(silent, silent).value == 0
    assert distances.frechet(silent, real).value == pytest.approx(10, rel=0.3)
