"""What a score is, in short, and where its bars begin."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_cls.errors import ScoreError
from musicgen_cls.notes.composed import compose
from musicgen_cls.notes.facts import bar_times, facts_of, seconds_at
from musicgen_cls.notes.families import FAMILIES
from musicgen_cls.notes.score import NOTE, notes_of, onset_seconds


def test_facts_in_words() -> None:
    notes = notes_of(onset=[0, 12, 36, 48], duration=12, place=[0, 12, 0, 12], bar=36, tempo=[60, 60, 60, 120], key=15,
                     family=[0, 2, 2, 1], pitch=60, velocity=80)  # fmt: skip
    facts = facts_of(notes)
    assert str(facts) == ("E♭ minor, 3/4, 60 beats per minute (60 to 120), 4.5 s, 4 notes: piano 2, drums 1, bass 1")
    assert facts.families == {"piano": 2, "drums": 1, "bass": 1}
    with pytest.raises(ScoreError, match="no notes"):
        facts_of(np.zeros(0, NOTE))


def test_bars_without_notes_have_a_line_too() -> None:
    notes = notes_of(onset=[60, 200], duration=3, place=[12, 8], bar=48, tempo=60, key=0, family=2, pitch=60,
                     velocity=80)  # fmt: skip
    assert bar_times(notes).tolist() == [0, 4, 8, 12, 16]
    assert len(bar_times(notes[:0])) == 0


def test_bars_follow_tempo_and_metre() -> None:
    first = compose("rock", 0, seconds=8.0)
    later = first.copy()
    later["onset"] += 48 * 5
    later["tempo"] = 60
    both = np.concatenate([first, later])
    times = bar_times(both)
    assert np.allclose(np.diff(times)[-3:], 4.0)
    assert np.allclose(seconds_at(both, both["onset"]), onset_seconds(both))
    assert {FAMILIES[family] for family in np.unique(both["family"])} == set(facts_of(both).families)
