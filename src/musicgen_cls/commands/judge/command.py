"""`musiccli judge`: hold generated music against real music, with upper and lower bounds beside every figure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_cls import __version__
from musicgen_cls.audio.io import PCM_SCALE, stream
from musicgen_cls.audio.windows import to_samples
from musicgen_cls.checkpoints import read_checkpoint, trained
from musicgen_cls.collection.collection import Collection, collect
from musicgen_cls.commands.judge.embeddings import ClassifierFeatures, Embedding, RandomNetwork, Spectra, at_rate
from musicgen_cls.errors import AudioError, SourceError, UsageError, check_not_negative, counted
from musicgen_cls.files import as_path, check_writable, writing
from musicgen_cls.formats.generations import Told, read_lines, training_warning
from musicgen_cls.metrics import by_second as sound
from musicgen_cls.metrics import distances
from musicgen_cls.metrics.intervals import wilson
from musicgen_cls.pages.judgement import write_judgement
from musicgen_cls.recogniser import GenreRecogniser
from musicgen_cls.sources.folder import Folder

Waveform = npt.NDArray[np.float32]
Sounds = dict[str, list[Waveform]]
"""Waveforms by genre."""

REAL, NOISE, SILENCE, REPEATED = "real", "white noise", "silence", "prompt repeated"

VERDICT_TRACKS = 20
"""Of fewer independent tracks no target is called met or missed."""

_BANK_HOP_S = 1 / 16  # from one training window to the next: a copy is never far from the beat of the bank
_QUIET_DB = -60.0  # windows below are nobody's


@dataclass
class Music:
    """One column of the judgement: sounds of the same length and rate, and the measures on them.

    `seeds` are the real files that they continue, in the order of `tracks`; None where that is not known.
    """

    name: str
    sounds: Sounds
    seeds: list[str | None] = field(default_factory=list)
    measures: dict[str, Any] = field(default_factory=dict)

    @property
    def tracks(self) -> list[Waveform]:
        """All sounds, genre after genre."""
        return [waveform for sounds in self.sounds.values() for waveform in sounds]

    @property
    def prompts(self) -> list[str]:
        """What the tracks continue, each once; a track whose prompt is not known is one of its own."""
        return list(self._takes())

    def takes_together(self, of_tracks: Sequence[Any]) -> list[Any]:
        """Rows `[rows, ...]` of every track to rows of every prompt: samples of one prompt are not independent."""
        return [np.concatenate([of_tracks[number] for number in numbers]) for numbers in self._takes().values()]

    def _takes(self) -> dict[str, list[int]]:
        """Numbers of the tracks that continue each prompt."""
        takes: dict[str, list[int]] = {}
        for number in range(len(self.tracks)):
            seed = self.seeds[number] if number < len(self.seeds) else None
            takes.setdefault(seed or f"track {number}", []).append(number)
        return takes


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
    seeds: list[str | None]

    @property
    def checkpoint(self) -> str | None:
        """The one generator that made it; None if that is not known, or several did."""
        return self.checkpoints[0] if len(self.checkpoints) == 1 else None


@dataclass(frozen=True)
class Real:
    """Real music at the rate of the generated: what it is compared with, and what the generators were trained on."""

    held_out: Sounds
    heard: Sounds
    paths: list[str]
    """Files of the held-out tracks, genre after genre."""
    notes: list[str]


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
        real: a folder of genre folders of real music. The generator's checkpoint knows the tracks that it was trained
            on; the other tracks are compared with the generated music.
        others: one more generated folder, or a list, as [a,b], for more columns; the first is the one to beat.
        judge: checkpoint of a classifier that had no part in training: it predicts genres.
        embed: checkpoint of a classifier in whose features distances are measured; the judge's if not given.
        training: a folder of the music that the generator was trained on, where its checkpoint does not know it; its
            tracks in the real folder are not compared.
        context_seconds: length of the prompt at the start of each file, where the folder does not say it.
        seconds: length of the start of each file that is judged.
        out: folder for the report.
        seed: of noise and of the random network.
    """
    check_not_negative("--", context_seconds=context_seconds or 0, seconds=seconds or 0)
    folder = as_path(out, "--out")
    check_writable(folder, "--out DIR")
    rivals = [others] if isinstance(others, str) else others or []
    columns = [load_generated(as_path(name, "GENERATED"), context_seconds) for name in (generated, *rivals)]
    first, names = columns[0], list(_names(columns))
    context, length = _stretch(columns, seconds)
    recogniser = GenreRecogniser(judge) if judge else None
    for genre in first.sounds:
        if recogniser is not None and genre not in recogniser.genres:
            raise UsageError(f"--judge: it knows no '{genre}', only {', '.join(recogniser.genres)}")
    embedder = GenreRecogniser(embed) if embed else recogniser
    truth = load_real(as_path(real, "REAL"), columns, training, length)
    notes = truth.notes + (_known_to_judge(recogniser, as_path(real, "REAL"), truth.paths) if recogniser else [])
    for name, classifier in {"judge": recogniser, "embed": embedder}.items():
        if classifier is not None and classifier.sample_rate > first.sample_rate and (name == "judge" or embed):
            notes.append(f"--{name} was trained at {classifier.sample_rate} Hz; these recordings hold nothing above "
                         f"{first.sample_rate / 2:g} Hz: train one at {first.sample_rate} Hz")  # fmt: skip
    music = [Music(REAL, truth.held_out, [*truth.paths])]
    music += [Music(n, _cut(c, length), c.seeds) for n, c in zip(names, columns, strict=True)]
    music += _ceilings(first, truth.held_out, length, seed)
    embeddings: dict[str, Embedding] = {"random network": RandomNetwork(first.sample_rate, seed)}
    if embedder is not None:
        name = f"{'embed' if embed else 'judge'} ({Path(str(embed or judge)).name})"
        embeddings[name] = ClassifierFeatures(embedder, first.sample_rate)
    _measure(music, truth.heard, embeddings, recogniser, first.sample_rate, context)
    generators = list(_generators(zip(names, columns, strict=True)))
    warnings = {g["name"]: training_warning(g["steps"]) for g in generators if g["steps"] is not None}
    notes += [f"{name}: {warning}" for name, warning in warnings.items() if warning]
    report = {
        "version": __version__,
        "generated": str(first.folder),
        "checkpoint": first.checkpoint,
        "real": real,
        "judge": judge,
        "embed": embed,
        "sample_rate": first.sample_rate,
        "judged_s": [context, length],
        "tracks": {column.name: len(column.tracks) for column in music},
        "training_tracks": sum(map(len, truth.heard.values())),
        "measures": {column.name: column.measures for column in music},
        "generators": generators,
        "targets": with_verdicts(
            targets(music[0], music[1], music[2] if len(columns) > 1 else None),
            min(len(column.prompts) for column in music[:2]),
        ),
        "notes": notes,
    }
    print(format_judgement(report))
    with writing(folder / "judge.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    players = [(column.name, column.tracks) for column in music if column.name in (REAL, *names)]
    write_judgement(folder / "judge.html", report, measure_rows(report), players, first.sample_rate)
    print(f"Report:      {folder / 'judge.html'} and judge.json")


def load_generated(folder: Path, context_seconds: float | None = None) -> Generated:
    """Read a folder of generated music: silence is a result, and read too.

    Raises:
        AudioError: a file is damaged.
        RecordError: a line about a recording is.
        UsageError: it holds nothing to judge, or files of different rates.
    """
    files = sorted(folder.glob("*/*.wav")) if folder.is_dir() else []
    if not files:
        raise UsageError(f"{folder}: no wav files in genre folders; name a folder that predict wrote with a generator")
    told = {line.file: line for line in read_lines(folder, Told)}
    names = [file.relative_to(folder).as_posix() for file in files]
    facts = [told.get(name, Told(file=name)) for name in names]
    rates = [_rate(file) for file in files]
    for file, rate in zip(files, rates, strict=True):
        if rate != rates[0]:
            raise UsageError(f"{file}: {rate} Hz, but {files[0]} has {rates[0]} Hz; judge like with like")
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
        seeds=[fact.seed for fact in facts],
    )


def load_real(folder: Path, columns: Sequence[Generated], training: str | None, length: float) -> Real:
    """Real music of the same genres, rate and length that no generator was trained on, and, whole, what one was.

    Raises:
        SourceError: there is none of it.
    """
    rate, genres = columns[0].sample_rate, columns[0].sounds
    checkpoints = sorted({checkpoint for column in columns for checkpoint in column.checkpoints})
    digests = frozenset[str]().union(*map(_heard_digests, checkpoints))
    taught = _collect(as_path(training, "--training"), rate) if training else None
    if taught is not None:
        digests |= frozenset(taught.digests)
    collection = _collect(folder, rate, length)
    held_out: Sounds = {genre: [] for genre in genres}
    heard: Sounds = {genre: [] for genre in genres}
    paths: dict[str, list[str]] = {genre: [] for genre in genres}
    for row, track in enumerate(collection.tracks):
        if track.genre not in genres:
            continue
        if collection.digests[row] in digests:
            heard[track.genre].append(_waveform(collection, row))
        else:
            held_out[track.genre].append(_waveform(collection, row)[: to_samples(length, rate)])
            paths[track.genre].append(str(track.path))
    for genre, waveforms in held_out.items():
        if not waveforms:
            known = f" ({counted(len(heard[genre]), 'track')} that it was trained on)" if heard[genre] else ""
            raise SourceError(
                f"{folder}: no tracks of genre '{genre}' that are {length:g} s long and that the generator was not "
                f"trained on{known}; add some, or name another folder"
            )
    notes = []
    if short := [problem for problem in collection.problems if "too short" in problem.reason]:
        notes.append(f"{counted(len(short), 'real track')} shorter than {length:g} s left out")
    if taught is not None:
        for row, track in enumerate(taught.tracks):
            if taught.digests[row] not in collection.digests:  # else it is there already
                heard.setdefault(track.genre, []).append(_waveform(taught, row))
    elif gone := [name for name in checkpoints if not Path(name).is_file()]:
        notes.append(f"{gone[0]} is not there: it may have been trained on some of the real tracks; "
                     "--training DIR names what it was trained on")  # fmt: skip
    elif not any(heard.values()):
        notes.append(f"it is not known which music the generator was trained on ({folder} has none of it), so that "
                     "copying cannot be told; --training DIR names it")  # fmt: skip
    return Real(held_out, heard, [path for genre in genres for path in paths[genre]], notes)


def targets(real: Music, ours: Music, rival: Music | None) -> list[dict[str, Any]]:
    """What a generator should reach, what it reaches, and whether that is enough."""
    rows: list[dict[str, Any]] = []
    seconds = len(real.measures["loudness"]["median"])
    for second in sorted({min(5, seconds), seconds}):
        (median, error), (goal, doubt) = (
            [column.measures["loudness"][name][second - 1] for name in ("median", "error")] for column in (ours, real)
        )
        gap = median - goal
        wide = math.nan if None in (error, doubt) else 1.96 * math.hypot(error, doubt)
        interval = "" if math.isnan(wide) else f" [{gap - wide:+.1f}, {gap + wide:+.1f}]"
        rows.append(_target(f"loudness at second {second} against the real median",
                            f"{gap:+.1f} dB{interval}", "within 3 dB",
                            abs(gap) <= 3))  # fmt: skip
        flat = ours.measures["flatness"]["median"][second - 1]
        low, high = (real.measures["flatness"][name][second - 1] for name in ("low", "high"))
        rows.append(_target(f"flatness at second {second}", f"{flat:.4f}", f"{low:.4f} to {high:.4f}, real 5 to 95 %",
                            low <= flat <= high))  # fmt: skip
    if "recognised" in ours.measures:
        share, base = (column.measures["recognised"]["value"] for column in (ours, real))
        rows.append(_target("genre recognised, against real music", f"{_ratio(share, base)} times", ">= 0.8 times",
                            base > 0 and share >= 0.8 * base))  # fmt: skip
    if rival is not None:
        for name in ours.measures["mmd"]:
            if None in (pair := [column.measures["mmd"][name] for column in (ours, rival)]):
                continue
            at, beaten = (distance["value"] for distance in pair)
            rows.append(_target(f"MMD^2, {name}, against {rival.name}", f"{_ratio(at, beaten)} times",
                                "<= 0.333 times", beaten > 0 and at <= beaten / 3))  # fmt: skip
    if "nearest" in ours.measures:
        near, floor = ours.measures["nearest"]["first_percentile"], real.measures["nearest"]
    if "nearest" in ours.measures and floor["first_percentile"] is not None:
        wanted = f">= {_near(floor)}, as real"
        rows.append(_target("nearest training window, 1st percentile", "silent" if near is None else f"{near:.2f} dB",
                            wanted, near is None or near >= floor["first_percentile"]))  # fmt: skip
    return rows


def with_verdicts(rows: Sequence[dict[str, Any]], tracks: int) -> list[dict[str, Any]]:
    """Targets with a verdict in words on each, which is withheld where there are few independent tracks."""
    if tracks < VERDICT_TRACKS:
        few = f"too few tracks for a verdict: {tracks} of {VERDICT_TRACKS}"
        return [{**row, "met": None, "verdict": few} for row in rows]
    return [{**row, "verdict": "met" if row["met"] else "not met"} for row in rows]


def _generators(columns: Iterable[tuple[str, Generated]]) -> Iterator[dict[str, Any]]:
    """What made each generated column: checkpoint, and for how many steps and epochs it was trained."""
    for name, column in columns:
        for checkpoint in column.checkpoints:
            known = column.training.get(checkpoint)
            if known is None and Path(checkpoint).is_file():
                read = read_checkpoint(checkpoint)
                known = read.steps, read.epoch + 1
            steps, epochs = known or (None, None)
            yield {"name": name, "checkpoint": checkpoint, "steps": steps, "epochs": epochs}


def measure_rows(report: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """The name of each measure and its values as text, one for each kind of music."""
    columns = report["measures"]
    rows: list[tuple[str, list[str]]] = []
    seconds = len(columns[REAL]["loudness"]["median"])
    made = min(math.ceil(report["judged_s"][0]) + 1, seconds)  # the first second with nothing of the prompt
    for second in sorted({made, max(made, min(5, seconds)), seconds}):
        for name, unit in sound.MEASURES.items():
            cells = [_at(column.get(name), second, unit) for column in columns.values()]
            rows.append((f"{name} at second {second}", cells))
    for kind in ("mmd", "frechet"):
        for name in columns[REAL][kind]:
            cells = [_cell(column[kind][name]) for column in columns.values()]
            rows.append((f"{'MMD^2' if kind == 'mmd' else 'Frechet'}, {name}", cells))
    if "recognised" in columns[REAL]:
        cells = [
            "{:.0f} % [{:.0f}, {:.0f}]".format(*(100 * share[key] for key in ("value", "low", "high"))) if share else ""
            for share in (column.get("recognised") for column in columns.values())
        ]
        rows.append(("genre recognised", cells))
    if "nearest" in columns[REAL]:
        cells = [_near(column["nearest"]) for column in columns.values()]
        rows.append(("nearest training window, 1st %", cells))
    return rows


def format_judgement(report: dict[str, Any]) -> str:
    """The judgement as text: a row a measure, a column a kind of music; then the targets."""
    columns, rows = report["measures"], measure_rows(report)
    head = [f"{name} ({report['tracks'].get(name, '')})" for name in columns]
    wide = [max(len(text) for text in (title, *(cells[i] for _, cells in rows))) for i, title in enumerate(head)]
    first = max(len(name) for name, _ in rows)
    lines = ["", f"Judged from {report['judged_s'][0]:g} to {report['judged_s'][1]:g} s at {report['sample_rate']} Hz"]
    lines += ["", "  ".join([" " * first, *(f"{title:>{w}}" for title, w in zip(head, wide, strict=True))])]
    for name, cells in rows:
        lines.append("  ".join([f"{name:<{first}}", *(f"{cell:>{w}}" for cell, w in zip(cells, wide, strict=True))]))
    lines += ["", f"MMD^2 and Frechet distance under '{REAL}': one half of its tracks from the other."]
    for made in report["generators"]:
        known = made["steps"] is not None
        said = trained(made["steps"], made["epochs"]) if known else "trained for an unknown number of steps"
        lines.append(f"Generator of {made['name']}: {made['checkpoint']}, {said}.")
    lines += [f"Note: {note}." for note in report["notes"]]
    lines += ["", "Targets:"]
    width = max(len(row["verdict"]) for row in report["targets"])
    for row in report["targets"]:
        lines.append(f"  {row['verdict']:<{width}}  {row['what']}: {row['reached']} ({row['wanted']})")
    return "\n".join([*lines, ""])


def _measure(
    music: list[Music],
    heard: Sounds,
    embeddings: dict[str, Embedding],
    recogniser: GenreRecogniser | None,
    rate: int,
    context: float,
) -> None:
    """Fill in the measures of every column; the first is the real one, that the others are held against."""
    from tqdm import tqdm

    begun = to_samples(context, rate)
    dense = Spectra(rate, _BANK_HOP_S)
    bank = [dense(waveform).astype(np.float32) for waveforms in heard.values() for waveform in waveforms]
    windows = np.concatenate(bank) if bank else None
    scale: dict[str, tuple[Any, Any]] = {}
    real: dict[str, tuple[list[Any], float]] = {}
    for column in tqdm(music, desc="Judging", unit="set"):
        made = [waveform[begun:] for waveform in column.tracks]
        for name, values in _by_second(column, rate).items():
            low, q25, median, q75, high = sound.bands(values).tolist()
            error = sound.median_error(column.takes_together([value[None] for value in values])).tolist()
            error = error if len(column.prompts) > 1 else [None] * len(error)  # a single one has no spread
            column.measures[name] = {"median": median, "low": low, "high": high, "q25": q25, "q75": q75, "error": error}
        column.measures |= {"mmd": {}, "frechet": {}}
        for name, embed in embeddings.items():
            vectors = column.takes_together([embed(waveform) for waveform in made])
            if column.name == REAL:
                scale[name] = _scale(np.concatenate(vectors))
            vectors = [(vector - scale[name][0]) / scale[name][1] for vector in vectors]
            if column.name == REAL:
                real[name] = vectors, distances.median_distance(vectors)
                found = _halves(*real[name])
            else:
                related = _related(column.prompts, music[0].seeds)
                found = _distances(vectors, *real[name], related)
            column.measures["mmd"][name], column.measures["frechet"][name] = map(_plain, found)
        if recogniser is not None:
            column.measures["recognised"] = _recognised(column, recogniser, rate, begun)
        if windows is not None:
            spectra = Spectra(rate)
            column.measures["nearest"] = _nearest(column.takes_together([spectra(w) for w in made]), windows)


def _scale(vectors: Any) -> tuple[Any, Any]:
    """Mean and spread of features `[windows, features]`.

    One that hardly varies in real music, as a unit that is nearly always off, is not blown up: any other music that
    wakes it would be infinitely far.
    """
    spread = vectors.std(axis=0)
    return vectors.mean(axis=0), np.maximum(spread, 0.1 * np.median(spread)) + 1e-6


def _nearest(made: Sequence[Any], training: Any) -> dict[str, float | None]:
    """How near windows come to training windows, dB, with an interval over tracks; None where all are quiet."""
    near = []
    for vectors in made:
        vectors = vectors[vectors.max(axis=1) > _QUIET_DB]
        if len(vectors):
            near.append(distances.nearest(vectors, training))
    if not near:
        return dict.fromkeys(("first_percentile", "low", "high", "median"))
    every = np.concatenate(near)
    if len(near) == 1:  # a single track has no spread
        first, median = np.percentile(every, (1, 50)).tolist()
        return {"first_percentile": first, "low": None, "high": None, "median": median}
    rng = np.random.default_rng(0)
    drawn = [np.concatenate([near[i] for i in rng.integers(len(near), size=len(near))]) for _ in range(1000)]
    low, high = np.quantile([np.percentile(sample, 1) for sample in drawn], (0.025, 0.975))
    return {
        "first_percentile": float(np.percentile(every, 1)),
        "low": float(low),
        "high": float(high),
        "median": float(np.median(every)),
    }


def _halves(vectors: list[Any], bandwidth: float) -> tuple[distances.Distance | None, distances.Distance | None]:
    """The lower bound: one half of the real tracks against the other."""
    return _distances(vectors[::2], vectors[1::2], bandwidth)


def _distances(
    ours: list[Any], real: list[Any], bandwidth: float, related: Sequence[tuple[int, int]] = ()
) -> tuple[distances.Distance | None, distances.Distance | None]:
    """MMD and Frechet distance; none of fewer than two tracks or windows on a side."""
    tracks, windows = (min(sizes) for sizes in ((len(ours), len(real)), (_windows(ours), _windows(real))))
    mmd = distances.mmd(ours, real, bandwidth, related) if tracks > 1 else None
    return mmd, distances.frechet(ours, real) if windows > 1 else None


def _windows(tracks: Sequence[Any]) -> int:
    return sum(map(len, tracks))


def _related(seeds: Sequence[str | None], real: Sequence[str | None]) -> list[tuple[int, int]]:
    """Pairs of a generated and a real track, by number, of which one continues the start of the other."""
    place = {Path(path).resolve(): number for number, path in enumerate(real) if path}
    begun = [(number, place.get(Path(seed).resolve())) for number, seed in enumerate(seeds) if seed]
    return [(number, other) for number, other in begun if other is not None]


def _by_second(column: Music, rate: int) -> dict[str, list[Any]]:
    tracks = [sound.by_second(waveform, rate) for waveform in column.tracks]
    return {name: [track[name] for track in tracks] for name in sound.MEASURES}


def _recognised(column: Music, recogniser: GenreRecogniser, rate: int, begun: int) -> dict[str, float]:
    """Share of tracks that the judge takes for the genre that was intended."""
    right, total = 0, 0
    for genre, waveforms in column.sounds.items():
        for waveform in waveforms:
            try:
                said = recogniser(at_rate(waveform[begun:], rate, recogniser.sample_rate))
            except AudioError:  # silence is of no genre
                said = {"": 1.0}
            right += max(said, key=lambda name: said[name]) == genre
            total += 1
    independent = len(column.prompts)
    share = wilson(right / total * independent, independent)
    return {"value": share.value, "low": share.low, "high": share.high}


def _ceilings(first: Generated, real: Sounds, length: float, seed: int) -> list[Music]:
    """Lower bounds: noise as loud as the real tracks, silence, and the prompt repeated."""
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
        found.append(Music(REPEATED, repeated, first.seeds))
    return found


def _cut(generated: Generated, length: float) -> Sounds:
    last = to_samples(length, generated.sample_rate)
    return {genre: [y[:last] for y in waveforms] for genre, waveforms in generated.sounds.items()}


def _stretch(columns: Sequence[Generated], seconds: float | None) -> tuple[float, float]:
    """From where to where all columns are judged, s."""
    for column in columns:
        if column.sample_rate != columns[0].sample_rate:
            raise UsageError(
                f"{column.folder}: {column.sample_rate} Hz, but {columns[0].folder} has {columns[0].sample_rate} Hz; "
                "judge like with like"
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


def _names(columns: Sequence[Generated]) -> Iterator[str]:
    """Short names of folders, all different."""
    names = [column.folder.resolve().name for column in columns]
    for column, name in zip(columns, names, strict=True):
        yield name if names.count(name) == 1 and name != REAL else str(column.folder)


def _rate(file: Path) -> int:
    import soundfile

    try:
        return int(soundfile.info(file).samplerate)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{file}: not audio that can be read; take it away or make it anew") from error


def _collect(folder: Path, rate: int, min_seconds: float = 0.0) -> Collection:
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder; name one with a sub-folder of music for each genre")
    return collect(Folder(str(folder)), rate, min_seconds=min_seconds)


def _waveform(collection: Collection, row: int) -> Waveform:
    start = collection.offset[row]
    pcm = collection.items[start : start + collection.lengths[row]]
    waveform: Waveform = pcm.astype(np.float32) / np.float32(PCM_SCALE)
    return waveform


def _heard_digests(checkpoint: str | Path) -> frozenset[str]:
    """Digests of the tracks that a network was trained on, at its sample rate; none if its checkpoint is not there."""
    if not Path(checkpoint).is_file():
        return frozenset()
    return read_checkpoint(checkpoint).heard


def _known_to_judge(recogniser: GenreRecogniser, folder: Path, held_out: Sequence[str]) -> list[str]:
    """A note if the judge was trained on real tracks that it now judges."""
    digests = _heard_digests(recogniser.checkpoint.path)
    if not digests:
        return []
    collection = _collect(folder, recogniser.sample_rate)
    heard = {str(t.path) for t, digest in zip(collection.tracks, collection.digests, strict=True) if digest in digests}
    known = len(heard & set(held_out))
    if not known:
        return []
    return [
        f"the judge was trained on {known} of {counted(len(held_out), 'real track')}: its share of them is too high"
    ]


def _plain(distance: distances.Distance | None) -> dict[str, float | None] | None:
    return {"value": distance.value, "low": distance.low, "high": distance.high} if distance else None


def _cell(distance: dict[str, Any] | None) -> str:
    return str(distances.Distance(**distance)) if distance else ""


def _ratio(value: float, base: float) -> str:
    return f"{value / base:.3f}" if base > 0 else f"{value:.3g} to {base:.3g}, no"


def _target(what: str, reached: str, wanted: str, met: bool) -> dict[str, Any]:
    return {"what": what, "reached": reached, "wanted": wanted, "met": bool(met)}


def _at(curve: dict[str, list[float]] | None, second: int, unit: str) -> str:
    if curve is None or len(curve["median"]) < second:
        return ""
    value = curve["median"][second - 1]
    return f"{value:.4f}" if not unit else f"{value:.1f} {unit}" if unit == "dB" else f"{value:.0f} {unit}"


def _near(nearest: dict[str, float | None]) -> str:
    """The first percentile of distances to training windows, with its interval where there is one."""
    first, low, high = (nearest[name] for name in ("first_percentile", "low", "high"))
    if first is None:
        return ""
    return f"{first:.2f} dB" + ("" if low is None or high is None else f" [{low:.2f}, {high:.2f}]")
