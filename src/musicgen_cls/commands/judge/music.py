"""The music that judge compares: generated, real, and the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio.io import stream
from musicgen_cls.audio.windows import to_samples
from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.collection.collection import Collection, collect
from musicgen_cls.errors import AudioError, SourceError, UsageError, counted
from musicgen_cls.files import as_path
from musicgen_cls.formats.generations import Recording, read_lines
from musicgen_cls.recogniser import GenreRecogniser
from musicgen_cls.sources.folder import Folder

Waveform = npt.NDArray[np.float32]
Sounds = dict[str, list[Waveform]]
"""Waveforms by genre."""

REAL, NOISE, SILENCE, REPEATED = "real", "white noise", "silence", "prompt repeated"


@dataclass
class Music:
    """One column of the judgement: sounds of the same length and rate, and the measures on them.

    `prompt_files` are the real files that the tracks continue, in the order of `tracks`; None where unknown.
    """

    name: str
    sounds: Sounds
    prompt_files: list[str | None] = field(default_factory=list)
    measures: dict[str, Any] = field(default_factory=dict)

    @property
    def tracks(self) -> list[Waveform]:
        """All sounds, genre after genre."""
        return [waveform for sounds in self.sounds.values() for waveform in sounds]

    @property
    def prompts(self) -> list[str]:
        """The prompts of the tracks, each once; a track without a known prompt counts as one of its own."""
        return list(self._by_prompt())

    def by_prompt(self, of_tracks: Sequence[Any]) -> list[Any]:
        """Rows `[rows, ...]` of every track to rows of every prompt: samples of one prompt are not independent."""
        return [np.concatenate([of_tracks[number] for number in numbers]) for numbers in self._by_prompt().values()]

    def _by_prompt(self) -> dict[str, list[int]]:
        """Numbers of the tracks that continue each prompt."""
        numbers: dict[str, list[int]] = {}
        for number in range(len(self.tracks)):
            prompt = self.prompt_files[number] if number < len(self.prompt_files) else None
            numbers.setdefault(prompt or f"track {number}", []).append(number)
        return numbers


@dataclass(frozen=True)
class Generated:
    """A folder that `predict` wrote with a generator, or one like it."""

    folder: Path
    sample_rate: int
    context_seconds: float
    seconds: float
    checkpoints: list[str]
    training: dict[str, tuple[int, int]]
    """Steps and epochs that each checkpoint was trained for, where that is known."""
    sounds: Sounds
    prompts: Sounds
    prompt_files: list[str | None]

    @property
    def checkpoint(self) -> str | None:
        """The checkpoint of the generator; None if it is unknown, or there are several."""
        return self.checkpoints[0] if len(self.checkpoints) == 1 else None


@dataclass(frozen=True)
class Real:
    """Real music at the sample rate of the generated music.

    `held_out` is compared with the generated music; the generators were trained on `training`.
    """

    held_out: Sounds
    training: Sounds
    paths: list[str]
    """Files of the held-out tracks, genre after genre."""
    notes: list[str]


def load_generated(folder: Path, context_seconds: float | None = None) -> Generated:
    """Read a folder of generated music; silent files too.

    Raises:
        AudioError: a file is damaged.
        RecordError: the record of a file is damaged.
        UsageError: the folder holds nothing to judge, or files of different sample rates.
    """
    files = sorted(folder.glob("*/*.wav")) if folder.is_dir() else []
    if not files:
        raise UsageError(f"{folder}: no wav files in genre folders; name a folder that predict wrote with a generator")
    lines = {line.file: line for line in read_lines(folder, Recording)}
    names = [file.relative_to(folder).as_posix() for file in files]
    facts = [lines.get(name, Recording(file=name)) for name in names]
    rates = [rate_and_seconds(file)[0] for file in files]
    for file, rate in zip(files, rates, strict=True):
        if rate != rates[0]:
            raise UsageError(f"{file}: {rate} Hz, but {files[0]} has {rates[0]} Hz; give all files one sample rate")
    known = [fact.context_seconds for fact in facts if fact.context_seconds is not None]
    context = context_seconds if context_seconds is not None else max(known, default=0.0)
    begun = to_samples(context, rates[0])
    waveforms = [np.concatenate(list(stream(file, rates[0]))) for file in files]
    sounds: Sounds = {}
    prompts: Sounds = {}
    for file, fact, waveform in zip(files, facts, waveforms, strict=True):
        genre = fact.genre or file.parent.name
        sounds.setdefault(genre, []).append(waveform)
        prompts.setdefault(genre, []).append(waveform[:begun])
    return Generated(
        folder=folder,
        sample_rate=rates[0],
        context_seconds=context,
        seconds=min(map(len, waveforms)) / rates[0],
        checkpoints=sorted({fact.checkpoint for fact in facts if fact.checkpoint}),
        training={
            fact.checkpoint: (fact.steps, fact.epochs)
            for fact in facts
            if fact.checkpoint and fact.steps is not None and fact.epochs is not None
        },
        sounds=sounds,
        prompts=prompts,
        prompt_files=[fact.prompt for fact in facts],
    )


def load_real(folder: Path, columns: Sequence[Generated], training: str | None, length: float) -> Real:
    """Real music of the same genres and sample rate: unseen tracks, cut to a length, and whole training tracks.

    Raises:
        SourceError: there are no unseen tracks of a genre.
    """
    rate, genres = columns[0].sample_rate, columns[0].sounds
    checkpoints = sorted({checkpoint for column in columns for checkpoint in column.checkpoints})
    digests = frozenset[str]().union(*map(training_digests, checkpoints))
    named = _collect(as_path(training, "--training"), rate) if training else None
    if named is not None:
        digests |= frozenset(named.digests)
    collection = _collect(folder, rate, length)
    held_out: Sounds = {genre: [] for genre in genres}
    training_tracks: Sounds = {genre: [] for genre in genres}
    paths: dict[str, list[str]] = {genre: [] for genre in genres}
    for row, track in enumerate(collection.tracks):
        if track.genre not in genres:
            continue
        if collection.digests[row] in digests:
            training_tracks[track.genre].append(collection.waveform(row))
        else:
            held_out[track.genre].append(collection.waveform(row)[: to_samples(length, rate)])
            paths[track.genre].append(str(track.path))
    for genre, waveforms in held_out.items():
        if not waveforms:
            seen = training_tracks[genre]
            known = f" ({counted(len(seen), 'track')} that it was trained on)" if seen else ""
            raise SourceError(
                f"{folder}: no tracks of genre '{genre}' that are {length:g} s long and that the generator was not "
                f"trained on{known}; add some, or name another folder"
            )
    notes = []
    if short := [problem for problem in collection.problems if "too short" in problem.reason]:
        notes.append(f"{counted(len(short), 'real track')} shorter than {length:g} s left out")
    if named is not None:
        for row, track in enumerate(named.tracks):
            if named.digests[row] not in collection.digests:  # else it is among them already
                training_tracks.setdefault(track.genre, []).append(named.waveform(row))
    elif gone := [name for name in checkpoints if not Path(name).is_file()]:
        notes.append(f"{gone[0]} is missing: the generator may have been trained on some of the real tracks; "
                     "--training DIR names what it was trained on")  # fmt: skip
    elif not any(training_tracks.values()):
        notes.append(f"the training music of the generator is unknown ({folder} has none of it), so that copying "
                     "cannot be measured; --training DIR names it")  # fmt: skip
    return Real(held_out, training_tracks, [path for genre in genres for path in paths[genre]], notes)


def baselines(first: Generated, real: Sounds, length: float, seed: int) -> list[Music]:
    """Lower bounds: noise as loud as the real tracks, silence, and the repeated prompt."""
    rng = np.random.default_rng(seed)
    samples = to_samples(length, first.sample_rate)
    noise = {
        genre: [rng.normal(0, float(np.sqrt(np.mean(y**2))), samples).astype(np.float32) for y in waveforms]
        for genre, waveforms in real.items()
    }
    silence = {genre: [np.zeros(samples, np.float32)] * 2 for genre in real}
    found = [Music(NOISE, noise), Music(SILENCE, silence)]
    if first.context_seconds > 0:
        repeated = {g: [np.resize(y, samples) for y in waveforms] for g, waveforms in first.prompts.items()}
        found.append(Music(REPEATED, repeated, first.prompt_files))
    return found


def cut(generated: Generated, length: float) -> Sounds:
    """The first `length` seconds of each sound."""
    last = to_samples(length, generated.sample_rate)
    return {genre: [y[:last] for y in waveforms] for genre, waveforms in generated.sounds.items()}


def judged_span(columns: Sequence[Generated], seconds: float | None) -> tuple[float, float]:
    """Start and end of what is judged in all columns, s: from the longest prompt to the shortest file.

    Raises:
        UsageError: less than 1 s is left, or sample rates differ.
    """
    for column in columns:
        if column.sample_rate != columns[0].sample_rate:
            raise UsageError(
                f"{column.folder}: {column.sample_rate} Hz, but {columns[0].folder} has {columns[0].sample_rate} Hz; "
                "give both one sample rate"
            )
    shortest = min(columns, key=lambda column: column.seconds)
    length = shortest.seconds if seconds is None else min(shortest.seconds, seconds)
    context = max(column.context_seconds for column in columns)
    if context < 0 or length - context < 1:
        raise UsageError(
            f"{shortest.folder}: its shortest file leaves {length - context:.2f} s to judge, from {context:g} to "
            f"{length:g} s; at least 1 s is needed"
        )
    return context, length


def rate_and_seconds(file: Path) -> tuple[int, float]:
    """The sample rate of a recording, Hz, and its length, s.

    Raises:
        AudioError: the file cannot be read.
    """
    import soundfile

    try:
        found = soundfile.info(file)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{file}: not audio that can be read; remove it or generate it again") from error
    return int(found.samplerate), float(found.duration)


def _collect(folder: Path, rate: int, min_seconds: float = 0.0) -> Collection:
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder; name one with a sub-folder of music for each genre")
    return collect(Folder(str(folder)), rate, min_seconds=min_seconds)


def training_digests(checkpoint: str | Path) -> frozenset[str]:
    """Digests of the tracks that a network was trained on, at its sample rate; none if its checkpoint is not there."""
    if not Path(checkpoint).is_file():
        return frozenset()
    return read_checkpoint(checkpoint).trained_on


def seen_by_judge(recogniser: GenreRecogniser, folder: Path, held_out: Sequence[str]) -> list[str]:
    """A note if the judge was trained on real tracks that it now classifies."""
    digests = training_digests(recogniser.checkpoint.path)
    if not digests:
        return []
    collection = _collect(folder, recogniser.sample_rate)
    seen = {str(t.path) for t, digest in zip(collection.tracks, collection.digests, strict=True) if digest in digests}
    known = len(seen & set(held_out))
    if not known:
        return []
    return [
        f"the judge was trained on {known} of {counted(len(held_out), 'real track')}: its accuracy on them is too high"
    ]
