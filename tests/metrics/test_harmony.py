"""Scale, key, pitch classes and intervals of scores that are known."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_cls.metrics.harmony import bar_entropies, degrees, divergence, harmony, intervals
from musicgen_cls.notes.families import DRUMS
from musicgen_cls.notes.score import notes_of, transposed
from pieces import PIANO, bars, melody

SCALE = [60, 62, 64, 65, 67, 69, 71, 72]


@pytest.mark.parametrize("semitones", [0, 5, -3])
def test_a_scale_is_in_scale_in_every_key(semitones: int) -> None:
    found = harmony(transposed(melody([*SCALE, 60, 64, 67, 60]), semitones))
    assert found.in_scale == 1
    assert found.clarity > 0.8
    assert found.margin > 0


def test_every_pitch_alike_has_no_key() -> None:
    found = harmony(melody(range(60, 72), step=4))
    assert found.clarity == found.margin == 0
    assert found.in_scale == pytest.approx(7 / 12)
    assert found.entropy == pytest.approx(np.log2(12))


def test_the_entropy_of_bars() -> None:
    notes = bars([60, 60, 72, 48], [60, 62, 60, 62], [], [60, 62, 64, 65])
    assert np.allclose(bar_entropies(notes), [0, 1, 2])


def test_drums_have_no_harmony() -> None:
    drums = melody([36, 38, 42], family=DRUMS)
    assert np.isnan(harmony(drums).in_scale)
    assert not intervals(drums).any()
    both = np.concatenate([drums, melody(SCALE)])
    assert harmony(both) == harmony(melody(SCALE))


def test_degrees_are_above_the_tonic() -> None:
    notes = melody([62, 62, 66, 69, 62])  # D major
    assert degrees(notes).nonzero()[0].tolist() == [0, 4, 7]
    assert degrees(notes)[0] == 3


def test_intervals_are_those_of_the_highest_notes() -> None:
    chords = notes_of(onset=[0, 0, 12, 12, 24], duration=12, place=[0, 0, 12, 12, 24], bar=48, tempo=120, key=0,
                      family=PIANO, pitch=[48, 60, 50, 62, 90], velocity=80)  # fmt: skip
    assert (intervals(chords).nonzero()[0] - 12).tolist() == [2, 12]


def test_the_divergence_of_histograms() -> None:
    left, right, both = np.array([1.0, 0, 0]), np.array([0, 0.5, 0.5]), np.array([0.5, 0.25, 0.25])
    assert np.allclose(divergence(np.stack([left, right]), left), [0, 1])
    wanted = 0.5 * (np.log2(1 / 0.75) + 0.5 * np.log2(0.5 / 0.75) + 0.5)  # (KL(left, m) + KL(both, m)) / 2
    assert divergence(left, both) == pytest.approx(wanted)
