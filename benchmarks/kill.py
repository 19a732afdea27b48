"""Kills long commands at random times and checks that nothing is lost: `python benchmarks/kill.py`.

The commands are `prepare` of audio and of embeddings, `fit`, `features`, and `predict` of a classifier and of a
generator of notes.

Each command first runs without interruption. Then it is started, killed with SIGKILL, and started again, until it ends.
Its files must be equal, byte for byte, to those of the uninterrupted run. Half of the kills are at random times, the
other half within 30 ms of a write to the folder of the results.

To save the time of imports, a process that has imported everything forks a child for each start. The child runs the
same function as the console script, on one thread; `predict` on two. `prepare` writes journal lines every 256 KiB
instead of every 64 MiB, so that even a small collection has many states in which it can be killed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from musicgen_cls.__main__ import main as musiccli
from musicgen_cls.cli import lightning as cli  # noqa: F401  what a child would import
from musicgen_cls.collection import store
from musicgen_cls.collection.store import Store
from musicgen_cls.notes.composed import compose
from musicgen_cls.notes.midi import write_midi
from musicgen_cls.sources.synthetic import SyntheticGenres

RAM_DISK = "/dev/shm"  # for temporary files, if it exists, since moving them to another disk is not atomic
START_OF_FIT = ["fit", "--trainer.enable_progress_bar", "false", "--test_after_fit", "false"]


def launch(args: list[str], log: Path) -> int:
    """Run a command in a forked child; return the process id."""
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


def sizes(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and modification time of every file in a folder and its sub-folders."""
    found = {}
    for path in folder.rglob("*") if folder.is_dir() else ():
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        found[str(path)] = (stat.st_size, stat.st_mtime_ns)
    return found


def kill_at_random(
    pid: int, seconds: float, folder: Path, writes: int, rng: random.Random
) -> tuple[int | None, float, str]:
    """Kill a child at a random time, unless it ends earlier; return its exit status, the time and the reason.

    Args:
        pid: the child.
        seconds: maximum time until the kill.
        folder: folder that is watched for writes, for half of the kills.
        writes: the kill follows one of this number of first writes.
        rng: random number generator.
    """
    begin, until = time.perf_counter(), rng.uniform(0, seconds)
    why, armed = "at random", rng.random() < 0.5
    before, left = sizes(folder), rng.randint(1, writes)
    while (status := finished(pid)) is None:
        now = time.perf_counter()
        if armed and (after := sizes(folder)) != before:
            before, left = after, left - 1
            if left == 0:
                why, armed, until = "after a write", False, now - begin + 0.03 * rng.random() ** 4
        if not armed and now - begin >= until:
            os.kill(pid, signal.SIGKILL)
            status = finished(pid, block=True)
            return None if status == -signal.SIGKILL else status, now - begin, why
        time.sleep(0.0005)
    return status, time.perf_counter() - begin, "at its end"


def attempts(
    name: str,
    times: int,
    seconds: float,
    writes: int,
    rng: random.Random,
    begin: Callable[[int], tuple[Callable[[], list[str]], Path, Callable[[], str]]],
    log: Path,
) -> Iterator[int]:
    """Start a command again and again, and kill it `times` times; yield the number of each run that ended.

    Args:
        name: the command.
        times: number of kills.
        seconds: time of an uninterrupted run, s.
        writes: approximate number of its writes.
        rng: random number generator.
        begin: from the number of a run to functions for its arguments and its state, and the folder that it writes to.
        log: file for its output.
    """
    kills = run = 0
    while kills < times:
        run += 1
        arguments, folder, left = begin(run)
        while True:
            pid = launch(arguments(), log)
            if kills < times:
                status, after, why = kill_at_random(pid, seconds, folder, writes, rng)
            else:
                status, after, why = finished(pid, block=True), 0.0, "at its end"
            if status is None:
                kills += 1
                when = f"after {after:5.2f} s, {why:<13}"
                print(f"{name} kill {kills:>2}/{times}  run {run}  {when}  {left()}", flush=True)
            elif status == 0:
                break
            else:
                sys.exit(
                    f"{name}: run {run} cannot resume after kill {kills}, status {status}; see the end of\n"
                    f"{log.read_text()[-6000:]}"
                )
        yield run


def kill_prepare(place: Path, times: int, rng: random.Random) -> bool:
    """Whether `prepare` after kills has the same store as an uninterrupted run."""
    config, log = place / "prepare.json", place / "prepare.log"
    source = {
        "class_path": "SyntheticGenres",
        "init_args": {"tracks_per_genre": 6, "seconds": 10.0, "folder": str(place / "wavs")},
    }
    data = {"class_path": "MelSlices", "init_args": {"source": source}}
    config.write_text(json.dumps({"model": model(), "data": data}))

    def command(cache: Path) -> list[str]:
        return ["prepare", "--config", str(config), "--data.cache_dir", str(cache)]

    complete(command(place / "reference"), log)  # also renders the tracks
    shutil.rmtree(place / "reference")
    seconds = complete(command(place / "reference"), log)
    wanted = contents(place / "reference")
    print(f"prepare uninterrupted: {seconds:.2f} s, {', '.join(f'{n} {len(b)} bytes' for n, b in wanted.items())}")
    same = True

    def begin(run: int) -> tuple[Callable[[], list[str]], Path, Callable[[], str]]:
        cache = place / f"prepare{run}"

        def left() -> str:
            found = next(cache.glob("*"), None)
            if found is None:
                return "no store yet"
            samples = found / "audio.i16"
            entries, _, valid = Store(found, 22050).entries()
            surplus = samples.stat().st_size - valid if samples.exists() else 0
            return f"{len(entries)} tracks stored, {surplus} bytes to remove"

        return lambda: command(cache), cache, left

    for run in attempts("prepare", times, seconds, 60, rng, begin, log):
        ok = contents(place / f"prepare{run}") == wanted
        print(f"prepare run {run} ended: {'the same bytes' if ok else 'DIFFERS'}")
        same &= ok
    return same


OTHERS = ("embeddings", "features", "predict", "predict scores")


def kill_others(place: Path, times: int, rng: random.Random, only: str | None) -> dict[str, bool]:
    """Whether each of the other commands, or one of them, has, after kills, the bytes of an uninterrupted run."""
    songs, midi, log = place / "songs", place / "midi", place / "others.log"
    SyntheticGenres(tracks_per_genre=3, seconds=6.0, folder=str(songs)).prepare()
    songs /= "genres"
    for genre in ("jazz", "metal"):
        (midi / genre).mkdir(parents=True, exist_ok=True)
        for number in range(4):
            write_midi(compose(genre, number, seconds=8.0), midi / genre / f"{number}.mid")
    quick = ["--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", *START_OF_FIT[1:]]
    of_songs = ["--data.source", "Folder", "--data.source.root", str(songs)]
    config = place / "classifier.json"
    config.write_text(json.dumps({"model": model(), "data": {"class_path": "MelSlices"}}))
    embedded = place / "embedded.json"
    head = {"class_path": "GenreClassifier", "init_args": {"network": {"class_path": "LinearProbe"}}}
    data = {"class_path": "Embeddings", "init_args": {"backbones": ["random_yamnet"], "seconds": 1.0}}
    embedded.write_text(json.dumps({"model": head, "data": data}))
    for name, words in (("c", ["--config", str(config), *of_songs]), ("n", ["--config", "score_markov"])):
        more = ["--data.source", "MidiFolder", "--data.source.root", str(midi)] if name == "n" else []
        logger = {"class_path": "TensorBoardLogger", "init_args": {"save_dir": str(place), "name": name, "version": ""}}
        complete(["fit", *words, *more, *quick, "--trainer.logger", json.dumps(logger)], log)
    classifier, notes = (str(place / name / "checkpoints" / "last.ckpt") for name in ("c", "n"))
    source = ["--source", "Folder", "--source.root", str(songs)]
    silent = ["--trainer.enable_progress_bar", "false"]
    commands: dict[str, Callable[[Path], list[str]]] = {
        "embeddings": lambda out: ["prepare", "--config", str(embedded), *of_songs, "--data.cache_dir", str(out)],
        "features": lambda out: ["features", *source, "--seconds", "2", "--out", str(out / "table.csv")],
        "predict": lambda out: ["predict", str(songs), "--ckpt_path", classifier, "--out", str(out), *silent],
        "predict scores": lambda out: [
            *("predict", notes, "--takes", "6", "--model.seconds", "6", "--out", str(out)),
            *silent,
        ],
    }
    chosen = {name: commands[name] for name in OTHERS if only in (None, name)}
    return {name: kill_one(name, place, words, times, rng, log) for name, words in chosen.items()}


def kill_one(
    name: str, place: Path, command: Callable[[Path], list[str]], times: int, rng: random.Random, log: Path
) -> bool:
    """Whether a command after kills has the same files as an uninterrupted run.

    Args:
        name: of the command.
        place: folder for the results.
        command: the command line from the folder of its results.
        times: number of kills.
        rng: random number generator.
        log: file for its output.
    """
    stem = name.replace(" ", "_")
    (place / f"{stem}-warm").mkdir()
    complete(command(place / f"{stem}-warm"), log)  # caches
    (place / f"{stem}-whole").mkdir()
    seconds = complete(command(place / f"{stem}-whole"), log)
    wanted = bytes_in(place / f"{stem}-whole")
    print(f"{name} uninterrupted: {seconds:.2f} s, {len(wanted)} files, {sum(map(len, wanted.values()))} bytes")
    same = True

    def begin(run: int) -> tuple[Callable[[], list[str]], Path, Callable[[], str]]:
        folder = place / f"{stem}-{run}"
        folder.mkdir()
        return lambda: command(folder), folder, lambda: f"{len(bytes_in(folder))} files"

    for run in attempts(name, times, seconds, 12, rng, begin, log):
        found = bytes_in(place / f"{stem}-{run}")
        different = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
        print(f"{name} run {run} ended: {'the same bytes' if not different else 'DIFFERS: ' + ', '.join(different)}")
        same &= not different
    return same


def bytes_in(folder: Path) -> dict[str, bytes]:
    """The bytes of the files in a folder by relative path; the folder's own name in them is replaced.

    Without the marks of a verification, which have times.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "verified.json")
    own = folder.name.encode()
    return {str(path.relative_to(folder)): path.read_bytes().replace(own, b"OUT") for path in files}


def contents(cache: Path) -> dict[str, bytes]:
    """The bytes of a store's files."""
    (folder,) = cache.glob("*")
    return {name: (folder / name).read_bytes() for name in ("audio.i16", "journal.jsonl", "tracks.csv")}


def model(width: int = 4) -> dict[str, Any]:
    """A tiny network with dropout, so that random numbers matter."""
    network = {"class_path": "VGG", "init_args": {"width": width, "dropout": 0.3}}
    return {"class_path": "GenreClassifier", "init_args": {"network": network, "lr": 0.003}}


def kill_fit(place: Path, times: int, rng: random.Random) -> bool:
    """Whether `fit` after kills and resumes has the same checkpoints as an uninterrupted run."""
    config, log = place / "fit.json", place / "fit.log"
    source = {"tracks_per_genre": 6, "seconds": 6.0, "folder": str(place / "fit_wavs")}
    data = {
        "source": {"class_path": "SyntheticGenres", "init_args": source},
        "cache_dir": str(place / "fit_cache"),
        "seconds": 1.0,
        "windows_per_track": 3,
        "crops_per_track": 4,
        "batch_size": 16,
    }
    settings = {
        "seed_everything": 0,
        "model": model(),
        "data": {"class_path": "MelSlices", "init_args": data},
        "trainer": {"max_epochs": 8, "accelerator": "cpu", "log_every_n_steps": 1},
    }
    config.write_text(json.dumps(settings))

    def command(name: str, *more: str) -> list[str]:
        logger = {"class_path": "TensorBoardLogger", "init_args": {"save_dir": str(place / "runs"), "name": name}}
        return [*START_OF_FIT, "--config", str(config), "--trainer.logger", json.dumps(logger), *more]

    complete(command("warm", "--trainer.max_epochs", "1"), log)  # renders and decodes the tracks
    seconds = complete(command("reference"), log)
    wanted = checkpoints(place / "runs" / "reference")
    last = wanted["last.ckpt"]
    print(f"fit uninterrupted: {seconds:.2f} s, {last['global_step']} steps, {len(last['state_dict'])} tensors")
    same = True

    def begin(run: int) -> tuple[Callable[[], list[str]], Path, Callable[[], str]]:
        folder = place / "runs" / f"run{run}"

        def has_last() -> bool:
            return any(folder.glob("version_*/checkpoints/last.ckpt"))

        def left() -> str:
            last = next(folder.glob("version_*/checkpoints/last.ckpt"), None)
            if last is None:
                return "no checkpoint yet"
            try:
                return f"last.ckpt of epoch {torch.load(last, weights_only=True)['epoch']}"
            except (EOFError, RuntimeError):
                return "last.ckpt is TORN"

        return lambda: command(f"run{run}", *(["--ckpt_path", "last"] if has_last() else [])), folder, left

    for run in attempts("fit", times, seconds, 10, rng, begin, log):
        differences = list(compare(wanted, checkpoints(place / "runs" / f"run{run}")))
        print(f"fit run {run} ended: {'the same bits' if not differences else 'DIFFERS'}")
        for difference in differences[:12]:
            print(f"  {difference}")
        same &= not differences
    return same


def checkpoints(folder: Path) -> dict[str, Any]:
    """The checkpoints of a run."""
    (last,) = folder.glob("version_*/checkpoints/last.ckpt")
    names = ("last.ckpt", "best.ckpt")
    return {name: relative(torch.load(last.with_name(name), weights_only=True), str(last.parent)) for name in names}


def relative(value: Any, folder: str) -> Any:
    """The content of a checkpoint with relative paths, without keys that Lightning does not restore."""
    if isinstance(value, dict):  # Lightning does not restore `current_score`, and does not need it
        return {relative(k, folder): relative(v, folder) for k, v in value.items() if k != "current_score"}
    if isinstance(value, list | tuple):
        return [relative(item, folder) for item in value]
    return value.replace(folder, "RUN") if isinstance(value, str) else value


def compare(wanted: Any, found: Any, where: str = "") -> Iterator[str]:
    """Sentences on the differences between two nested dictionaries or lists of tensors and values."""
    if isinstance(wanted, dict) and isinstance(found, dict) and wanted.keys() == found.keys():
        for key in wanted:
            yield from compare(wanted[key], found[key], f"{where}/{key}")
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for i, pair in enumerate(zip(wanted, found, strict=True)):
            yield from compare(*pair, f"{where}/{i}")
    elif isinstance(wanted, torch.Tensor) and isinstance(found, torch.Tensor):
        if wanted.dtype != found.dtype or not torch.equal(wanted, found):
            yield f"{where}: tensors differ by up to {(wanted.double() - found.double()).abs().max():g}"
    elif wanted != found:
        yield f"{where}: {wanted!r} without kills, {found!r} after kills"


def main() -> int:
    """Kill, compare, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=30, help="number of kills of each command")
    parser.add_argument("--only", choices=("prepare", "fit", *OTHERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", help="folder for all files, which is not deleted")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)  # a fork does not copy threads
    place = Path(options.keep or tempfile.mkdtemp(prefix="kill-"))
    place.mkdir(parents=True, exist_ok=True)
    os.environ["MUSICGEN_CLS_CACHE"] = str(place / "cache")
    if Path(RAM_DISK).is_dir():
        tempfile.tempdir = tempfile.mkdtemp(prefix="kill-", dir=RAM_DISK)
    verdicts = {}
    try:
        for name, check in (("prepare", kill_prepare), ("fit", kill_fit)):
            if options.only in (None, name):
                verdicts[name] = check(place, options.times, random.Random(options.seed))
        if options.only in (None, *OTHERS):
            verdicts |= kill_others(place, options.times, random.Random(options.seed), options.only)
    finally:
        if tempfile.tempdir:
            shutil.rmtree(tempfile.tempdir, ignore_errors=True)
        if not options.keep:
            shutil.rmtree(place, ignore_errors=True)
    for name, same in verdicts.items():
        print(f"{name}: {options.times} kills, {'NOTHING LOST' if same else 'SOMETHING DIFFERS'}")
    return 0 if all(verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
