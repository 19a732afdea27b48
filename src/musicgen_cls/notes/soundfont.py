"""Scores as sound, by the instruments of a SoundFont (.sf2), through tinysoundfont."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from musicgen_cls.errors import UsageError
from musicgen_cls.notes.families import DRUMS, FAMILIES, PROGRAM
from musicgen_cls.notes.render import Waveform, length_of_sound, limited
from musicgen_cls.notes.score import Notes, onset_seconds, step_seconds, without_overlaps
from musicgen_cls.notes.soundfont_file import is_soundfont, is_whole

_GAIN_DB = -12.0  # of the synthesiser; the loudness is set at the end


class SoundFont:
    """The instruments of a SoundFont; each family of instruments has the General MIDI program of `families.PROGRAM`.

    Args:
        path: the file.
        option: the option that took it, for errors.

    Raises:
        UsageError: the file is missing or is no SoundFont, or tinysoundfont is not installed.
    """

    def __init__(self, path: Path, option: str = "--soundfont") -> None:
        self.path, self.option = path, option
        if not path.is_file():
            raise UsageError(f"{option} {path}: no such file; give a SoundFont, a file .sf2")
        try:
            if not is_soundfont(path):
                raise UsageError(f"{option} {path}: not a SoundFont; give a file .sf2")
            if not is_whole(path):
                raise UsageError(f"{option} {path}: a damaged SoundFont; give another")
        except OSError as error:
            raise UsageError(f"{option} {path}: cannot be read ({error.strerror}); check the file") from error
        self._synth(22050)

    def render(self, notes: Notes, sample_rate: int = 22050, seconds: float | None = None) -> Waveform:
        """The sound of a score, as `notes.render.render` gives it: float32 mono `[samples]`, at a fixed loudness.

        Args:
            notes: the score.
            sample_rate: Hz, 4000 or more.
            seconds: length of the sound, s; up to the end of the last note and half a second more if None.

        Raises:
            ScoreError: the score is longer than `notes.render.LONGEST_S`.
        """
        length = length_of_sound(notes, sample_rate, seconds)
        synth = self._synth(sample_rate)
        notes = without_overlaps(notes)
        starts = onset_seconds(notes)
        ends = starts + notes["duration"] * step_seconds(notes["tempo"])
        times = np.concatenate([starts, ends])
        order = np.lexsort((np.repeat([1, 0], len(notes)), times))  # a note ends before the next one begins
        places = np.minimum((times * sample_rate).astype(np.int64), length)
        parts, now = [], 0
        for event in order:
            if places[event] > now:
                parts.append(_mono(synth.generate(int(places[event]) - now)))
                now = int(places[event])
            row = event % len(notes)
            family, pitch = int(notes["family"][row]), int(notes["pitch"][row])
            if event < len(notes):
                synth.noteon(family, pitch, int(notes["velocity"][row]))
            else:
                synth.noteoff(family, pitch)
        if length > now:
            parts.append(_mono(synth.generate(length - now)))
        return limited(np.concatenate([*parts, np.zeros(0, np.float32)]))

    def _synth(self, sample_rate: int) -> Any:
        """A synthesiser with the instrument of each family on the channel that has the family's number."""
        try:
            import tinysoundfont
        except ModuleNotFoundError as error:
            raise UsageError(
                f"{self.option} {self.path}: needs tinysoundfont, which is not installed; run python -m pip install "
                "--no-deps tinysoundfont (its dependency PyAudio only plays sound, and is not needed)"
            ) from error
        synth = tinysoundfont.Synth(gain=_GAIN_DB, samplerate=sample_rate)
        try:
            loaded = synth.sfload(str(self.path))
            for number, family in enumerate(FAMILIES):
                bank, program = (128, 0) if number == DRUMS else (0, PROGRAM[family])
                self._select(synth, number, loaded, bank, program)
        except RuntimeError as error:
            raise UsageError(f"{self.option} {self.path}: a SoundFont that cannot be loaded; give another") from error
        return synth

    def _select(self, synth: Any, channel: int, loaded: int, bank: int, program: int) -> None:
        """Choose an instrument; if the SoundFont lacks it, its first one."""
        with suppress(RuntimeError):
            synth.program_select(channel, loaded, bank, program, bank == 128)
            return
        synth.program_select(channel, loaded, 0, 0)


def _mono(stereo: Any) -> Waveform:
    return np.asarray(np.frombuffer(bytes(stereo), np.float32).reshape(-1, 2).mean(axis=1))
