"""The networks and the reports that the page offers: those that the command line names, and no others."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from musicgen_cls import untrained
from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.commands.listen.reports import Tested, read_tested, reports_beside
from musicgen_cls.datamodules.notes import NoteWindows
from musicgen_cls.datamodules.waveform import WaveformWindows
from musicgen_cls.errors import CheckpointError, MusicClsError, SourceError
from musicgen_cls.files import as_path, shown
from musicgen_cls.memory import keep_memory
from musicgen_cls.metrics.threshold import THRESHOLD
from musicgen_cls.recogniser import GenreRecogniser, load_parts
from musicgen_cls.specs import resolve
from musicgen_cls.tasks.generation import GenreGenerator
from musicgen_cls.tasks.notes import NoteGenerator


@dataclass(frozen=True)
class Generator:
    """A generator, and the datamodule that knows its genres and the length of its prompts."""

    task: GenreGenerator
    data: WaveformWindows


@dataclass(frozen=True)
class NoteMaker:
    """A generator of notes, and the datamodule that knows its genres and prompts."""

    task: NoteGenerator
    data: NoteWindows


@dataclass(frozen=True)
class Choices:
    """What the page offers, by the names that it shows."""

    recognisers: dict[str, GenreRecogniser]
    generators: dict[str, Generator | NoteMaker] = field(default_factory=dict)
    reports: dict[str, Tested] = field(default_factory=dict)


def choices(checkpoints: Sequence[str] = (), reports: Sequence[str] = (), threshold: float = THRESHOLD) -> Choices:
    """Load all checkpoints and reports; the untrained reading is one more choice if its weights can be had.

    Args:
        checkpoints: files that fit wrote, of classifiers and generators; `untrained` for the untrained reading.
        reports: folders of test reports. Those beside the checkpoints are found.
        threshold: a genre with a lower probability is shown as unsure.

    Raises:
        CheckpointError: a checkpoint cannot be used.
        RecordError: a report is damaged.
        SourceError: there is no classifier, and the networks of the untrained reading cannot be fetched.
        UsageError: the threshold is not from 0 to 1.
    """
    recognisers, generators = dict[str, GenreRecogniser](), dict[str, Generator | NoteMaker]()
    names = short_names([name for name in checkpoints if not untrained.is_meant(name)])
    for path in dict.fromkeys(checkpoints):
        name = names.get(path, untrained.NAME)
        if path in names and _is_generator(path):
            generators[name] = load_maker(path)
        else:
            recognisers[name] = GenreRecogniser(path, threshold=threshold)
    if untrained.NAME not in recognisers:
        try:
            recognisers[untrained.NAME] = GenreRecogniser(untrained.NAME, threshold=threshold)
        except SourceError as error:
            if not recognisers:
                raise
            print(f"{error}\nThe page is without the untrained reading", file=sys.stderr)
    return Choices(recognisers, generators, _tested([as_path(name, "--report") for name in reports], names))


def _tested(named: Sequence[Path], checkpoints: Iterable[str]) -> dict[str, Tested]:
    """The reports that the command line names, and those beside checkpoints; a damaged one of these is left out."""
    tested = {str(folder): read_tested(folder) for folder in named}
    for folder in [folder for path in checkpoints for folder in reports_beside(as_path(path, "CHECKPOINT"))]:
        try:
            tested.setdefault(str(folder), read_tested(folder))
        except MusicClsError as error:
            print(f"left out: {error}", file=sys.stderr)
    return {name: tested[folder] for folder, name in short_names([*tested]).items()}


def _is_generator(path: str) -> bool:
    return issubclass(resolve(read_checkpoint(path, "CHECKPOINT").model["class_path"]), GenreGenerator | NoteGenerator)


def load_maker(path: str) -> Generator | NoteMaker:
    """A generator of audio or of notes, in evaluation mode.

    Raises:
        CheckpointError: the checkpoint cannot be used, or is of a classifier.
    """
    keep_memory()
    task, data = load_parts(read_checkpoint(path, "CHECKPOINT"), torch.device("cpu"))
    if isinstance(task, NoteGenerator) and isinstance(data, NoteWindows):
        return NoteMaker(task, data)
    if not isinstance(task, GenreGenerator) or not isinstance(data, WaveformWindows):
        raise CheckpointError(f"{path}: not a generator of audio or of notes; name a checkpoint of one")
    return Generator(task, data)


def load_generator(path: str) -> Generator:
    """A generator of audio, in evaluation mode; raises `CheckpointError` if the checkpoint is of another kind."""
    made = load_maker(path)
    if not isinstance(made, Generator):
        raise CheckpointError(f"{path}: not a generator of audio; name a checkpoint of one")
    return made


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """A short name of each path: its last parts, as many as no other path ends with."""
    parts = {path: Path(path).absolute().parts for path in paths}
    names = {}
    for path, own in parts.items():
        others = [other for other in parts.values() if other != own]
        count = next(n for n in range(1, len(own) + 1) if all(other[-n:] != own[-n:] for other in others))
        names[path] = shown("/".join(own[-count:]))
    return names
