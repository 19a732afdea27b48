"""`musiccli judge`: hold generated music against real music, with floors and ceilings beside every figure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from musicgen_cls import __version__
from musicgen_cls.audio.io import PCM_SCALE, stream
from musicgen_cls.audio.windows import to_samples
from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.collection import collect
from musicgen_cls.embeddings import ClassifierFeatures, Embedding, RandomNetwork, Spectra, at_rate
from musicgen_cls.errors import AudioError, SourceError, UsageError
from musicgen_cls.inference import GenreRecogniser
from musicgen_cls.judgement_page import write_page
from musicgen_cls.metrics import distances, sound
from musicgen_cls.metrics.scores import wilson
from musicgen_cls.paths import check_writable, writing
from musicgen_cls.sources.folder import Folder

Waveform = npt.NDArray[np.float32]
Sounds = dict[str, list[Waveform]]
"""Waveforms by genre."""

REAL, HALVES, NOISE, SILENCE, REPEATED = "real", "real, halves", "white noise", "silence", "seed repeated"


@dataclass
class Music:
    """One column of the judgement: sounds of the same length and rate, and the measures on them."""

    name: str
    sounds: Sounds
    measures: dict[str, Any] = field(default_factory=dict)

    @property
    def tracks(self) -> list[Waveform]:
        """All sounds, genre after genre."""
        return [waveform for sounds in self.sounds.values() for waveform in sounds]


@dataclass(frozen=True)
class Generated:
    """A folder that `predict` wrote with a generator, or one like it."""

    folder: Path
    sample_rate: int
    context_seconds: float
    seconds: float
    checkpoint: str | None
    sounds: Sounds
    beginnings: Sounds


def judge(
    generated: str,
    real: str,
    others: list[str] | None = None,
    judge: str | None = None,
    training: str | None = None,
    context_seconds: float | None = None,
    seconds: float | None = None,
    out: str = "judged",
    seed: int = 0,
) -> None:
    """Hold generated music against real music and write judge.json and judge.html.

    Args:
        generated: a folder of genre folders, as predict writes it with a generator.
        real: a folder of genre folders of real music. The tracks that the generator was trained on are told by its
            checkpoint; the others are what it is held against.
        others: more generated folders, to stand beside it; the first one is the one to beat.
        judge: checkpoint of a classifier that had no part in training: tells genres, and how near they are to it.
        training: a folder of the music that the generator was trained on, where its checkpoint cannot tell.
        context_seconds: how much at the start of each file is not generated; where the folder does not tell.
        seconds: judge so much of each file only.
        out: folder for the report.
        seed: of noise and of the random network.
    """
    check_writable(Path(out), "--out DIR")
    first = load_generated(Path(generated), context_seconds)
    columns = [first, *(load_generated(Path(folder), context_seconds) for folder in others or [])]
    for column in columns:
        if column.sample_rate != first.sample_rate:
            raise UsageError(
                f"{column.folder}: {column.sample_rate} Hz, but {first.folder} has {first.sample_rate} Hz; judge like "
                "with like"
            )
    length = min([column.seconds for column in columns] + ([seconds] if seconds else []))
    context = max(column.context_seconds for column in columns)
    if length - context < 1:
        raise UsageError(f"{generated}: {length - context:.2f} s were generated; at least 1 s is needed to judge")
    held_out, heard = load_real(Path(real), first, training, context, length)
    recogniser = GenreRecogniser(judge) if judge else None
    music = [Music(REAL, held_out)]
    music += [Music(name, _cut(column, context, length)) for name, column in zip(_names(columns), columns, strict=True)]
    music += _ceilings(first, held_out, context, length, seed)
    embeddings: dict[str, Embedding] = {"random network": RandomNetwork(first.sample_rate, seed)}
    if recogniser is not None:
        embeddings[f"judge ({Path(str(judge)).name})"] = ClassifierFeatures(recogniser, first.sample_rate)
    _measure(music, heard, embeddings, recogniser, first.sample_rate)
    names = [column.name for column in music[1 : 1 + len(columns)]]
    report = {
        "version": __version__,
        "generated": str(first.folder),
        "checkpoint": first.checkpoint,
        "real": real,
        "judge": judge,
        "sample_rate": first.sample_rate,
        "judged_s": [context, length],
        "tracks": {column.name: len(column.tracks) for column in music},
        "training_tracks": sum(map(len, heard.values())),
        "measures": {column.name: column.measures for column in music},
        "targets": targets(music[0], music[1], music[2] if len(columns) > 1 else None),
    }
    print(format_judgement(report))
    with writing(Path(out) / "judge.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n")
    players = [(column.name, column.tracks) for column in music if column.name in (REAL, *names)]
    write_page(Path(out) / "judge.html", report, format_judgement(report), players, first.sample_rate)
    print(f"Report:      {Path(out) / 'judge.html'} and judge.json")


def load_generated(folder: Path, context_seconds: float | None = None) -> Generated:
    """Read a folder of generated music: silence is a result, and read too.

    Raises:
        UsageError: it holds nothing to judge, or files of different rates.
    """
    import soundfile

    files = sorted(folder.glob("*/*.wav")) if folder.is_dir() else []
    if len(files) < 2:
        raise UsageError(f"{folder}: {len(files)} wav files in genre folders; at least two are needed to judge")
    told = folder / "continuations.jsonl"
    lines = [json.loads(line) for line in told.read_text(encoding="utf-8").splitlines()] if told.is_file() else []
    facts = {line["file"]: line for line in lines}
    rates = {file: soundfile.info(file).samplerate for file in files}
    for file, rate in rates.items():
        if rate != rates[files[0]]:
            raise UsageError(f"{file}: {rate} Hz, but {files[0]} has {rates[files[0]]} Hz; judge like with like")
    rate = rates[files[0]]
    known = [facts[name]["context_seconds"] for file in files if (name := file.relative_to(folder).as_posix()) in facts]
    context = context_seconds if context_seconds is not None else max(known, default=0.0)
    begun = to_samples(context, rate)
    waveforms = {file: np.concatenate(list(stream(file, rate))) for file in files}
    sounds: Sounds = {}
    beginnings: Sounds = {}
    for file, waveform in waveforms.items():
        sounds.setdefault(file.parent.name, []).append(waveform)
        beginnings.setdefault(file.parent.name, []).append(waveform[:begun])
    checkpoints = {line["checkpoint"] for line in lines}
    return Generated(
        folder=folder,
        sample_rate=rate,
        context_seconds=context,
        seconds=min(len(waveform) for waveform in waveforms.values()) / rate,
        checkpoint=checkpoints.pop() if len(checkpoints) == 1 else None,
        sounds=sounds,
        beginnings=beginnings,
    )


def load_real(
    folder: Path, generated: Generated, training: str | None, context: float, length: float
) -> tuple[Sounds, Sounds]:
    """Real music of the same genres, rate and stretch that the generator has not heard, and whole what it has.

    Raises:
        SourceError: there is none of it.
    """
    rate = generated.sample_rate
    digests = _heard_digests(generated.checkpoint)
    collection = collect(Folder(str(folder)), rate, min_seconds=length)
    held_out: Sounds = {genre: [] for genre in generated.sounds}
    heard: Sounds = {genre: [] for genre in generated.sounds}
    for track, start, samples, digest in zip(
        collection.tracks, collection.offset, collection.samples, collection.digests, strict=True
    ):
        if track.genre not in held_out:
            continue
        waveform = collection.audio[start : start + samples].astype(np.float32) / np.float32(PCM_SCALE)
        if digest in digests:
            heard[track.genre].append(waveform)
        else:
            held_out[track.genre].append(waveform[to_samples(context, rate) : to_samples(length, rate)])
    for genre, waveforms in held_out.items():
        if len(waveforms) < 2:
            raise SourceError(
                f"{folder}: {len(waveforms)} tracks of genre '{genre}' that are {length:g} s long and that the "
                "generator was not trained on; at least two are needed"
            )
    if training is not None:
        taught = collect(Folder(training), rate)
        for track, start, samples in zip(taught.tracks, taught.offset, taught.samples, strict=True):
            waveform = taught.audio[start : start + samples].astype(np.float32) / np.float32(PCM_SCALE)
            heard.setdefault(track.genre, []).append(waveform)
    return held_out, heard


def targets(real: Music, ours: Music, rival: Music | None) -> list[dict[str, Any]]:
    """What a generator should reach, what it reaches, and whether that is enough."""
    rows: list[dict[str, Any]] = []
    seconds = len(real.measures["loudness"]["median"])
    for second in sorted({min(5, seconds), seconds}):
        gap = ours.measures["loudness"]["median"][second - 1] - real.measures["loudness"]["median"][second - 1]
        rows.append(_target(f"loudness at second {second} against the real median", f"{gap:+.1f} dB", "within 3 dB",
                            abs(gap) <= 3))  # fmt: skip
        flat = ours.measures["flatness"]["median"][second - 1]
        low, high = (real.measures["flatness"][name][second - 1] for name in ("low", "high"))
        rows.append(_target(f"flatness at second {second}", f"{flat:.4f}", f"{low:.4f} to {high:.4f}, real 5 to 95 %",
                            low <= flat <= high))  # fmt: skip
    if "recognised" in ours.measures:
        share = ours.measures["recognised"]["value"] / max(real.measures["recognised"]["value"], 1e-9)
        rows.append(_target("genre recognised, against real music", f"{share:.2f} times", ">= 0.8 times", share >= 0.8))
    if rival is not None:
        for name in ours.measures["mmd"]:
            ratio = ours.measures["mmd"][name]["value"] / rival.measures["mmd"][name]["value"]
            rows.append(_target(f"MMD, {name}, against {rival.name}", f"{ratio:.3f} times", "<= 0.333 times",
                                ratio <= 1 / 3))  # fmt: skip
    if "nearest" in ours.measures:
        at, floor = (column.measures["nearest"]["first_percentile"] for column in (ours, real))
        rows.append(_target("nearest training window, 1st percentile", f"{at:.2f} dB", f">= {floor:.2f} dB, as real",
                            at >= floor))  # fmt: skip
    return rows


def format_judgement(report: dict[str, Any]) -> str:
    """The judgement as text: a row a measure, a column a kind of music; then the targets."""
    columns = report["measures"]
    rows: list[tuple[str, list[str]]] = []
    seconds = len(columns[REAL]["loudness"]["median"])
    for second in sorted({1, min(5, seconds), seconds}):
        for name, unit in sound.MEASURES.items():
            cells = [_at(column.get(name), second, unit) for column in columns.values()]
            rows.append((f"{name} at second {second}", cells))
    for kind in ("mmd", "frechet"):
        for name in columns[REAL][kind]:
            cells = [str(distances.Distance(**column[kind][name])) for column in columns.values()]
            rows.append((f"{'MMD' if kind == 'mmd' else 'Frechet'}, {name}", cells))
    if "recognised" in columns[REAL]:
        cells = [
            "{:.0f} % [{:.0f}, {:.0f}]".format(*(100 * share[key] for key in ("value", "low", "high"))) if share else ""
            for share in (column.get("recognised") for column in columns.values())
        ]
        rows.append(("genre recognised", cells))
    if "nearest" in columns[REAL]:
        cells = [f"{column['nearest']['first_percentile']:.2f} dB" for column in columns.values()]
        rows.append(("nearest training window, 1st %", cells))
    head = [f"{name} ({report['tracks'].get(name, '')})" for name in columns]
    wide = [max(len(text) for text in (title, *(cells[i] for _, cells in rows))) for i, title in enumerate(head)]
    first = max(len(name) for name, _ in rows)
    lines = ["", f"Judged from {report['judged_s'][0]:g} to {report['judged_s'][1]:g} s at {report['sample_rate']} Hz"]
    lines += ["", "  ".join([" " * first, *(f"{title:>{w}}" for title, w in zip(head, wide, strict=True))])]
    for name, cells in rows:
        lines.append("  ".join([f"{name:<{first}}", *(f"{cell:>{w}}" for cell, w in zip(cells, wide, strict=True))]))
    lines += ["", "Targets:"]
    for row in report["targets"]:
        mark = "met    " if row["met"] else "NOT met"
        lines.append(f"  {mark}  {row['what']}: {row['reached']} ({row['wanted']})")
    return "\n".join([*lines, ""])


def run(args: Sequence[str]) -> None:
    """Judge what the command line says."""
    from jsonargparse import ArgumentParser

    class Parser(ArgumentParser):
        def error(self, message: str, ex: Exception | None = None) -> Any:
            raise UsageError(message.replace("\n", " ")) from ex

    parser = Parser(prog="musiccli judge", description=(judge.__doc__ or "").splitlines()[0])
    parser.add_function_arguments(judge, as_positional=True)
    judge(**vars(parser.parse_args(list(args))))


def _measure(
    music: list[Music],
    heard: Sounds,
    embeddings: dict[str, Embedding],
    recogniser: GenreRecogniser | None,
    rate: int,
) -> None:
    """Fill in the measures of every column; the first is the real one, that the others are held against."""
    from tqdm import tqdm

    spectra = Spectra(rate)
    bank = [spectra(waveform) for waveforms in heard.values() for waveform in waveforms]
    real: dict[str, list[npt.NDArray[np.float64]]] = {}
    scale: dict[str, tuple[Any, Any, float]] = {}
    for column in tqdm(music, desc="Judging", unit="set"):
        for name, values in _by_second(column, rate).items():
            low, median, high = sound.bands(values, (0.05, 0.5, 0.95)).tolist()
            column.measures[name] = {"median": median, "low": low, "high": high}
        column.measures |= {"mmd": {}, "frechet": {}}
        for name, embed in embeddings.items():
            vectors = [embed(waveform) for waveform in column.tracks]
            if column.name == REAL:
                every = np.concatenate(vectors)
                scale[name] = (every.mean(axis=0), every.std(axis=0) + 1e-6, 0.0)
            mean, spread, bandwidth = scale[name]
            vectors = [(vector - mean) / spread for vector in vectors]
            if column.name == REAL:
                real[name] = vectors
                scale[name] = (mean, spread, distances.median_distance(vectors))
                half, other = vectors[::2], vectors[1::2]
                found = _halves(half, other, scale[name][2])
            else:
                found = distances.mmd(vectors, real[name], bandwidth), distances.frechet(vectors, real[name])
            column.measures["mmd"][name], column.measures["frechet"][name] = map(_plain, found)
        if recogniser is not None:
            column.measures["recognised"] = _recognised(column, recogniser, rate)
        if bank:
            near = distances.nearest(
                np.concatenate([spectra(waveform) for waveform in column.tracks]), np.concatenate(bank)
            )
            column.measures["nearest"] = {
                "first_percentile": float(np.percentile(near, 1)),
                "median": float(np.median(near)),
            }


def _halves(half: list[Any], other: list[Any], bandwidth: float) -> tuple[distances.Distance, distances.Distance]:
    """The floor: one half of the real tracks against the other."""
    if min(len(half), len(other)) < 2:
        return distances.Distance(float("nan")), distances.frechet(half, other)
    return distances.mmd(half, other, bandwidth), distances.frechet(half, other)


def _by_second(column: Music, rate: int) -> dict[str, list[Any]]:
    tracks = [sound.by_second(waveform, rate) for waveform in column.tracks]
    return {name: [track[name] for track in tracks] for name in sound.MEASURES}


def _recognised(column: Music, recogniser: GenreRecogniser, rate: int) -> dict[str, float]:
    """Share of tracks that the judge takes for the genre that was intended."""
    right, total = 0, 0
    for genre, waveforms in column.sounds.items():
        if genre not in recogniser.genres:
            raise UsageError(f"--judge: it knows no '{genre}', only {', '.join(recogniser.genres)}")
        for waveform in waveforms:
            try:
                said = recogniser(at_rate(waveform, rate, recogniser.sample_rate))
            except AudioError:  # silence is of no genre
                said = {"": 1.0}
            right += max(said, key=lambda name: said[name]) == genre
            total += 1
    share = wilson(right, total)
    return {"value": share.value, "low": share.low, "high": share.high}


def _ceilings(first: Generated, real: Sounds, context: float, length: float, seed: int) -> list[Music]:
    """Music that is none: noise as loud as the real tracks, silence, and the beginning over and over."""
    rng = np.random.default_rng(seed)
    samples = to_samples(length, first.sample_rate) - to_samples(context, first.sample_rate)
    noise = {
        genre: [rng.normal(0, float(np.sqrt(np.mean(y**2))), samples).astype(np.float32) for y in waveforms]
        for genre, waveforms in real.items()
    }
    silence = {genre: [np.zeros(samples, np.float32)] * 2 for genre in real}
    found = [Music(NOISE, noise), Music(SILENCE, silence)]
    if context > 0:
        repeated = {g: [np.resize(y, samples) for y in waveforms] for g, waveforms in first.beginnings.items()}
        found.append(Music(REPEATED, repeated))
    return found


def _cut(generated: Generated, context: float, length: float) -> Sounds:
    rate = generated.sample_rate
    first, last = to_samples(context, rate), to_samples(length, rate)
    return {genre: [y[first:last] for y in waveforms] for genre, waveforms in generated.sounds.items()}


def _names(columns: Sequence[Generated]) -> Iterator[str]:
    """Short names of folders, all different."""
    names = [column.folder.resolve().name for column in columns]
    for column, name in zip(columns, names, strict=True):
        yield name if names.count(name) == 1 and name != REAL else str(column.folder)


def _heard_digests(checkpoint: str | None) -> frozenset[str]:
    """Digests of the tracks that a generator was trained on; none if its checkpoint is not there."""
    if checkpoint is None or not Path(checkpoint).is_file():
        return frozenset()
    name = read_checkpoint(checkpoint).data["class_path"].rpartition(".")[2]
    content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    return frozenset(content.get(name, {}).get("heard", ()))


def _plain(distance: distances.Distance) -> dict[str, float | None]:
    return {"value": distance.value, "low": distance.low, "high": distance.high}


def _target(what: str, reached: str, wanted: str, met: bool) -> dict[str, Any]:
    return {"what": what, "reached": reached, "wanted": wanted, "met": bool(met)}


def _at(curve: dict[str, list[float]] | None, second: int, unit: str) -> str:
    if curve is None or len(curve["median"]) < second:
        return ""
    value = curve["median"][second - 1]
    return f"{value:.4f}" if not unit else f"{value:.1f} {unit}" if unit == "dB" else f"{value:.0f} {unit}"
