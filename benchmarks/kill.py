"""Kills long commands at random times and checks that nothing is lost: `python benchmarks/kill.py`.

Each command first runs without interruption. Then it is started, killed with SIGKILL, and started again, until it ends.
Its results must be equal to those of the uninterrupted run: see `long_commands.py`. Half of the kills are at random
times, the other half within 30 ms of a write to the folder of the results.
"""

from __future__ import annotations

import argparse
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

import torch

from long_commands import LongCommand, compare, complete, finished, launch, long_commands

RAM_DISK = "/dev/shm"  # for temporary files, if it exists, since moving them to another disk is not atomic
WRITES = 12  # a kill after a write follows one of the first 12


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


def kill_at_random(pid: int, seconds: float, folder: Path, rng: random.Random) -> tuple[int | None, float, str]:
    """Kill a child at a random time, unless it ends earlier; return its exit status, the time and the reason.

    Args:
        pid: the child.
        seconds: maximum time until the kill.
        folder: folder that is watched for writes, for half of the kills.
        rng: random number generator.
    """
    begin, until = time.perf_counter(), rng.uniform(0, seconds)
    why, armed = "at random", rng.random() < 0.5
    before, left = sizes(folder), rng.randint(1, WRITES)
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
    rng: random.Random,
    begin: Callable[[int], tuple[Callable[[], list[str]], Path]],
    log: Path,
) -> Iterator[int]:
    """Start a command again and again, and kill it `times` times; yield the number of each run that ended.

    Args:
        name: the command.
        times: number of kills.
        seconds: time of an uninterrupted run, s.
        rng: random number generator.
        begin: from the number of a run to a function for its arguments, and the folder that it writes to.
        log: file for its output.
    """
    kills = run = 0
    while kills < times:
        run += 1
        arguments, folder = begin(run)
        while True:
            pid = launch(arguments(), log)
            if kills < times:
                status, after, why = kill_at_random(pid, seconds, folder, rng)
            else:
                status, after, why = finished(pid, block=True), 0.0, "at its end"
            if status is None:
                kills += 1
                when = f"after {after:5.2f} s, {why:<13}"
                print(f"{name} kill {kills:>2}/{times}  run {run}  {when}  {len(sizes(folder))} files", flush=True)
            elif status == 0:
                break
            else:
                sys.exit(
                    f"{name}: run {run} cannot resume after kill {kills}, status {status}; see the end of\n"
                    f"{log.read_text()[-6000:]}"
                )
        yield run


def nothing_lost(name: str, command: LongCommand, place: Path, times: int, rng: random.Random, log: Path) -> bool:
    """Whether a command after kills has the results of an uninterrupted run."""
    stem = name.replace(" ", "_")
    for folder in (place / f"{stem}-warm", place / f"{stem}-whole"):  # the first one fills caches
        folder.mkdir()
        seconds = complete(command.words(folder), log)
    wanted, same = command.result(folder), True
    print(f"{name} uninterrupted: {seconds:.2f} s, {len(wanted)} results")

    def begin(run: int) -> tuple[Callable[[], list[str]], Path]:
        folder = place / f"{stem}-{run}"
        folder.mkdir()
        return lambda: command.words(folder), folder

    for run in attempts(name, times, seconds, rng, begin, log):
        differences = list(compare(wanted, command.result(place / f"{stem}-{run}")))
        print("\n  ".join([f"{name} run {run} ended: {'DIFFERS' if differences else 'the same'}", *differences[:12]]))
        same &= not differences
    return same


def main() -> int:
    """Kill, compare, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=30, help="number of kills of each command")
    parser.add_argument("--only", nargs="+", help="names of commands")
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
    log, rng = place / "log", random.Random(options.seed)
    try:
        commands = long_commands(place, log)
        verdicts = {
            name: nothing_lost(name, commands[name], place, options.times, rng, log)
            for name in options.only or commands
        }
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
