"""The long commands of `musiccli` on small music, for `kill.py` and `faults.py`.

To save the time of imports, a process that has imported everything forks a child for each start. The child runs the
same function as the console script.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from musicgen_cls.__main__ import main as musiccli
from musicgen_cls.cli import lightning as cli  # noqa: F401  what a child would import
from musicgen_cls.collection import store
from musicgen_cls.notes.composed import compose
from musicgen_cls.notes.midi import write_midi
from musicgen_cls.sources.synthetic import SyntheticGenres

QUIET = ["--trainer.enable_progress_bar", "false"]
SHORT = ["--trainer.max_epochs", "2", "--trainer.accelerator", "cpu", "--test_after_fit", "false", *QUIET]


@dataclass(frozen=True)
class LongCommand:
    """A command: its words from the folder of its results, and what in that folder must survive faults."""

    words: Callable[[Path], list[str]]
    result: Callable[[Path], dict[str, Any]]


def launch(args: list[str], log: Path, before: Callable[[], object] = lambda: None) -> int:
    """Run a command in a forked child; return the process id.

    Args:
        args: the command line.
        log: file for its output, which is appended.
        before: is called in the child first.
    """
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        with log.open("a") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        store._SYNC_BYTES = 1 << 18
        torch.set_num_threads(2 if args[0] == "predict" else 1)
        before()
        status = musiccli(args)
        sys.stdout.flush()
    finally:
        os._exit(status)


def finished(pid: int, block: bool = False) -> int | None:
    """The exit status of a child (negative for a signal), or None while it runs."""
    done, status = os.waitpid(pid, 0 if block else os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def complete(args: list[str], log: Path) -> float:
    """Run a command to its end; return its time, s."""
    begin = time.perf_counter()
    status = finished(launch(args, log), block=True)
    if status:
        sys.exit(f"{' '.join(args[:1])} failed with status {status}:\n{log.read_text()}")
    return time.perf_counter() - begin


def long_commands(place: Path, log: Path) -> dict[str, LongCommand]:
    """The commands by name; their music and checkpoints are made in `place`."""
    songs, midi = _music(place)
    of_songs = ["--data.source", "Folder", "--data.source.root", str(songs)]
    of_scores = ["--data.source", "MidiFolder", "--data.source.root", str(midi)]
    tiny = _written(place / "tiny.json", _tiny("VGG", width=4, dropout=0.3), "MelSlices", seconds=1.0, batch_size=8)
    probe = _written(place / "probe.json", _tiny("LinearProbe"), "Embeddings", backbones=["random_yamnet"], seconds=1.0)
    complete(["fit", "--config", tiny, *of_songs, *SHORT, *_logger(place, "c")], log)
    complete(["fit", "--config", "score_markov", *of_scores, *SHORT, *_logger(place, "n")], log)
    classifier, notes = (str(place / name / "checkpoints" / "last.ckpt") for name in ("c", "n"))
    complete(["predict", notes, "--takes", "2", "--model.seconds", "6", "--out", str(place / "made"), *QUIET], log)
    space = {"fit": tiny, "space": {"model.lr": {"low": 0.001, "high": 0.01}}, "trials": 2, "sampler": "random"}
    sweep = place / "sweep.yaml"
    sweep.write_text(yaml.safe_dump(space))

    def fit(out: Path) -> list[str]:
        resumes = ["--ckpt_path", "last"] if any(out.glob("run/**/last.ckpt")) else []
        return ["fit", "--config", tiny, *of_songs, *SHORT, "--trainer.logger.save_dir", f"{out}", *_NAMED, *resumes]

    sources = ["--source", "Folder", "--source.root", str(songs)]
    return {
        "prepare": LongCommand(lambda out: ["prepare", "--config", tiny, *of_songs, *_cache(out)], bytes_in),
        "embeddings": LongCommand(lambda out: ["prepare", "--config", probe, *of_songs, *_cache(out)], bytes_in),
        "features": LongCommand(
            lambda out: ["features", *sources, "--seconds", "2", "--out", str(out / TABLE)], bytes_in
        ),
        "embed": LongCommand(
            lambda out: [*("embed", str(songs), "--backbone", "random_yamnet"), "--out", str(out / VECTORS)], bytes_in
        ),
        "fit": LongCommand(fit, checkpoints),
        "predict": LongCommand(
            lambda out: ["predict", str(songs), "--ckpt_path", classifier, "--out", str(out), *QUIET], bytes_in
        ),
        "predict scores": LongCommand(
            lambda out: ["predict", notes, "--takes", "6", "--model.seconds", "6", "--out", str(out), *QUIET], bytes_in
        ),
        "shards": LongCommand(
            lambda out: ["shards", *sources, "--shard_mb", "1", "--out", str(out / "shards")], bytes_in
        ),
        "test": LongCommand(
            lambda out: ["test", "--ckpt_path", classifier, *of_songs, *QUIET, "--out", str(out)], bytes_in
        ),
        "plot": LongCommand(lambda out: ["plot", *sources, "--out", str(out)], bytes_in),
        "judge": LongCommand(lambda out: ["judge", str(place / "made"), str(midi), "--out", str(out)], bytes_in),
        "export": LongCommand(
            lambda out: ["export", classifier, "--out", str(out / "network.onnx"), "--overwrite", "true"], names_in
        ),
        "fit-genres": LongCommand(
            lambda out: [
                *("fit-genres", "--config", "score_markov", *of_scores, *SHORT),
                *("--trainer.logger.save_dir", str(out)),
            ],
            checkpoints,
        ),
        "sweep": LongCommand(
            lambda out: ["sweep", "--config", str(sweep), *of_songs, *SHORT, "--trainer.logger.save_dir", str(out)],
            best_settings,
        ),
    }


TABLE, VECTORS = "table.csv", "vectors.npz"
"""What `features` and `embed` write; they refuse to write it again."""

_NAMED = ["--trainer.logger.name", "run"]


def _music(place: Path) -> tuple[Path, Path]:
    """Folders of recordings and of scores, in genre folders."""
    songs, midi = place / "songs", place / "midi"
    SyntheticGenres(tracks_per_genre=3, seconds=6.0, folder=str(songs)).prepare()
    for genre in ("jazz", "metal"):
        (midi / genre).mkdir(parents=True, exist_ok=True)
        for number in range(6):
            write_midi(compose(genre, number, seconds=8.0), midi / genre / f"{number}.mid")
    return songs / "genres", midi


def _tiny(network: str, **arguments: Any) -> dict[str, Any]:
    """A tiny classifier; with dropout, random numbers matter."""
    described = {"class_path": network, "init_args": arguments}
    return {"class_path": "GenreClassifier", "init_args": {"network": described, "lr": 0.003}}


def _written(path: Path, model: dict[str, Any], data: str, **arguments: Any) -> str:
    """The path of a config of a model and a datamodule."""
    logger = {"class_path": "TensorBoardLogger", "init_args": {"save_dir": "lightning_logs"}}
    described = {"class_path": data, "init_args": arguments}
    path.write_text(json.dumps({"model": model, "data": described, "trainer": {"logger": logger}}))
    return str(path)


def _logger(place: Path, name: str) -> list[str]:
    described = {"class_path": "TensorBoardLogger", "init_args": {"save_dir": str(place), "name": name, "version": ""}}
    return ["--trainer.logger", json.dumps(described)]


def _cache(out: Path) -> list[str]:
    return ["--data.cache_dir", str(out)]


def bytes_in(folder: Path) -> dict[str, bytes]:
    """The bytes of the files in a folder by relative path; the folder's own name in them is replaced.

    Without the marks of a verification, which have times.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in ("verified.json", "lock"))
    own = folder.name.encode()
    return {str(path.relative_to(folder)): path.read_bytes().replace(own, b"OUT") for path in files}


def stored(folder: Path) -> dict[str, Any]:
    """The tables of stores, and the samples and hashes of the newest version of each track.

    A store keeps what it has of older versions.
    """
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*.*")):
        name = str(path.relative_to(folder))
        if path.suffix == ".csv":
            found[name] = path.read_text().replace(folder.name, "OUT")
        elif path.name == "journal.jsonl":
            for line in map(json.loads, path.read_text().splitlines()):
                found[f"{name}/{line['path']}"] = (line["samples"], line["digest"])
    return found


def names_in(folder: Path) -> dict[str, int]:
    """The sizes of the files in a folder by relative path."""
    return {name: len(content) for name, content in bytes_in(folder).items()}


def checkpoints(folder: Path) -> dict[str, Any]:
    """The content of the checkpoints of the newest run of each name, with relative paths."""
    found = {}
    for path in sorted(folder.rglob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns):
        content = relative(torch.load(path, weights_only=True), str(folder))
        found[re.sub(r"version_\d+", "version", str(path.relative_to(folder)))] = content
    return found


def relative(value: Any, folder: str) -> Any:
    """The content of a checkpoint with relative paths, without keys that Lightning does not restore."""
    if isinstance(value, dict):  # Lightning does not restore `current_score`, and does not need it
        return {relative(k, folder): relative(v, folder) for k, v in value.items() if k != "current_score"}
    if isinstance(value, list | tuple):
        return [relative(item, folder) for item in value]
    return re.sub(r"version_\d+", "version", value.replace(folder, "RUN")) if isinstance(value, str) else value


def best_settings(folder: Path) -> dict[str, Any]:
    """The settings that a sweep found."""
    return {path.name: path.read_text().replace(str(folder), "RUN") for path in folder.rglob("best.yaml")}


def compare(wanted: Any, found: Any, where: str = "") -> Iterator[str]:
    """Sentences on the differences between two nested dictionaries or lists of tensors and values."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in wanted.keys() | found.keys():
            if key in wanted and key in found:
                yield from compare(wanted[key], found[key], f"{where}/{key}")
            else:
                yield f"{where}/{key}: only {'without' if key in wanted else 'after'} faults"
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for i, pair in enumerate(zip(wanted, found, strict=True)):
            yield from compare(*pair, f"{where}/{i}")
    elif isinstance(wanted, torch.Tensor) and isinstance(found, torch.Tensor):
        if wanted.dtype != found.dtype or not torch.equal(wanted, found):
            yield f"{where}: tensors differ by up to {(wanted.double() - found.double()).abs().max():g}"
    elif wanted != found:
        yield f"{where}: {str(wanted)[:200]} without faults, {str(found)[:200]} after them"
