"""Continuations of scores and recordings by a generator of notes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from musicgen_cls.commands.listen.answer import LONGEST_S, Song
from musicgen_cls.commands.listen.models import NoteMaker
from musicgen_cls.datamodules.note_prompts import read_prompt, shortened
from musicgen_cls.errors import AudioError, ScoreError, UsageError
from musicgen_cls.notes.joined import Sound, sound_of
from musicgen_cls.notes.midi import SUFFIXES
from musicgen_cls.notes.render import render
from musicgen_cls.notes.score import Notes, moved_back, onset_seconds


@dataclass(frozen=True)
class ContinuedScore:
    """The notes of a prompt with their continuation, and their sound."""

    notes: Notes
    sound: Sound
    sample_rate: int


def is_score(song: Song) -> bool:
    """Whether a file is a score, by its name."""
    return song.path.suffix.lower() in SUFFIXES


def continued_score(
    song: Song,
    maker: NoteMaker,
    genre: str,
    start_s: float,
    seconds: float,
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
) -> ContinuedScore:
    """The piece that a generator of notes makes of the first bars of a score or a recording.

    The prompt has the bars of the datamodule, but at most half of the piece.

    Args:
        song: the file.
        maker: the generator.
        genre: genre of the continuation.
        start_s: start of the prompt in the song, s: 0, the first beat.
        seconds: length of the piece with its prompt, s.
        seed: of the random numbers.
        progress: gets the finished share, from 0 to 1.

    Raises:
        AudioError: the recording cannot be used.
        ScoreError: the score cannot be used, or no notes were found in the recording.
        UsageError: the generator does not know the genre, or a value is not possible.
    """
    task, data = maker.task, maker.data
    if genre not in data.genres:
        raise UsageError(f"genre '{genre}': the generator has {', '.join(data.genres)}")
    if start_s != 0:
        raise UsageError(
            f"start of the prompt, {start_s:g} s: a generator of notes starts at the first beat; set it to 0"
        )
    if not 0 < seconds <= LONGEST_S:
        raise UsageError(f"length {seconds:g} s: must be more than 0 s, at most {LONGEST_S} s")
    try:
        prompt = shortened(read_prompt(song.path, data.prompt_bars), seconds / 2)
    except (AudioError, ScoreError) as error:
        raise type(error)(str(error).replace(str(song.path), song.name)) from error
    if (first_s := float(onset_seconds(prompt.notes)[-1])) >= seconds:
        raise UsageError(f"length {seconds:g} s: the first bar alone has {first_s:.1f} s; increase the length")
    wanted, back = data.wanted(genre, prompt.notes, 0)
    (piece,) = task.pieces([wanted], [seed], progress, seconds)
    notes = moved_back(piece, back)
    sound = sound_of(notes, len(prompt.notes), prompt.recording, render, task.sample_rate)
    return ContinuedScore(notes, sound, task.sample_rate)
