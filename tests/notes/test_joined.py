"""The sound of a continued recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_cls.notes.beat_grid import BAR, Transcription
from musicgen_cls.notes.joined import end_of_prompt, joined
from musicgen_cls.notes.score import Notes
from pieces import melody

RATE = 8000
BEATS = 0.25 + 0.5 * np.arange(9)
"""Two bars at 120 beats per minute, from 0.25 s."""


@pytest.fixture
def recording(tmp_path: Path) -> Transcription:
    """5 s of a ramp of noise, of which two bars from 0.25 s are the prompt."""
    sound = np.random.default_rng(0).normal(0, 0.2, 5 * RATE).clip(-0.9, 0.9)
    soundfile.write(tmp_path / "a.wav", sound, RATE)
    return Transcription(tmp_path / "a.wav", melody([60] * 7), BEATS)


def pieces_with(first: int) -> Notes:
    """The prompt, and notes after it."""
    later = melody([64] * 4)
    later["onset"] += first
    return np.concatenate([melody([60] * 7), later])


@pytest.mark.parametrize(("first", "step"), [(2 * BAR, 2 * BAR), (2 * BAR - 6, 2 * BAR - 6), (3 * BAR, 2 * BAR)])
def test_the_recording_lasts_until_the_first_new_note(recording: Transcription, first: int, step: int) -> None:
    notes = pieces_with(first)
    rendered = (0.05 * np.sin(np.arange(8 * RATE))).astype(np.float32)
    assert end_of_prompt(recording, notes) == step
    sound, samples = joined(recording, notes, rendered, RATE)
    assert samples == round(step / 24 * RATE)
    assert len(sound) == 8 * RATE
    assert np.array_equal(sound[samples:], rendered[samples:])
    original, _ = soundfile.read(recording.path, dtype="float32")
    kept = slice(0, samples - RATE // 20)
    own, same = sound[kept], original[RATE // 4 :][kept]
    assert np.corrcoef(own, same)[0, 1] > 0.9999
    loudness = np.sqrt(np.mean(rendered[samples:] ** 2))
    assert np.sqrt(np.mean(own**2)) == pytest.approx(loudness, rel=0.05)
    assert np.abs(np.diff(sound[samples - 3 : samples + 3])).max() < 0.1  # no click


def test_peaks_stay_below_full_scale_and_silence_stays(recording: Transcription) -> None:
    loud = np.ones(8 * RATE, np.float32)
    sound, samples = joined(recording, pieces_with(2 * BAR), loud, RATE)
    assert 0.99 < np.abs(sound[: samples - RATE // 20]).max() <= 1
    sound, samples = joined(recording, recording.notes, np.zeros(8 * RATE, np.float32), RATE)
    assert np.abs(sound[: samples - RATE // 20]).max() > 0.5
