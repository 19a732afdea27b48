"""The judgement of recordings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicgen_cls.commands.judge.embeddings import ClassifierFeatures, Embedding, RandomNetwork
from musicgen_cls.commands.judge.measures import measure
from musicgen_cls.commands.judge.music import (
    REAL,
    Generated,
    Music,
    baselines,
    cut,
    judged_span,
    load_generated,
    load_real,
    seen_by_judge,
)
from musicgen_cls.commands.judge.verdict import controls_fail, gated, targets, with_verdicts
from musicgen_cls.errors import UsageError
from musicgen_cls.recogniser import GenreRecogniser


@dataclass(frozen=True)
class Options:
    """The options of `judge` that both judgements take; `rendered` if the real recordings are rendered scores."""

    real: Path
    training: Path | None
    context_seconds: float | None
    seconds: float | None
    seed: int
    rendered: bool = False


@dataclass(frozen=True)
class Recordings:
    """The judgement of recordings: columns of music, real first, the generated folders, and what is reported."""

    music: list[Music]
    generated: dict[str, Generated]
    report: dict[str, Any]
    targets: list[dict[str, Any]]
    notes: list[str]


def judge_recordings(
    folders: dict[str, Path], options: Options, judge: str | None, embed: str | None, broken: str
) -> Recordings:
    """Compare the recordings of generated folders, by name, with real ones.

    Args:
        folders: the folders; the first one is judged.
        options: what both judgements take.
        judge: checkpoint of a classifier that predicts genres.
        embed: checkpoint of a classifier whose features give distances.
        broken: why the genre means nothing; empty if it does.
    """
    columns = {name: load_generated(folder, options.context_seconds) for name, folder in folders.items()}
    first = next(iter(columns.values()))
    context, length = judged_span([*columns.values()], options.seconds)
    recogniser = _recogniser(judge, first)
    embedder = GenreRecogniser(embed) if embed else recogniser
    truth = load_real(options.real, [*columns.values()], str(options.training) if options.training else None, length)
    music = [Music(REAL, truth.held_out, [*truth.paths])]
    music += [Music(name, cut(column, length), column.prompt_files) for name, column in columns.items()]
    music += baselines(first, truth.held_out, length, options.seed)
    embeddings: dict[str, Embedding] = {"random network": RandomNetwork(first.sample_rate, options.seed)}
    if embedder is not None:
        name = f"{'embed' if embed else 'judge'} ({Path(str(embed or judge)).name})"
        embeddings[name] = ClassifierFeatures(embedder, first.sample_rate)
    measure(music, truth.training, embeddings, recogniser, first.sample_rate, context)
    notes = [
        *([] if options.rendered else truth.notes),
        *(seen_by_judge(recogniser, options.real, truth.paths) if recogniser else []),
    ]
    notes += _rate_notes(first, {"judge": recogniser, "embed": embedder if embed else None})
    report = {"sample_rate": first.sample_rate, "judged_s": [context, length]}
    report |= {"training_tracks": sum(map(len, truth.training.values()))}
    report |= {"tracks": {column.name: len(column.tracks) for column in music}}
    report |= {"measures": {column.name: column.measures for column in music}}
    rows = with_verdicts(
        targets(music[0], music[1], music[2] if len(columns) > 1 else None),
        min(len(column.prompts) for column in music[:2]),
    )
    why = broken or controls_fail(music[0].measures.get("recognised"))
    return Recordings(music, columns, report, gated(rows, why), notes)


def _recogniser(checkpoint: str | None, generated: Generated) -> GenreRecogniser | None:
    """The classifier that predicts the genres of the generated music."""
    if checkpoint is None:
        return None
    recogniser = GenreRecogniser(checkpoint)
    for genre in generated.sounds:
        if genre not in recogniser.genres:
            raise UsageError(f"--judge {checkpoint}: has no genre '{genre}'; it has {', '.join(recogniser.genres)}")
    return recogniser


def _rate_notes(generated: Generated, classifiers: dict[str, GenreRecogniser | None]) -> list[str]:
    """A note on each classifier that was trained at a higher sample rate than the music has."""
    return [
        f"--{name} was trained at {classifier.sample_rate} Hz; these recordings hold nothing above "
        f"{generated.sample_rate / 2:g} Hz: train one at {generated.sample_rate} Hz"
        for name, classifier in classifiers.items()
        if classifier is not None and classifier.sample_rate > generated.sample_rate
    ]
