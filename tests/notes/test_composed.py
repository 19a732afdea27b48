"""The built-in songs as scores."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_cls.notes.composed import DRUM_PITCH, FAMILY_OF_PATCH, compose
from musicgen_cls.notes.families import DRUMS, FAMILIES
from musicgen_cls.notes.key import in_scale
from musicgen_cls.notes.pulse import pulse
from musicgen_cls.notes.score import length_seconds, without_overlaps
from musicgen_cls.synth.patches import PATCHES
from musicgen_cls.synth.render import generator
from musicgen_cls.synth.song import draw_song, lead_notes
from musicgen_cls.synth.styles import GENRES, STYLES


def test_every_instrument_and_drum_has_a_family() -> None:
    assert set(FAMILY_OF_PATCH) == set(PATCHES)
    assert set(FAMILY_OF_PATCH.values()) <= set(FAMILIES)
    assert set(DRUM_PITCH) >= {drum for style in STYLES.values() for groove in style.grooves for drum in groove}


@pytest.mark.parametrize("genre", GENRES)
def test_a_piece_is_whole_bars_of_a_song(genre: str) -> None:
    notes = compose(genre, 3, seconds=30.0)
    song = draw_song(STYLES[genre], generator(genre, 0, "track", 3))
    bar = 12 * song.beats
    assert set(notes["bar"]) == {bar}
    assert set(notes["tempo"]) == {round(song.tempo)}
    assert np.array_equal(notes["place"], notes["onset"] % bar)
    assert 28 < length_seconds(notes) < 36
    assert pulse(notes) > 0.4
    assert np.array_equal(without_overlaps(notes), notes)
    assert np.array_equal(compose(genre, 3, seconds=30.0), notes)
    own = notes[notes["family"] != DRUMS]
    degree = {int(pitch) for pitch in (own["pitch"].astype(int) - song.key) % 12}
    assert degree <= set(song.scale)


def test_the_melody_is_that_of_the_track() -> None:
    song = draw_song(STYLES["pop"], generator("pop", 0, "track", 0))
    notes = compose("pop", 0, seconds=20.0)
    expected = [note.pitch for note in lead_notes(song, 20.0)]
    lead = notes[notes["family"] == FAMILIES.index("lead")]["pitch"].tolist()
    assert set(expected) <= set(lead)
    assert in_scale(notes).sum() == (notes["family"] != DRUMS).sum()


def test_swing_is_on_triplets() -> None:
    jazz, rock = compose("jazz", 0), compose("rock", 0)
    assert set(jazz["onset"] % 12) <= {0, 4, 8, 10}
    assert set(rock["onset"] % 12) <= {0, 3, 6, 9}
