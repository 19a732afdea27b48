"""Tracks of synthetic music in ten genres, rendered hundreds of times faster than real time."""

from __future__ import annotations

from math import isfinite
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from musicgen_cls.errors import UsageError, nearest
from musicgen_cls.synth.instruments import mix, play, play_drums
from musicgen_cls.synth.song import bass_notes, comp_notes, draw_band, draw_song, lead_notes
from musicgen_cls.synth.styles import GENRES, STYLES

TRACKS_PER_ARTIST = 4


def artist_name(genre: str, index: int) -> str:
    """Artist of track `index` of `genre`. Four consecutive tracks have one artist, with the same patches and mix."""
    return f"{genre} artist {index // TRACKS_PER_ARTIST:02d}"


def render(
    genre: str, index: int, *, seed: int = 0, seconds: float = 30.0, sample_rate: int = 22050
) -> NDArray[np.float32]:
    """Render a track. The same arguments give the same samples.

    Args:
        genre: one of `GENRES`.
        index: number of the track in its genre, 0 or more.
        seed: random seed, 0 or more.
        seconds: length, s, 0.1 or more.
        sample_rate: Hz, 4000 or more.

    Returns:
        float32 mono `[round(seconds * sample_rate)]` in [-1, 1].

    Raises:
        UsageError: the genre is unknown, or an argument is out of range.
    """
    check(genre, index, seed, seconds, sample_rate)
    style = STYLES[genre]
    band = draw_band(style, generator(genre, seed, "artist", index // TRACKS_PER_ARTIST))
    rng = generator(genre, seed, "track", index)
    song = draw_song(style, rng)
    length = round(seconds * sample_rate)
    tracks = [
        play_drums(song, band, rng, length, sample_rate),
        play(bass_notes(song, length / sample_rate), band.bass, rng, length, sample_rate),
        play(comp_notes(song, length / sample_rate), band.comp, rng, length, sample_rate),
        play(lead_notes(song, length / sample_rate), band.lead, rng, length, sample_rate),
    ]
    return mix(tracks, band, song, rng, sample_rate)


def generator(genre: str, seed: int, role: str, number: int) -> np.random.Generator:
    """The random generator of an artist or a track."""
    return np.random.default_rng((seed, crc32(f"{genre} {role}".encode()), number))


def check(genre: str, index: int, seed: int, seconds: float, sample_rate: int) -> None:
    """Raise `UsageError` for an argument that is out of range."""
    if genre not in STYLES:
        raise UsageError(f"genre {genre!r} is not one of {', '.join(GENRES)}{nearest(genre, GENRES)}")
    for name, value, least in (("index", index, 0), ("seed", seed, 0), ("sample_rate", sample_rate, 4000)):
        if value < least:
            raise UsageError(f"{name}={value} is too small: give an integer of {least} or more.")
    if not (isfinite(seconds) and seconds >= 0.1):
        raise UsageError(f"seconds={seconds} is not a valid length: give 0.1 or more.")
