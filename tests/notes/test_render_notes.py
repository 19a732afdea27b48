"""Scores as sound."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_cls.errors import ScoreError
from musicgen_cls.notes.composed import DRUM_PITCH, compose
from musicgen_cls.notes.families import DRUMS, FAMILIES
from musicgen_cls.notes.render import LEVEL_DB, PATCH_OF_FAMILY, SHOT_OF_DRUM, render
from musicgen_cls.notes.score import Notes, length_seconds, notes_of, onset_seconds
from musicgen_cls.synth.styles import GENRES

RATE = 8000


def one(family: int, pitch: int = 69, onset: int = 24, duration: int = 24, velocity: int = 100) -> Notes:
    return notes_of(onset=[onset], duration=duration, place=0, bar=48, tempo=120, key=0, family=family, pitch=pitch,
                    velocity=velocity)  # fmt: skip


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "drums"])
def test_every_family_sounds_at_its_pitch_from_onset_to_end(family: str) -> None:
    sound = render(one(FAMILIES.index(family)), RATE)
    assert len(sound) == round((2.0 + 0.5) * RATE)
    assert not np.any(sound[:RATE])
    assert not np.any(sound[int(2.03 * RATE) :])
    tone = sound[int(1.1 * RATE) : int(1.9 * RATE)]
    spectrum = np.abs(np.fft.rfft(tone * np.hanning(len(tone))))
    strongest = np.argmax(spectrum) * RATE / len(tone)
    assert min(abs(1200 * np.log2(strongest / (440 * k))) for k in (1, 2, 3)) < 60  # cents


def test_every_drum_sounds() -> None:
    assert all(SHOT_OF_DRUM.get(number, "hat") == drum for drum, number in DRUM_PITCH.items())
    for pitch in range(128):
        sound = render(one(DRUMS, pitch), RATE)
        assert not np.any(sound[:RATE])
        assert np.any(sound[RATE : RATE + 400])


def test_families_have_a_patch_and_a_level() -> None:
    assert set(LEVEL_DB) == set(FAMILIES) == {*PATCH_OF_FAMILY, "drums"}


@pytest.mark.parametrize("genre", GENRES)
def test_a_piece_has_a_fixed_loudness_and_does_not_clip(genre: str) -> None:
    notes = compose(genre, 1, seconds=10.0)
    sound = render(notes, RATE)
    assert sound.dtype == np.float32
    assert len(sound) == round((length_seconds(notes) + 0.5) * RATE)
    assert 0.06 < np.sqrt(np.mean(sound**2)) < 0.12
    assert np.abs(sound).max() < 1
    assert np.mean(np.abs(sound) > 0.9) < 0.001
    assert np.array_equal(render(notes, RATE), sound)


def test_many_notes_at_once_do_not_clip() -> None:
    pitches = np.arange(128)
    notes = notes_of(onset=np.zeros(128, int), duration=48, place=0, bar=48, tempo=120, key=0, family=4, pitch=pitches,
                     velocity=127)  # fmt: skip
    assert np.abs(render(notes, RATE)).max() < 1


def test_louder_notes_are_louder() -> None:
    both = np.concatenate([one(2, velocity=40), one(2, onset=72, velocity=120)])
    sound = render(both, RATE)
    at = (onset_seconds(both) * RATE).astype(int)
    soft, loud = (np.abs(sound[start : start + RATE // 2]).max() for start in at)
    assert loud > 2 * soft


def test_the_length_can_be_given() -> None:
    notes = compose("pop", 0, seconds=8.0)
    assert len(render(notes, RATE, seconds=3.0)) == 3 * RATE
    assert not np.any(render(notes[:0], RATE, seconds=1.0))
    slow = one(2, onset=36_000 * 12)
    slow["tempo"] = 4
    with pytest.raises(ScoreError, match="at most"):
        render(slow, RATE)
