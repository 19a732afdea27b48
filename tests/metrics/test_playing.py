"""Notes at once, clashes, endless notes; excerpts; statistics."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_cls.metrics.excerpts import excerpt
from musicgen_cls.metrics.note_features import NAMES_OF_FEATURES, genre_classifier, note_features
from musicgen_cls.metrics.playing import Playing, playing
from musicgen_cls.notes.families import DRUMS
from musicgen_cls.notes.score import notes_of
from pieces import FLUTE, PIANO, bars, melody, random_melody


def test_a_melody_has_one_note_at_once() -> None:
    assert playing(melody([60, 62, 64, 65])) == Playing(0, 0, 1, 1.0, 1, 1.0)
    assert playing(melody([])) == Playing(0, 0, 0, 0.0, 0, 0.0)


def test_notes_at_once_are_counted() -> None:
    notes = notes_of(onset=[0, 0, 6], duration=[12, 6, 6], place=0, bar=48, tempo=120, key=0,
                     family=[PIANO, FLUTE, FLUTE], pitch=[60, 64, 65], velocity=80)  # fmt: skip
    found = playing(notes)
    assert (found.most_at_once, found.mean_at_once, found.instruments, found.notes_per_beat) == (2, 2.0, 2, 3.0)


def test_clashes_and_endless_notes() -> None:
    assert playing(melody([60, 60, 62], duration=13)).clashes == 1
    assert playing(melody([60, 60, 62], duration=12)).clashes == 0
    assert playing(melody([60, 62], duration=193)).endless == 2
    assert playing(melody([60, 62], duration=193, family=DRUMS)).endless == 0


@pytest.mark.parametrize(
    ("seconds", "most", "kept"), [(4.0, None, 8), (4.1, None, 8), (None, 10, 8), (None, None, 24), (0.1, 2, 4)]
)
def test_an_excerpt_has_whole_bars(seconds: float | None, most: int | None, kept: int) -> None:
    assert len(excerpt(bars(*[[60, 62, 64, 65]] * 6), seconds, most)) == kept  # a bar lasts 2 s


def test_a_later_excerpt_begins_with_a_bar() -> None:
    found = excerpt(bars(*[[60, 62, 64, 65]] * 6), 4.0, None, start_s=2.5)
    assert (found["onset"][0], found["place"][0], len(found)) == (0, 0, 8)
    assert len(excerpt(bars([60]), start_s=9)) == len(excerpt(bars([60])[:0])) == 0


def test_statistics_have_a_name_each() -> None:
    found = dict(zip(NAMES_OF_FEATURES, note_features(bars([60, 62, 64, 67], [60, 62, 64, 67])), strict=True))
    assert found["bars that return"] == 1
    assert found["share of notes of piano"] == 1
    assert found["share of melodic intervals of 2 semitones"] == pytest.approx(4 / 7)
    assert found["steps in a bar"] == 48
    assert np.isfinite(note_features(melody([36], family=DRUMS))).all()
    with pytest.raises(ValueError, match="without notes"):
        note_features(melody([]))


def test_genres_are_learnt_from_statistics() -> None:
    scores = [random_melody(seed) for seed in range(8)] + [
        melody(np.random.default_rng(seed).choice([60, 62, 64, 67], 64).tolist()) for seed in range(8)
    ]
    genres = ["a"] * 8 + ["b"] * 8
    classifier = genre_classifier(scores[:6] + scores[8:14], genres[:6] + genres[8:14])
    rows = np.stack([note_features(notes) for notes in scores[6:8] + scores[14:]])
    assert classifier.predict(rows).tolist() == ["a", "a", "b", "b"]
