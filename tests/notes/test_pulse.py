"""How well onsets keep to the beat."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_cls.notes.pulse import LEAST_PULSE, pulse
from musicgen_cls.notes.score import Notes, notes_of


def at(onset: np.ndarray) -> Notes:
    return notes_of(onset=onset, duration=3, place=0, bar=48, tempo=100, key=0, family=2, pitch=60, velocity=80)


@pytest.mark.parametrize("step", [3, 4, 6, 12])
def test_notes_on_a_grid_have_all_the_pulse(step: int) -> None:
    assert pulse(at(np.arange(100) * step)) == pytest.approx(1)
    assert pulse(at(np.arange(100) * step + 1)) == pytest.approx(1)  # all late by a step


def test_evenly_spread_onsets_have_none() -> None:
    assert pulse(at(np.arange(1200))) == pytest.approx(0, abs=1e-9)
    free = np.cumsum(np.random.default_rng(0).integers(2, 14, 2000))
    assert pulse(at(free)) < LEAST_PULSE
    assert pulse(at(np.zeros(0, int))) == 0


def test_swing_and_a_loose_performance_keep_a_pulse() -> None:
    swing = np.arange(400) // 2 * 12 + np.resize([0, 8], 400)
    assert pulse(at(swing)) == pytest.approx(1)
    loose = swing + np.random.default_rng(0).integers(-1, 2, 400)
    assert pulse(at(np.maximum(loose, 0))) > 4 * LEAST_PULSE
