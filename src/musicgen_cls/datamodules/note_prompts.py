"""What a generator of notes continues: scores, and recordings that are transcribed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from musicgen_cls.notes.beat_grid import Transcription, transcribe
from musicgen_cls.notes.midi import SUFFIXES, read_midi
from musicgen_cls.notes.score import GRID, NOTE, Notes, step_seconds
from musicgen_cls.pretrained.fetch import fetch
from musicgen_cls.pretrained.table import TRANSCRIBER
from musicgen_cls.sources.base import AUDIO_SUFFIXES, COMMON_SUFFIXES
from musicgen_cls.sources.find import find_files


class Prompt(Struct, frozen=True, eq=False):
    """The notes that a piece begins with, none to begin from nothing; and the recording that they transcribe."""

    notes: Notes
    recording: Transcription | None = None


NOTHING = Prompt(np.zeros(0, NOTE))


def prompt_files(names: Sequence[str] | str) -> list[Path]:
    """The scores and recordings that names of files, folders and patterns stand for; raises `UsageError` for none."""
    return find_files(names, suffixes=(*SUFFIXES, *AUDIO_SUFFIXES), common=f"mid, midi, {COMMON_SUFFIXES}")


def read_prompt(path: Path, bars: int) -> Prompt:
    """The first bars of a score, or of a recording, which is transcribed.

    Raises:
        AudioError: the recording cannot be read, or is silent.
        ScoreError: the score cannot be read, or no notes were found in the recording.
        SourceError: the network that transcribes cannot be fetched.
        UsageError: onnxruntime is not installed.
    """
    if path.suffix.lower() in SUFFIXES:
        notes = read_midi(path)
        notes["onset"] -= notes["onset"][0] - notes["place"][0]
        return Prompt(np.asarray(notes[notes["onset"] < bars * int(notes["bar"][0])]))
    recording = transcribe(path, fetch(TRANSCRIBER), bars)
    return Prompt(recording.notes, recording)


def shortened(prompt: Prompt, seconds: float) -> Prompt:
    """The bars of a prompt that are within a time, s, the first one at least."""
    notes, recording = prompt.notes, prompt.recording
    bar = int(notes["bar"][0])
    bars = max(1, int(seconds / (bar * float(step_seconds(notes["tempo"][0])))))
    notes = notes[notes["onset"] < bars * bar]
    if recording is not None:
        recording = replace(recording, notes=notes, beats=recording.beats[: bars * bar // GRID + 1])
    return Prompt(notes, recording)
