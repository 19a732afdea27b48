"""The built-in songs as scores."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from musicgen_cls.notes.families import DRUMS, FAMILIES
from musicgen_cls.notes.score import GRID, Notes, notes_of, without_overlaps
from musicgen_cls.synth.render import TRACKS_PER_ARTIST, generator
from musicgen_cls.synth.song import (
    STEPS_PER_BEAT,
    Note,
    Song,
    bars,
    bass_notes,
    comp_notes,
    draw_band,
    draw_song,
    drum_hits,
    lead_notes,
)
from musicgen_cls.synth.styles import STYLES

FAMILY_OF_PATCH = {
    "upright": "bass", "finger": "bass", "pick": "bass", "sub": "bass", "piano": "piano", "epiano": "piano",
    "organ": "organ", "strings": "strings", "fiddle": "strings", "flute": "flute", "brass": "brass", "reed": "reed",
    "steel": "guitar", "guitar": "guitar", "crunch": "guitar", "metal": "guitar", "saw": "lead", "square": "lead",
    "pad": "pad", "bell": "mallets",
}  # fmt: skip
"""The family of each instrument of the synthesiser."""

DRUM_PITCH = {
    "kick": 36, "rim": 37, "snare": 38, "clap": 39, "timpani": 41, "hat": 42, "open": 46, "crash": 49, "ride": 51,
}  # fmt: skip
"""The General MIDI number of each drum of the synthesiser; the timpani is the low floor tom."""

_TRIPLET_SWING = 7 / 12  # from here on, the second half of a beat is nearer to its last third than to its middle


def compose(genre: str, index: int, *, seed: int = 0, seconds: float = 60.0) -> Notes:
    """The score of a song: key, tempo, chords and melody of the synthetic track that has the same arguments.

    Swing is on the nearest steps of the grid: straight, or the last third of the beat. The bars that begin within
    `seconds` are whole. The random changes of the drums are others than in the track.

    Args:
        genre: one of `synth.styles.GENRES`.
        index: number of the song in its genre, 0 or more.
        seed: random seed, 0 or more.
        seconds: length, s.
    """
    band = draw_band(STYLES[genre], generator(genre, seed, "artist", index // TRACKS_PER_ARTIST))
    song = draw_song(STYLES[genre], generator(genre, seed, "track", index))
    families = [FAMILIES.index(FAMILY_OF_PATCH[name]) for name in band.instruments]
    bar, number = song.beats * GRID, len(bars(song, seconds))
    whole = number * song.steps * song.step
    rows = np.concatenate(
        [
            _drums(song, generator(genre, seed, "drums of a score", index), whole),
            *(
                _part(song, played(song, seconds), family)
                for played, family in zip((bass_notes, comp_notes, lead_notes), families, strict=True)
            ),
        ]
    )
    rows = rows[rows[:, 0] < number * bar]  # a motif of two bars can end later
    key = song.key % 12 + (12 if 3 in song.scale else 0)
    onset, duration, family, pitch, velocity = rows.T
    notes = notes_of(onset=onset, duration=duration, place=onset % bar, bar=bar, tempo=round(song.tempo), key=key,
                     family=family, pitch=pitch, velocity=velocity)  # fmt: skip
    return without_overlaps(notes)


def _part(song: Song, notes: Iterator[Note], family: int) -> npt.NDArray[np.int64]:
    """Rows of onset, duration, family, pitch and velocity of an instrument, `[notes, 5]`."""
    rows = [
        (on_grid(song, note.start), max(1, round(note.length * song.tempo / 60 * GRID)), family, note.pitch,
         round(20 + 90 * note.strength))
        for note in notes
    ]  # fmt: skip
    return np.array(rows, dtype=np.int64).reshape(-1, 5)


def _drums(song: Song, rng: np.random.Generator, seconds: float) -> npt.NDArray[np.int64]:
    rows = [
        (on_grid(song, hit.start), GRID // STEPS_PER_BEAT, DRUMS, DRUM_PITCH[hit.drum], round(20 + 90 * hit.strength))
        for hit in drum_hits(song, rng, seconds)
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 5)


def on_grid(song: Song, time: float) -> int:
    """The step of the grid for a time of a song, s."""
    beat, within = divmod(time * song.tempo / 60, 1)
    middle = 8 if song.swing >= _TRIPLET_SWING else GRID // 2
    swung = np.array([0, song.swing / 2, song.swing, (1 + song.swing) / 2, 1])
    steps = (0, middle // 2, middle, (GRID + middle) // 2, GRID)
    return int(beat) * GRID + steps[int(np.argmin(np.abs(swung - within)))]
