"""The scores that judge compares: generated, real, and the bounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from musicgen_cls.collection.collection import Collection
from musicgen_cls.collection.scores import collect_scores
from musicgen_cls.commands.judge.music import REAL, training_digests
from musicgen_cls.errors import SourceError, UsageError, counted
from musicgen_cls.formats.generations import Recording, read_lines
from musicgen_cls.metrics.excerpts import excerpt
from musicgen_cls.notes.families import DRUMS
from musicgen_cls.notes.midi import SUFFIXES, read_midi
from musicgen_cls.notes.score import Notes, length_seconds, sort_notes, without_overlaps
from musicgen_cls.sources.midi_folder import MidiFolder

SHUFFLED, REPEATED_BAR = "shuffled notes", "first bar repeated"

_BOUND_PIECES = 20  # real scores of a genre that the bounds are made from


@dataclass
class Scores:
    """One column of the judgement of notes: the scores of each genre, and the measures on them.

    `prompts` are the files that generated scores continue, by genre; scores of one prompt are not independent.
    """

    name: str
    pieces: dict[str, list[Notes]]
    prompts: dict[str, list[str | None]] = field(default_factory=dict)
    checkpoints: list[str] = field(default_factory=list)
    context_seconds: float = 0.0
    measures: dict[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of scores."""
        return sum(map(len, self.pieces.values()))

    @property
    def seconds(self) -> float:
        """Median length of the scores, s."""
        return float(np.median([length_seconds(notes) for own in self.pieces.values() for notes in own]))

    def groups(self, genre: str) -> list[list[int]]:
        """The numbers of the scores of a genre, those of one prompt together."""
        found: dict[str, list[int]] = {}
        for number, prompt in enumerate(self.prompts.get(genre) or [None] * len(self.pieces[genre])):
            found.setdefault(prompt or f"score {number}", []).append(number)
        return list(found.values())

    @property
    def independent(self) -> int:
        """Number of independent scores: those of one prompt count as one."""
        return sum(len(self.groups(genre)) for genre in self.pieces)


@dataclass(frozen=True)
class RealScores:
    """Real scores: those that are compared, those that the generators were trained on, and remarks."""

    held_out: Scores
    training: dict[str, list[Notes]]
    notes: list[str]


def score_files(folder: Path) -> list[Path]:
    """The MIDI files in the genre folders of a folder, at any depth; none if there is no such folder."""
    found = (path for path in folder.glob("*/**/*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path for path in found if not path.name.startswith("."))


def load_scores(name: str, folder: Path, context_seconds: float | None = None) -> Scores:
    """Read a folder of generated scores, as `predict` writes it with a generator of notes.

    Raises:
        RecordError: the record of a file is damaged.
        ScoreError: a file is damaged.
    """
    lines = {Path(line.file).with_suffix("").as_posix(): line for line in read_lines(folder, Recording)}
    pieces: dict[str, list[Notes]] = {}
    prompts: dict[str, list[str | None]] = {}
    facts = []
    for file in score_files(folder):
        stem = file.relative_to(folder).with_suffix("").as_posix()
        fact = lines.get(stem, Recording(file=stem))
        genre = fact.genre or file.relative_to(folder).parts[0]
        pieces.setdefault(genre, []).append(read_midi(file))
        prompts.setdefault(genre, []).append(fact.prompt)
        facts.append(fact)
    known = [fact.context_seconds for fact in facts if fact.context_seconds is not None]
    context = max(known, default=0.0) if context_seconds is None else context_seconds
    checkpoints = sorted({fact.checkpoint for fact in facts if fact.checkpoint})
    return Scores(name, pieces, prompts, checkpoints, context)


def load_real_scores(folder: Path, columns: Sequence[Scores], training: Path | None) -> RealScores:
    """Real scores of the genres of the first column: unseen ones, and those that the generators were trained on.

    Scores are read as `NoteWindows` reads them: those that no network is trained on, such as scores without a metre,
    are left out. Seen scores are equal, note for note, to one of the training folder, or listed by a checkpoint.

    Raises:
        SourceError: there are no unseen scores of a genre.
    """
    checkpoints = sorted({checkpoint for column in columns for checkpoint in column.checkpoints})
    digests = frozenset[str]().union(*map(training_digests, checkpoints))
    listed = collect_scores(MidiFolder(str(training))) if training else None
    digests |= frozenset(listed.digests if listed else ())
    found = collect_scores(MidiFolder(str(folder)))
    held_out: dict[str, list[Notes]] = {genre: [] for genre in columns[0].pieces}
    seen: dict[str, list[Notes]] = {genre: [] for genre in columns[0].pieces}
    for genre, digest, notes in _pieces(found):
        if genre in held_out:
            (seen if digest in digests else held_out)[genre].append(notes)
    for genre, digest, notes in _pieces(listed) if listed else ():
        if digest not in found.digests:  # else it is among them already
            seen.setdefault(genre, []).append(notes)
    for genre, own in held_out.items():
        if not own and not seen[genre]:
            genres = ", ".join(sorted({track.genre for track in found.tracks}))
            raise SourceError(
                f"{folder}: no scores of genre '{genre}'; its sub-folders have {genres}; name another folder "
                "with --scores"
            )
        if not own:
            raise SourceError(
                f"{folder}: no scores of genre '{genre}' that the generator was not trained on "
                f"({counted(len(seen[genre]), 'score')} that it was trained on); add some, or name another folder with "
                "--scores"
            )
    return RealScores(Scores(REAL, held_out), seen, [*_left_out(found), *_unknown(folder, seen)])


def _pieces(collection: Collection) -> Iterator[tuple[str, str, Notes]]:
    """Genre, digest and notes of each score."""
    for track, digest, start, length in zip(
        collection.tracks, collection.digests, collection.offset, collection.lengths, strict=True
    ):
        yield track.genre, digest, np.array(collection.items[start : start + length])


def _left_out(collection: Collection) -> list[str]:
    """A note on the files of a folder that are no usable scores."""
    problems = [problem for problem in collection.problems if problem.path.suffix.lower() in SUFFIXES]
    if not problems:
        return []
    left_out = counted(len(problems), "real score")
    return [f"{left_out} left out, such as {problems[0].path.name}: {problems[0].reason}"]


def _unknown(folder: Path, seen: dict[str, list[Notes]]) -> list[str]:
    """A note if the training scores are unknown."""
    if any(seen.values()):
        return []
    return [
        f"the training scores of the generator are unknown ({folder} has none of them), so that copied runs of notes "
        "cannot be measured; --training DIR names them"
    ]


def cut_scores(column: Scores, context: float, length: float) -> Scores:
    """The bars of each score that begin after the prompt, up to a length, s; scores without any are left empty.

    Raises:
        UsageError: no score has notes there.
    """
    pieces = {
        genre: [excerpt(notes, length - context, None, context) for notes in own]
        for genre, own in column.pieces.items()
    }
    if not any(len(notes) for own in pieces.values() for notes in own):
        raise UsageError(f"{column.name}: no score has notes from {context:g} to {length:g} s; set --context_seconds")
    return replace(column, pieces=pieces)


def score_span(columns: Sequence[Scores], seconds: float | None) -> tuple[float, float]:
    """Start and end of what is judged, s: from the longest prompt to the shortest median length of a column.

    Raises:
        UsageError: less than 1 s is left.
    """
    shortest = min(columns, key=lambda column: column.seconds)
    length = shortest.seconds if seconds is None else min(seconds, shortest.seconds)
    context = max(column.context_seconds for column in columns)
    if length - context < 1:
        raise UsageError(
            f"{shortest.name}: its scores leave {length - context:.2f} s to judge, from {context:g} to {length:g} s; "
            "at least 1 s is needed"
        )
    return context, length


def bounds(real: Scores, seed: int) -> list[Scores]:
    """Lower and upper bounds: notes at random places and with each other's pitches; the first bar without end."""
    rng = np.random.default_rng(seed)
    some = {genre: own[:_BOUND_PIECES] for genre, own in real.pieces.items()}
    shuffled = {genre: [_shuffled(notes, rng) for notes in own] for genre, own in some.items()}
    repeated = {genre: [_repeated(notes) for notes in own] for genre, own in some.items()}
    return [Scores(SHUFFLED, shuffled), Scores(REPEATED_BAR, repeated)]


def _shuffled(notes: Notes, rng: np.random.Generator) -> Notes:
    """As many notes, at random steps of the grid; pitches from the lowest to the highest are equally likely."""
    moved = notes.copy()
    if not len(notes):
        return moved
    onset = rng.integers(0, int(notes["onset"].max()) + 1, len(notes))
    moved["onset"], moved["place"] = onset, onset % notes["bar"]
    pitched = notes["family"] != DRUMS
    if np.any(pitched):
        low, high = int(notes["pitch"][pitched].min()), int(notes["pitch"][pitched].max())
        moved["pitch"][pitched] = rng.integers(low, high + 1, int(pitched.sum()))
    return sort_notes(moved)


def _repeated(notes: Notes) -> Notes:
    """The first bar as often as there are bars."""
    if not len(notes):
        return notes
    bar = int(notes["bar"][0])
    first = notes[notes["onset"] < bar]
    copies = [first.copy() for _ in range(int(notes["onset"].max()) // bar + 1)]
    for number, copy in enumerate(copies):
        copy["onset"] += number * bar
    return without_overlaps(np.concatenate(copies))
