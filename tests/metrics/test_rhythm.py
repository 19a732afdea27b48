"""The beat of recordings and scores whose onsets are known."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_cls.metrics.rhythm import RATE, Beat, audio_beat, autocorrelation, score_beat
from pieces import melody, random_melody


def clicks(times: np.ndarray, rate: int, seconds: float = 20.0) -> np.ndarray:
    """Decaying bursts of noise at some times, s."""
    rng = np.random.default_rng(0)
    sound = np.zeros(round((seconds + 1) * rate), np.float32)
    burst = (rng.normal(size=rate // 20) * np.exp(-np.arange(rate // 20) / rate * 100)).astype(np.float32)
    for time in times:
        at = round(time * rate)
        sound[at : at + len(burst)] += burst
    return sound[: round(seconds * rate)]


@pytest.mark.parametrize("rate", [10_000, RATE])
def test_regular_clicks_have_a_beat(rate: int) -> None:
    beat = audio_beat(clicks(np.arange(0.1, 19, 0.5), rate), rate)
    assert beat.peak > 0.8
    assert min(abs(beat.tempo - tempo) for tempo in (120, 60, 40)) < 1  # whole multiples of the period match as well
    assert beat.steadiness == 1


def test_irregular_clicks_and_noise_have_less_of_one() -> None:
    rng = np.random.default_rng(1)
    irregular = audio_beat(clicks(np.sort(rng.uniform(0, 19, 38)), RATE), RATE)
    noise = audio_beat(rng.normal(0, 0.1, 20 * RATE).astype(np.float32), RATE)
    assert noise.peak < 0.15
    assert irregular.peak < 0.4


def test_a_change_of_tempo_is_not_steady() -> None:
    times = np.concatenate([np.arange(0.1, 10, 0.5), np.arange(10, 19, 0.37)])
    assert audio_beat(clicks(times, RATE), RATE).steadiness < 0.8


@pytest.mark.parametrize("samples", [0, 500, 5000, 20 * RATE])
def test_silence_has_no_beat(samples: int) -> None:
    assert audio_beat(np.zeros(samples, np.float32), RATE) == Beat(0.0, 0.0, 0.0)


def test_the_autocorrelation_is_that_of_the_definition() -> None:
    series = np.random.default_rng(2).normal(size=50)
    centred = series - series.mean()
    wanted = [np.dot(centred[lag:], centred[: 50 - lag]) / np.dot(centred, centred) for lag in range(8)]
    assert np.allclose(autocorrelation(series, 7), wanted)
    assert autocorrelation(np.ones(5), 3).tolist() == [0, 0, 0, 0]


def test_quarters_return_at_the_beat_and_at_the_bar() -> None:
    assert score_beat(melody([60] * 64)) == pytest.approx((1, 1), abs=0.03)


def test_half_notes_return_at_the_bar_only() -> None:
    beat, bar = score_beat(melody([60] * 64, step=24))
    assert bar == pytest.approx(1, abs=0.03)
    assert beat < 0


def test_random_onsets_do_not_return() -> None:
    assert np.abs(score_beat(random_melody(0, 2000))).max() < 0.1
    assert score_beat(melody([60])) == score_beat(melody([])) == (0, 0)
