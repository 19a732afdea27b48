import numpy as np
import pytest

from musicgen_cls.metrics import by_second as sound

RATE = 8000


def test_loudness_of_a_sine_and_of_silence():
    t = np.arange(RATE) / RATE
    assert sound.loudness(np.sin(2 * np.pi * 100 * t).astype("f4")) == pytest.approx(-3.01, abs=0.01)
    assert sound.loudness(np.zeros(100, "f4")) == sound.MIN_DB


def test_noise_is_flat_and_a_tone_is_not():
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype("f4")
    found = sound.by_second(noise, RATE)
    np.testing.assert_allclose(found["flatness"], np.exp(-np.euler_gamma), atol=0.02)
    np.testing.assert_allclose(found["loudness"], -20, atol=0.2)
    np.testing.assert_allclose(found["centroid"], RATE / 4, rtol=0.03)
    tone = np.sin(2 * np.pi * 1000 * np.arange(2 * RATE) / RATE).astype("f4")
    found = sound.by_second(tone, RATE)
    assert (found["flatness"] < 1e-4).all()
    np.testing.assert_allclose(found["centroid"], 1000, rtol=0.01)


def test_only_whole_seconds_count():
    assert len(sound.by_second(np.ones(int(2.9 * RATE), "f4"), RATE)["loudness"]) == 2


def test_bands_are_quantiles_over_tracks():
    tracks = np.arange(101)[:, None] * np.array([1.0, 2.0])
    np.testing.assert_allclose(sound.bands(tracks, (0.05, 0.5)), [[5, 10], [50, 100]])


def test_the_error_of_the_median_depends_on_the_prompts_and_not_on_the_continuations():
    prompts = np.random.default_rng(0).normal(size=(400, 1, 1))
    error = sound.median_error(list(prompts))
    assert error.shape == (1,)
    assert error[0] == pytest.approx(np.sqrt(np.pi / 2) / 20, rel=0.25)  # of normal numbers, as many go to infinity
    few = sound.median_error(list(prompts[:25]))[0]
    assert few == pytest.approx(np.sqrt(np.pi / 2) / 5, rel=0.4)
    assert sound.median_error(list(np.repeat(prompts[:25], 8, axis=1)))[0] == pytest.approx(few, rel=0.05)
