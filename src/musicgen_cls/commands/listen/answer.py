"""What the page computes: genres of a song over time, its sound and spectrogram, and continuations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from musicgen_cls.audio.io import Waveform, check_sound, stream, to_pcm
from musicgen_cls.audio.mel import mel_levels
from musicgen_cls.audio.spectra import Floats
from musicgen_cls.audio.windows import to_samples
from musicgen_cls.commands.listen.models import Generator
from musicgen_cls.errors import AudioError, UsageError
from musicgen_cls.metrics.threshold import is_sure
from musicgen_cls.recogniser import GenreRecogniser
from musicgen_cls.tasks.timeline import Timeline

RATE = 44100
"""Sample rate of the sound that the page plays, Hz."""

LONGEST_S = 30
"""The longest recording that a generator makes for the page, the prompt included, s."""

_COLUMNS, _BANDS, _HOP = 1200, 64, 256  # of a spectrogram
_AT_ONCE = 1 << 20  # samples that are transformed together


@dataclass(frozen=True)
class Limits:
    """The largest upload, MB, and the longest song, minutes."""

    max_mb: float
    max_minutes: float


@dataclass(frozen=True)
class Song:
    """A file with audio, and the name that the page shows."""

    path: Path
    name: str


@dataclass(frozen=True)
class Answer:
    """The genres of a song.

    Attributes:
        song: the file.
        waveform: full scale 1, `[samples]` at `RATE`.
        genres: names in label order.
        line: probability of each genre over time.
        threshold: the network is unsure if the most probable genre has a lower probability.
    """

    song: Song
    waveform: Waveform
    genres: list[str]
    line: Timeline
    threshold: float

    @property
    def seconds(self) -> float:
        """Length of the song, s."""
        return len(self.waveform) / RATE

    @property
    def ranked(self) -> list[tuple[str, float]]:
        """Genres and their mean probabilities, the most probable first."""
        return sorted(zip(self.genres, self.line.mean.tolist(), strict=True), key=lambda pair: -pair[1])

    @property
    def sure(self) -> bool:
        """Whether the most probable genre reaches the threshold."""
        return is_sure(self.ranked[0][1], self.threshold)


@dataclass(frozen=True)
class Continued:
    """A prompt and the recording that starts with it, full scale 1, `[samples]` at `sample_rate` Hz."""

    song: Song
    prompt: Waveform
    whole: Waveform
    sample_rate: int
    genre: str


def answer(song: Song, recogniser: GenreRecogniser, limits: Limits) -> Answer:
    """The genres of a song.

    Raises:
        AudioError: the file has no usable audio, or is too long; the error has the song's name, not its path.
    """
    try:
        waveform = _decoded(song, limits)
        line = recogniser.timeline(song.path)
    except AudioError as error:
        raise _named(error, song) from error
    return Answer(song, waveform, recogniser.genres, line, recogniser.threshold)


def continued(
    song: Song,
    generator: Generator,
    genre: str,
    start_s: float,
    seconds: float,
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
) -> Continued:
    """The recording that a generator makes of a part of a song.

    Args:
        song: the file.
        generator: the generator.
        genre: genre of the continuation.
        start_s: start of the prompt in the song, s.
        seconds: length of the recording with its prompt, s.
        seed: of the random numbers.
        progress: gets the finished share, from 0 to 1.

    Raises:
        AudioError: the song has too little audio there.
        UsageError: the generator does not know the genre, or the length is not possible.
    """
    task, data = generator.task, generator.data
    if genre not in data.genres:
        raise UsageError(f"genre '{genre}': the generator has {', '.join(data.genres)}")
    if not data.context_seconds < seconds <= LONGEST_S:
        raise UsageError(f"length {seconds:g} s: must be more than {data.context_seconds:g} s, at most {LONGEST_S} s")
    try:
        prompt = _prompt(song, data.sample_rate, start_s, data.context_samples)
    except AudioError as error:
        raise _named(error, song) from error
    task.seconds = seconds
    label = torch.tensor([data.genres.index(genre)])
    pieces, length, whole = [], 0, to_samples(seconds, data.sample_rate)
    for piece in task.continuations(torch.from_numpy(prompt)[None], label, [seed]):
        pieces.append(piece[0].float().numpy())
        length += len(pieces[-1])
        progress(min(length / whole, 1.0))
    return Continued(song, prompt, np.concatenate(pieces), data.sample_rate, genre)


def mel(waveform: Waveform, sample_rate: int) -> Floats:
    """Mel spectrogram of a waveform, dB, `[64, at most 1200]`; the memory does not grow with its length."""
    width = _HOP * max(1, -(-len(waveform) // (_HOP * _COLUMNS)))  # samples in a column
    step = width * max(1, _AT_ONCE // width)
    parts = [waveform[at : at + step] for at in range(0, len(waveform), step)]
    return np.concatenate([mel_levels(part, sample_rate, _BANDS, -(-len(part) // width)) for part in parts], axis=1)


def write_sound(path: Path, waveform: Waveform, sample_rate: int) -> Path:
    """Write a waveform as a FLAC file, which every browser plays."""
    import soundfile

    soundfile.write(path, to_pcm(waveform), sample_rate, format="FLAC")
    return path


def _decoded(song: Song, limits: Limits) -> Waveform:
    """A song at `RATE`; a longer one than the limit is not decoded further."""
    blocks, length = [], 0
    for block in stream(song.path, RATE):
        blocks.append(block)
        length += len(block)
        if length > limits.max_minutes * 60 * RATE:
            raise AudioError(
                f"{song.name}: longer than {limits.max_minutes:g} minutes; use a shorter file, or start the page with "
                "a higher --max_minutes"
            )
    waveform = np.concatenate(blocks)
    check_sound(song.path, waveform)
    return waveform


def _prompt(song: Song, sample_rate: int, start_s: float, samples: int) -> Waveform:
    """`samples` of a song from a time."""
    if not 0 <= start_s < float("inf"):
        raise AudioError(f"start of the prompt, {start_s} s: must be 0 or more")
    start = to_samples(start_s, sample_rate) if start_s else 0
    blocks, length = [], 0
    for block in stream(song.path, sample_rate):
        kept = block[max(0, start - length) : max(0, start + samples - length)]
        blocks.append(kept)
        length += len(block)
        if length >= start + samples:
            break
    prompt = np.concatenate(blocks)
    if len(prompt) < samples:
        raise AudioError(
            f"{song.name}: ends at {length / sample_rate:.2f} s, but the prompt is from {start_s:g} s to "
            f"{start_s + samples / sample_rate:g} s; start it earlier"
        )
    check_sound(f"{song.name}, {start_s:g} s to {start_s + samples / sample_rate:g} s", prompt)
    return prompt


def _named(error: AudioError, song: Song) -> AudioError:
    """An error with the name of a song in place of its path, which the user of the page does not know."""
    return AudioError(str(error).replace(str(song.path), song.name))
