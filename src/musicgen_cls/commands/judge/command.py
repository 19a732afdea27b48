"""`musiccli judge`: compares generated music with real music, with upper and lower bounds beside every figure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from musicgen_cls import __version__
from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.commands.judge.audio import Options, Recordings, judge_recordings
from musicgen_cls.commands.judge.folders import holds_recordings, kinds, short_names
from musicgen_cls.commands.judge.note_verdict import format_scores, note_rows
from musicgen_cls.commands.judge.notes import JudgedScores, judge_scores
from musicgen_cls.commands.judge.pairs import choose_pairs
from musicgen_cls.commands.judge.rendering import render_real
from musicgen_cls.commands.judge.scores import score_files
from musicgen_cls.commands.judge.verdict import format_measures, format_verdicts, measure_rows
from musicgen_cls.errors import UsageError, check_not_negative, check_seed
from musicgen_cls.files import as_path, check_writable, writing
from musicgen_cls.formats.generations import MIN_STEPS, MIN_STEPS_OF_NOTES, training_warning
from musicgen_cls.pages.judgement import write_judgement
from musicgen_cls.pages.pairs import write_pairs


def judge(
    generated: str,
    real: str,
    others: list[str] | str | None = None,
    scores: str | None = None,
    judge: str | None = None,
    embed: str | None = None,
    training: str | None = None,
    context_seconds: float | None = None,
    seconds: float | None = None,
    out: str = "judged",
    ab: bool = False,
    seed: int = 0,
) -> None:
    """Compare generated music with real music and write judge.json and judge.html.

    Recordings are compared with real recordings, and scores (.mid), which a generator of notes writes beside its
    recordings, with real scores.

    Args:
        generated: a folder of genre folders, as predict writes it with a generator.
        real: a folder of genre folders of real music, recordings or scores. Only tracks that the generator was not
            trained on are compared; its checkpoint lists those that it was trained on.
        others: one more generated folder, or a list, as [a,b], for more columns; the first is the baseline to beat.
        scores: a folder of genre folders of real scores, if REAL has none.
        judge: checkpoint of a classifier that predicts genres; it had no part in the generator's training.
        embed: checkpoint of a classifier whose features give the distances; the judge's if not given.
        training: a folder of the music that the generator was trained on, if its checkpoint does not list it; these
            tracks in the real folder are not compared.
        context_seconds: length of the prompt at the start of each file, if the folder does not record it.
        seconds: length of the start of each file that is judged.
        out: folder for the report.
        ab: write ab.html too, a listening test: pairs of a real and a generated recording in random order.
        seed: of the noise baseline, of the random network and of the pairs.

    Raises:
        MusicClsError: a folder or a checkpoint cannot be used.
    """
    check_not_negative("--", context_seconds=context_seconds or 0, seconds=seconds or 0)
    check_seed(seed)
    folder = as_path(out, "--out")
    check_writable(folder, "--out DIR")
    more = [others] if isinstance(others, str) else others or []
    places = [as_path(name, "GENERATED") for name in (generated, *more)]
    columns = dict(zip(short_names(places), places, strict=True))
    options = Options(as_path(real, "REAL"), as_path(training, "--training") if training else None, context_seconds,
                      seconds, seed)  # fmt: skip
    what = kinds(places[0], options.real, as_path(scores, "--scores") if scores else None)
    if not what.recordings and (judge or embed):
        option = f"--judge {judge}" if judge else f"--embed {embed}"
        raise UsageError(f"{option}: a classifier of recordings, but only scores are judged; leave it out")
    if ab and not what.recordings:
        raise UsageError("--ab: a listening test needs real and generated recordings, but only scores are judged")
    found = _scores(columns, options, what.scores) if what.scores else None
    if found and what.rendered:
        options = replace(options, real=render_real(found.held_out, places[0], seed), rendered=True)
    played = _recordings(columns, options, judge, embed, found) if what.recordings else None
    report: dict[str, Any] = {"version": __version__, "generated": str(places[0])}
    report |= {"checkpoint": _checkpoint(found, played), "real": real, "judge": judge, "embed": embed}
    report |= _found(found, played, what.note)
    print(*([format_measures(report)] if played else []), *([format_scores(found.report)] if found else []),
          format_verdicts(report), sep="\n")  # fmt: skip
    _write(folder, report, played)
    if ab and played:
        _write_pairs(folder / "ab.html", played, seed)


def _found(scores: JudgedScores | None, recordings: Recordings | None, note: str) -> dict[str, Any]:
    """What both judgements found: measures, targets, generators and notes."""
    made = list(_generators(scores, recordings))
    parts = [part for part in (recordings, scores) if part]
    return {
        **(recordings.report if recordings else {}),
        **({"scores": scores.report} if scores else {}),
        "targets": [row for part in parts for row in part.targets],
        "generators": made,
        "notes": [
            *filter(None, [note]),
            *(own for part in parts for own in part.notes),
            *_training_notes(made, scores),
        ],
    }


def _scores(columns: dict[str, Path], options: Options, real: Path) -> JudgedScores:
    """The judgement of those folders that have scores."""
    training = options.training if options.training and score_files(options.training) else None
    with_scores = {name: place for name, place in columns.items() if score_files(place)}
    return judge_scores(with_scores, replace(options, real=real, training=training))


def _recordings(
    columns: dict[str, Path], options: Options, judge: str | None, embed: str | None, scores: JudgedScores | None
) -> Recordings:
    """The judgement of those folders that have recordings, or have no scores either."""
    training = options.training
    if training and score_files(training) and not holds_recordings(training):
        training = None
    with_sound = {
        name: place for name, place in columns.items() if any(place.glob("*/*.wav")) or not score_files(place)
    }
    broken = scores.broken if scores else ""
    return judge_recordings(with_sound, replace(options, training=training), judge, embed, broken)


def _checkpoint(scores: JudgedScores | None, recordings: Recordings | None) -> str | None:
    """The checkpoint of the generator; None if it is unknown, or there are several."""
    if recordings:
        return next(iter(recordings.generated.values())).checkpoint
    known = scores.generated[0].checkpoints if scores else []
    return known[0] if len(known) == 1 else None


def _training_notes(generators: Sequence[dict[str, Any]], scores: JudgedScores | None) -> list[str]:
    """A note on each generator that was trained for few steps."""
    least = {column.name: MIN_STEPS_OF_NOTES for column in (scores.generated if scores else [])}
    warnings = {
        made["name"]: training_warning(made["steps"], least.get(made["name"], MIN_STEPS))
        for made in generators
        if made["steps"] is not None
    }
    return [f"{name}: {warning}" for name, warning in warnings.items() if warning]


def _write(folder: Path, report: dict[str, Any], recordings: Recordings | None) -> None:
    """Write judge.json and judge.html."""
    with writing(folder / "judge.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    players = [(column.name, column.tracks) for column in recordings.music[: len(recordings.generated) + 1]
               ] if recordings else []  # fmt: skip
    rows = measure_rows(report) if recordings else []
    of_notes = note_rows(report["scores"]["measures"]) if "scores" in report else []
    write_judgement(folder / "judge.html", report, rows, of_notes, players)
    print(f"Report:      {folder / 'judge.html'} and judge.json")


def _write_pairs(path: Path, recordings: Recordings, seed: int) -> None:
    """Write the listening test of the first generated folder."""
    real, ours = recordings.music[:2]
    rate, (context, _) = recordings.report["sample_rate"], recordings.report["judged_s"]
    write_pairs(path, ours.name, choose_pairs(real, ours, rate, context, seed), rate)
    print(f"Listen:      {path}")


def _generators(scores: JudgedScores | None, recordings: Recordings | None) -> Iterator[dict[str, Any]]:
    """The generators of each column: checkpoint, and the number of steps and epochs of its training."""
    known: dict[tuple[str, str], tuple[int, int] | None] = {}
    for name, column in recordings.generated.items() if recordings else ():
        known |= {(name, checkpoint): column.training.get(checkpoint) for checkpoint in column.checkpoints}
    for own in scores.generated if scores else ():
        for checkpoint in own.checkpoints:
            known.setdefault((own.name, checkpoint))
    for (name, checkpoint), length in known.items():
        if length is None and Path(checkpoint).is_file():
            read = read_checkpoint(checkpoint)
            length = read.steps, read.epoch + 1
        steps, epochs = length or (None, None)
        yield {"name": name, "checkpoint": checkpoint, "steps": steps, "epochs": epochs}
