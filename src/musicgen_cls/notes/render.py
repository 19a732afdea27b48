"""Scores as sound, by the built-in synthesiser: no download and no licence."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from musicgen_cls.errors import ScoreError
from musicgen_cls.notes.families import DRUMS, FAMILIES
from musicgen_cls.notes.score import Notes, length_seconds, onset_seconds, step_seconds
from musicgen_cls.synth.instruments import drum_shots, play, rms
from musicgen_cls.synth.patches import KITS, PATCHES, Kit, Patch
from musicgen_cls.synth.song import Note

Waveform = npt.NDArray[np.float32]

LONGEST_S = 4 * 3600.0
"""Seconds of the longest score that is rendered."""

PATCH_OF_FAMILY = {
    "bass": "finger", "piano": "piano", "mallets": "bell", "organ": "organ", "guitar": "guitar", "strings": "strings",
    "brass": "brass", "reed": "reed", "flute": "flute", "lead": "square", "pad": "pad",
}  # fmt: skip
"""The instrument of the synthesiser for each family but drums; its parameters are the centres of their ranges."""

LEVEL_DB = {
    "drums": -3.0, "bass": 0.0, "piano": 0.0, "mallets": -4.0, "organ": -7.0, "guitar": -2.0, "strings": -8.0,
    "brass": -4.0, "reed": -4.0, "flute": -4.0, "lead": -5.0, "pad": -9.0,
}  # fmt: skip
"""The level of each family in the mix: sustained sounds are softer than plucked ones."""

_SHOTS = {
    "kick": (35, 36), "rim": (31, 33, 37, 56, 60, 61, 62, 63, 64, 67, 68, 75, 76, 77, 85), "snare": (38, 40, 65, 66),
    "clap": (39,), "timpani": (41, 43, 45, 47, 48, 50, 86, 87), "open": (46, 58, 74, 79), "crash": (49, 52, 55, 57),
    "ride": (51, 53, 59, 80, 81, 83, 84),
}  # fmt: skip
SHOT_OF_DRUM = {number: shot for shot, numbers in _SHOTS.items() for number in numbers}
"""The hit of the synthesiser for each General MIDI number of a drum; the others, such as shakers, are `hat`."""

_LONGEST_NOTE_S = 6.0
_LOUDNESS = 0.1  # RMS, relative to full scale
_TAIL_S = 0.5  # for the last drums to fade
_MOST_PEAK = 1.5  # before the limiter: a piece of few notes stays clean


def render(notes: Notes, sample_rate: int = 22050, seconds: float | None = None) -> Waveform:
    """The sound of a score. The same notes give the same samples.

    Args:
        notes: the score.
        sample_rate: Hz, 4000 or more.
        seconds: length of the sound, s; up to the end of the last note and half a second more if None.

    Returns:
        float32 mono `[samples]`, within (-1, 1), at a fixed loudness.

    Raises:
        ScoreError: the score is longer than `LONGEST_S`.
    """
    length = length_of_sound(notes, sample_rate, seconds)
    total = np.zeros(length, np.float32)
    starts, lasts = onset_seconds(notes), notes["duration"] * step_seconds(notes["tempo"])
    strengths = (notes["velocity"] / 127.0) ** 1.5
    for number in np.unique(notes["family"]):
        rows = np.flatnonzero(notes["family"] == number)
        columns = (starts[rows], lasts[rows], notes["pitch"][rows], strengths[rows])
        part = [Note(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]
        family = FAMILIES[number]
        sound = _drums(part, length, sample_rate) if number == DRUMS else _played(family, part, length, sample_rate)
        total += np.float32(10 ** (LEVEL_DB[family] / 20)) * sound
    return limited(total)


def length_of_sound(notes: Notes, sample_rate: int, seconds: float | None) -> int:
    """Number of samples of the sound of a score; raises `ScoreError` if it is longer than `LONGEST_S`."""
    whole = length_seconds(notes) + _TAIL_S if seconds is None else seconds
    if whole > LONGEST_S:
        raise ScoreError(f"a score of {whole:.0f} s, but at most {LONGEST_S:.0f} s are rendered; use a part of it")
    return round(whole * sample_rate)


def _played(family: str, part: list[Note], length: int, sample_rate: int) -> Waveform:
    low, high = PATCHES[PATCH_OF_FAMILY[family]]
    patch = Patch(*((np.array(low) + np.array(high)) / 2).tolist())
    return play(part, patch, np.random.default_rng(0), length, sample_rate, _LONGEST_NOTE_S)


def _drums(part: list[Note], length: int, sample_rate: int) -> Waveform:
    low, high = KITS["acoustic"]
    kit = Kit(*((np.array(low) + np.array(high)) / 2).tolist())
    shots = drum_shots(kit, np.random.default_rng(0), sample_rate)
    out = np.zeros(length + max(map(len, shots.values())), np.float32)
    for hit in part:
        begin, shot = int(hit.start * sample_rate), shots[SHOT_OF_DRUM.get(hit.pitch, "hat")]
        if begin < length:
            out[begin : begin + len(shot)] += np.float32(hit.strength) * shot
    return out[:length]


def limited(sound: Waveform) -> Waveform:
    """The sound at a fixed loudness, its peaks limited smoothly."""
    peak = float(np.max(np.abs(sound), initial=0.0))
    if peak == 0:
        return sound
    sound *= np.float32(min(_LOUDNESS / rms(sound), _MOST_PEAK / peak))
    return np.asarray(np.tanh(sound, out=sound))
