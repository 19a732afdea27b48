"""Recordings as scores: their notes on a grid of beats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from musicgen_cls.audio.compiled import compiled_librosa
from musicgen_cls.audio.io import check_sound, stream
from musicgen_cls.audio.mono import Waveform
from musicgen_cls.errors import ScoreError
from musicgen_cls.notes.families import FAMILIES
from musicgen_cls.notes.key import find_key
from musicgen_cls.notes.score import GRID, Notes, notes_of, without_overlaps
from musicgen_cls.notes.transcribe import RATE, Found, find_notes

BAR = 4 * GRID
"""Steps in a bar: every recording is taken as 4/4."""

TEMPOS = (40.0, 220.0)
"""The slowest and the fastest tempo that is found, beats per minute."""

LEAD_S = 10.0
"""What is read beyond the longest prompt, s: recordings may begin with silence."""

_HOP = 256  # samples between the frames of the onset envelope
_SMOOTHED = 5  # neighbouring beats through which a line is laid
_EARLY = 1 / 8  # of a beat by which the first note may be before the first beat

Times = npt.NDArray[np.float64]


class Transcription(Struct, frozen=True, eq=False):  # not a dataclass, which Lightning refuses in a batch
    """The first bars of a recording as a score.

    Attributes:
        path: the recording.
        notes: its notes, by the piano; the first beat begins the first bar.
        beats: the times of the beats in the recording, s, as many as the bars of the score have and one more.
    """

    path: Path
    notes: Notes
    beats: Times

    @property
    def steps(self) -> int:
        """Length of the bars, steps."""
        return (len(self.beats) - 1) * GRID

    def sound(self, steps: float, sample_rate: int) -> Waveform:
        """The recording itself, from the first beat for a number of steps; float32 mono `[samples]`.

        Silence comes first if the first beat is before the start of the recording.
        """
        times = np.interp([0.0, steps / GRID], np.arange(len(self.beats)), self.beats)
        start, end = (round(time * sample_rate) for time in times)
        sound = _first_samples(self.path, sample_rate, end)[max(start, 0) :]
        return np.concatenate([np.zeros(max(-start, 0), np.float32), sound])


def transcribe(path: Path, model: Path, bars: int) -> Transcription:
    """The first bars of a recording as a score, from its first beat with a note on; fewer if the recording is shorter.

    Args:
        path: the recording.
        model: the network that transcribes, see `transcribe.find_notes`.
        bars: number of bars.

    Raises:
        AudioError: the file cannot be read, or is silent.
        ScoreError: no notes were found.
        UsageError: the model is no such network, or onnxruntime is not installed.
    """
    seconds = LEAD_S + bars * BAR / GRID * 60 / TEMPOS[0]
    waveform = _first_samples(path, RATE, round(seconds * RATE))
    check_sound(path, waveform)
    found = find_notes(waveform, model)
    if not len(found):
        raise ScoreError(
            f"{path}: no notes were found in its first {len(waveform) / RATE:.0f} s; use a recording with a melody or "
            "chords"
        )
    beats = _aligned(_covering(beat_times(waveform), found, len(waveform) / RATE), found)
    first = int(np.searchsorted(beats, found["start"][0] + _EARLY * np.diff(beats)[0], side="right")) - 1
    beats = beats[max(first, 0) :][: bars * BAR // GRID + 1]
    return Transcription(path, on_grid(found, beats), beats)


def beat_times(waveform: Waveform) -> Times:
    """The times of the beats of a recording at `transcribe.RATE`, s; their tempo is within `TEMPOS`."""
    from scipy.signal import savgol_filter

    librosa = compiled_librosa()
    envelope = librosa.onset.onset_strength(y=waveform, sr=RATE, hop_length=_HOP)
    tempo = float(np.squeeze(librosa.feature.tempo(onset_envelope=envelope, sr=RATE, hop_length=_HOP)))
    low, high = TEMPOS
    while tempo < low:
        tempo *= 2
    while tempo > high:
        tempo /= 2
    _, frames = librosa.beat.beat_track(onset_envelope=envelope, sr=RATE, hop_length=_HOP, bpm=tempo, trim=False)
    frames = frames[1:]  # the first is less regular: none before it holds it to the tempo
    if len(frames) < _SMOOTHED:  # few onsets or none
        return np.asarray(np.arange(_SMOOTHED) * 60 / tempo)
    return np.asarray(savgol_filter(frames * _HOP / RATE, _SMOOTHED, 1), dtype=np.float64)


def on_grid(found: Found, beats: Times) -> Notes:
    """Notes of a recording as a score: each on the nearest step between beats, of one tempo and in one key.

    Args:
        found: the notes.
        beats: times of the beats, s, the first at the start of the first bar; notes beyond them are left out.
    """
    places = np.arange(len(beats)) * float(GRID)
    onset = np.rint(np.interp(found["start"], beats, places, left=-1, right=places[-1])).astype(np.int64)
    early = (onset < 0) & (found["start"] > beats[0] - _EARLY * (beats[1] - beats[0]))
    onset[early] = 0
    end = np.rint(np.interp(found["end"], beats, places)).astype(np.int64)
    kept = (onset >= 0) & (onset < places[-1])
    onset, end, own = onset[kept], end[kept], found[kept]
    tempo = 60 * (len(beats) - 1) / (beats[-1] - beats[0])
    notes = notes_of(
        onset=onset, duration=np.maximum(end - onset, 1), place=onset % BAR, bar=BAR, tempo=np.rint(tempo), key=0,
        family=FAMILIES.index("piano"), pitch=own["pitch"], velocity=np.rint(own["strength"] * 127),
    )  # fmt: skip
    notes = without_overlaps(notes)
    notes["key"] = find_key(notes)
    return notes


def _first_samples(path: Path, sample_rate: int, samples: int) -> Waveform:
    """The first samples of a recording at a sample rate; the rest, which can be long, is not decoded."""
    blocks, length = [], 0
    for block in stream(path, sample_rate):
        blocks.append(block)
        length += len(block)
        if length >= samples:
            break
    return np.concatenate(blocks)[:samples]


def _covering(beats: Times, found: Found, seconds: float) -> Times:
    """Beats with more of them at either end, at equal distances, from the first note to the end of the recording."""
    step = float(np.median(np.diff(beats)))
    before = max(0, int(np.ceil((beats[0] - found["start"][0]) / step - _EARLY)))
    after = max(1, int((seconds - beats[-1]) / step))
    return np.concatenate(
        [beats[0] - step * np.arange(before, 0, -1), beats, beats[-1] + step * np.arange(1, after + 1)]
    )


def _aligned(beats: Times, found: Found) -> Times:
    """Beats moved by the mean distance of the notes to the nearest third or quarter of a beat, whichever fits better.

    The mean is circular: the distance is an angle, and a part of a beat is a whole turn.
    """
    places = np.interp(found["start"], beats, np.arange(len(beats)))
    turns = {parts: np.mean(found["strength"] * np.exp(2j * np.pi * parts * places)) for parts in (3, 4)}
    parts = max(turns, key=lambda number: abs(turns[number]))
    return np.asarray(beats + np.angle(turns[parts]) / (2 * np.pi * parts) * np.median(np.diff(beats)))
