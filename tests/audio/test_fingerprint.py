"""Fingerprints find the same recording in another format, and distinguish different music."""

from io import BytesIO

import numpy as np
import pytest
import soundfile
import soxr

from musicgen_cls.audio.fingerprint import fingerprint, same_sound
from musicgen_cls.synth.render import render

RATE = 22050
SONGS = 6


@pytest.fixture(scope="module")
def songs():
    return [render(genre, n, seconds=10.0, sample_rate=RATE) for genre in ("jazz", "metal") for n in range(SONGS // 2)]


def encoded(waveform, **options):
    buffer = BytesIO()
    soundfile.write(buffer, waveform, RATE, **options)
    buffer.seek(0)
    return soundfile.read(buffer, dtype="float32")[0]


CHANGES = {
    "mp3": lambda x: encoded(x, format="MP3", bitrate_mode="CONSTANT", compression_level=0.63),
    "ogg": lambda x: encoded(x, format="OGG", subtype="VORBIS"),
    "rate": lambda x: soxr.resample(soxr.resample(x, RATE, 16000), 16000, RATE),
    "level": lambda x: x / 2,
    "cut": lambda x: x[2 * RATE :],
}


def test_different_songs_are_not_the_same(songs):
    assert same_sound([fingerprint(song, RATE) for song in songs]) == []


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_copies_are_found(songs, change):
    copies = [fingerprint(change(song), RATE) for song in songs]
    pairs = same_sound([*(fingerprint(song, RATE) for song in songs), *copies])
    assert pairs == [(n, n + SONGS) for n in range(SONGS)]


def test_audio_without_landmarks():
    nothing = [np.zeros(RATE, np.float32), np.zeros(10, np.float32), np.full(5 * RATE, 0.1, np.float32)]
    found = [fingerprint(waveform, RATE) for waveform in nothing]
    assert [len(own) for own in found[:2]] == [0, 0]
    assert same_sound(found) == []
    assert same_sound([]) == []


def test_steady_tones_are_not_the_same():
    time = np.arange(5 * RATE) / RATE
    tones = [np.sin(2 * np.pi * f * time).astype(np.float32) for f in (440, 441, 880)]
    assert same_sound([fingerprint(tone, RATE) for tone in tones]) == []
