"""The sound of a continued recording: the recording itself, then its rendered continuation."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from musicgen_cls.audio.mono import Waveform
from musicgen_cls.notes.beat_grid import Transcription
from musicgen_cls.notes.score import Notes, onset_seconds, step_seconds
from musicgen_cls.synth.instruments import rms

_FADE_S = 0.03


class Sound(NamedTuple):
    """The sound of a piece, float32 mono `[samples]`, and the end of its prompt in the sound and in the score, s."""

    waveform: Waveform
    prompt_s: float
    prompt_s_of_score: float


def sound_of(
    notes: Notes,
    prompt: int,
    recording: Transcription | None,
    render: Callable[[Notes, int], Waveform],
    sample_rate: int,
) -> Sound:
    """The sound of a piece that continues a score, a recording, or nothing.

    Args:
        notes: the piece.
        prompt: number of its first notes that are the prompt.
        recording: the recording that these notes transcribe; None for a score or no prompt.
        render: renders notes at a sample rate.
        sample_rate: Hz.
    """
    rendered = render(notes, sample_rate)
    end_s = float(onset_seconds(notes)[prompt]) if 0 < prompt < len(notes) else 0.0
    if recording is None:
        return Sound(rendered, end_s, end_s)
    waveform, samples = joined(recording, notes, rendered, sample_rate)
    return Sound(waveform, samples / sample_rate, end_s)


def joined(recording: Transcription, notes: Notes, rendered: Waveform, sample_rate: int) -> tuple[Waveform, int]:
    """The sound of a continued recording, from its first beat.

    The recording lasts until the first new note, at most until the end of its last bar. It is as loud as the rendered
    continuation, unless its peaks would be above full scale; a crossfade of 30 ms is before the new note.

    Args:
        recording: the prompt.
        notes: its notes, and those that continue it.
        rendered: the sound of all of `notes`, float32 mono `[samples]`.
        sample_rate: of `rendered`, Hz.

    Returns:
        float32 mono `[samples]`, and the number of samples of the recording.
    """
    step = end_of_prompt(recording, notes)
    begin = recording.sound(step, sample_rate)
    at = min(round(step * float(step_seconds(notes["tempo"][0])) * sample_rate), len(rendered))
    begin = begin * np.float32(_gain(begin, rendered[at:] if len(notes) > len(recording.notes) else rendered))
    fade = min(len(begin), at, round(_FADE_S * sample_rate))
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    begin[len(begin) - fade :] *= 1 - ramp
    begin[len(begin) - fade :] += ramp * rendered[at - fade : at]
    return np.concatenate([begin, rendered[at:]]), len(begin)


def end_of_prompt(recording: Transcription, notes: Notes) -> int:
    """The step at which the continuation of a recording begins."""
    later = notes["onset"][len(recording.notes) :]
    return min(int(later[0]), recording.steps) if len(later) else recording.steps


def _gain(sound: Waveform, other: Waveform) -> float:
    """The factor that makes a sound as loud as another; less if its peaks would be above full scale."""
    peak = float(np.max(np.abs(sound), initial=0.0))
    if peak == 0 or not np.any(other):
        return 1.0
    return min(rms(other) / rms(sound), 1.0 / peak)
