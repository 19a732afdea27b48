"""`musiccli judge`: compares generated music with real music, with upper and lower bounds beside every figure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from musicgen_cls import __version__
from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.commands.judge.embeddings import ClassifierFeatures, Embedding, RandomNetwork
from musicgen_cls.commands.judge.measures import measure
from musicgen_cls.commands.judge.music import (
    REAL,
    Generated,
    Music,
    Waveform,
    baselines,
    cut,
    judged_span,
    load_generated,
    load_real,
    seen_by_judge,
    short_names,
)
from musicgen_cls.commands.judge.verdict import format_judgement, measure_rows, targets, with_verdicts
from musicgen_cls.errors import UsageError, check_not_negative
from musicgen_cls.files import as_path, check_writable, writing
from musicgen_cls.formats.generations import training_warning
from musicgen_cls.pages.judgement import write_judgement
from musicgen_cls.recogniser import GenreRecogniser


def judge(
    generated: str,
    real: str,
    others: list[str] | str | None = None,
    judge: str | None = None,
    embed: str | None = None,
    training: str | None = None,
    context_seconds: float | None = None,
    seconds: float | None = None,
    out: str = "judged",
    seed: int = 0,
) -> None:
    """Compare generated music with real music and write judge.json and judge.html.

    Args:
        generated: a folder of genre folders, as predict writes it with a generator.
        real: a folder of genre folders of real music. Only tracks that the generator was not trained on are compared;
            its checkpoint lists those that it was trained on.
        others: one more generated folder, or a list, as [a,b], for more columns; the first is the baseline to beat.
        judge: checkpoint of a classifier that predicts genres; it had no part in the generator's training.
        embed: checkpoint of a classifier whose features give the distances; the judge's if not given.
        training: a folder of the music that the generator was trained on, if its checkpoint does not list it; these
            tracks in the real folder are not compared.
        context_seconds: length of the prompt at the start of each file, if the folder does not record it.
        seconds: length of the start of each file that is judged.
        out: folder for the report.
        seed: of the noise baseline and of the random network.

    Raises:
        MusicClsError: a folder or a checkpoint cannot be used.
    """
    check_not_negative("--", context_seconds=context_seconds or 0, seconds=seconds or 0)
    folder = as_path(out, "--out")
    check_writable(folder, "--out DIR")
    more = [others] if isinstance(others, str) else others or []
    columns = [load_generated(as_path(name, "GENERATED"), context_seconds) for name in (generated, *more)]
    first, names = columns[0], list(short_names(columns))
    context, length = judged_span(columns, seconds)
    recogniser = _recogniser(judge, first)
    embedder = GenreRecogniser(embed) if embed else recogniser
    truth = load_real(as_path(real, "REAL"), columns, training, length)
    music = [Music(REAL, truth.held_out, [*truth.paths])]
    music += [Music(n, cut(c, length), c.prompt_files) for n, c in zip(names, columns, strict=True)]
    music += baselines(first, truth.held_out, length, seed)
    embeddings: dict[str, Embedding] = {"random network": RandomNetwork(first.sample_rate, seed)}
    if embedder is not None:
        name = f"{'embed' if embed else 'judge'} ({Path(str(embed or judge)).name})"
        embeddings[name] = ClassifierFeatures(embedder, first.sample_rate)
    measure(music, truth.training, embeddings, recogniser, first.sample_rate, context)
    notes = [*truth.notes, *(seen_by_judge(recogniser, as_path(real, "REAL"), truth.paths) if recogniser else [])]
    notes += _rate_notes(first, {"judge": recogniser, "embed": embedder if embed else None})
    made = list(_generators(zip(names, columns, strict=True)))
    report: dict[str, Any] = {"version": __version__, "generated": str(first.folder), "checkpoint": first.checkpoint}
    report |= {"real": real, "judge": judge, "embed": embed, "sample_rate": first.sample_rate}
    report |= {"judged_s": [context, length], "training_tracks": sum(map(len, truth.training.values()))}
    report |= _judgement(music, len(columns)) | {"generators": made, "notes": [*notes, *_training_notes(made)]}
    print(format_judgement(report))
    _write(folder, report, [(column.name, column.tracks) for column in music if column.name in (REAL, *names)])


def _judgement(music: Sequence[Music], generated: int) -> dict[str, Any]:
    """The measures of all kinds of music, and the targets of the first of `generated` columns after the real one."""
    rows = targets(music[0], music[1], music[2] if generated > 1 else None)
    return {
        "tracks": {column.name: len(column.tracks) for column in music},
        "measures": {column.name: column.measures for column in music},
        "targets": with_verdicts(rows, min(len(column.prompts) for column in music[:2])),
    }


def _training_notes(generators: Sequence[dict[str, Any]]) -> list[str]:
    """A note on each generator that was trained for few steps."""
    warnings = {g["name"]: training_warning(g["steps"]) for g in generators if g["steps"] is not None}
    return [f"{name}: {warning}" for name, warning in warnings.items() if warning]


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


def _write(folder: Path, report: dict[str, Any], players: Sequence[tuple[str, list[Waveform]]]) -> None:
    """Write judge.json and judge.html."""
    with writing(folder / "judge.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    write_judgement(folder / "judge.html", report, measure_rows(report), players, report["sample_rate"])
    print(f"Report:      {folder / 'judge.html'} and judge.json")


def _generators(columns: Iterable[tuple[str, Generated]]) -> Iterator[dict[str, Any]]:
    """The generators of each column: checkpoint, and the number of steps and epochs of its training."""
    for name, column in columns:
        for checkpoint in column.checkpoints:
            known = column.training.get(checkpoint)
            if known is None and Path(checkpoint).is_file():
                read = read_checkpoint(checkpoint)
                known = read.steps, read.epoch + 1
            steps, epochs = known or (None, None)
            yield {"name": name, "checkpoint": checkpoint, "steps": steps, "epochs": epochs}
