"""Breaks long commands, and checks that the same command then completes them: `python benchmarks/faults.py`.

Each command first runs unbroken. Then it runs with a fault, and again without it. With the fault it must end well or
with one line and status 2, without a traceback; its results must then be those of the unbroken run. The faults:

- full: the disk is full after a random part of the results;
- read-only: the folder of the results cannot be written;
- two: the command runs twice at the same time, in one folder;
- killed: SIGKILL at a random time;
- clock: the time of day jumps by up to a day, forwards and backwards, at each look;
- cache: the cache of the package is deleted at a random time;
- source: a recording is replaced by another one, itself backwards, at a random time.

It needs Linux and root, to mount small disks in memory.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import soundfile
import torch

from long_commands import TABLE, VECTORS, LongCommand, compare, complete, finished, launch, long_commands, stored
from musicgen_cls.files import writing
from musicgen_cls.tables import as_markdown

OF_STORES = ("prepare", "embeddings")
OF_RECORDINGS = (*OF_STORES, "features", "embed", "predict")
PAGE = 4096


class Trial:
    """A command in a folder of its own.

    Args:
        command: the command.
        folder: for its results; it is created.
        log: file for its output.
        seconds: time of an unbroken run, s.
        random: random number generator.
    """

    def __init__(self, command: LongCommand, folder: Path, log: Path, seconds: float, random: random.Random) -> None:
        self.command, self.folder, self.log, self.seconds, self.random = command, folder, log, seconds, random
        folder.mkdir()
        log.write_text("")

    def start(self, before: Callable[[], object] = lambda: None) -> int:
        """Start the command; return the process id."""
        return launch(self.command.words(self.folder), self.log, before)

    def run(self, before: Callable[[], object] = lambda: None) -> int | None:
        """Run the command to its end; return its exit status."""
        return finished(self.start(before), block=True)

    def again(self, status: int | None) -> int | None:
        """Run the command once more, if it did not end well."""
        return self.run() if status else 0

    def interrupted(self, act: Callable[[int], object]) -> int | None:
        """Run the command, and act on its process at a random time."""
        pid, until = self.start(), time.perf_counter() + self.random.uniform(0, self.seconds)
        while (status := finished(pid)) is None and time.perf_counter() < until:
            time.sleep(0.001)
        if status is None:
            act(pid)
            status = finished(pid, block=True)
        return status


@contextmanager
def disk(folder: Path, size: int) -> Iterator[None]:
    """A disk of some bytes in memory, mounted at a folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, option: str) -> None:
    """Change a disk."""
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


def jumping_clock() -> None:
    """Let the time of day jump at each look."""
    now, drawn = time.time, random.Random(0)
    time.time = lambda: now() + drawn.uniform(-86_400, 86_400)  # type: ignore[assignment]


def full(trial: Trial, size: int) -> Iterator[int | None]:
    """The disk is full after a random number of bytes."""
    with disk(trial.folder, trial.random.randrange(PAGE, size + PAGE)):
        yield (status := trial.run())
        remount(trial.folder, "size=1g")
        yield trial.again(status)


def read_only(trial: Trial, size: int) -> Iterator[int | None]:
    """The folder cannot be written."""
    with disk(trial.folder, 1 << 30):
        remount(trial.folder, "ro")
        yield (status := trial.run())
        remount(trial.folder, "rw")
        yield trial.again(status)


def two(trial: Trial, size: int) -> Iterator[int | None]:
    """Two runs in one folder."""
    first, second = trial.start(), trial.start()
    statuses = [finished(pid, block=True) for pid in (first, second)]
    yield from statuses
    yield trial.again(min(status or 0 for status in statuses))


def killed(trial: Trial, size: int) -> Iterator[int | None]:
    """SIGKILL."""
    status = trial.interrupted(lambda pid: os.kill(pid, signal.SIGKILL))
    yield trial.again(status)


def clock(trial: Trial, size: int) -> Iterator[int | None]:
    """The time of day jumps."""
    yield trial.run(jumping_clock)


def cache(trial: Trial, size: int) -> Iterator[int | None]:
    """The cache is deleted."""
    root = os.environ["MUSICGEN_CLS_CACHE"]
    yield (status := trial.interrupted(lambda _: shutil.rmtree(root, ignore_errors=True)))
    yield trial.again(status)


FAULTS = {"full": full, "read-only": read_only, "two": two, "killed": killed, "clock": clock, "cache": cache}
SEVERAL = ("full", "killed", "cache")
"""Faults at random places or times."""


class Campaign:
    """All commands with all faults.

    Args:
        place: folder for all files.
        times: trials of each fault at a random place or time.
        random: random number generator.
    """

    def __init__(self, place: Path, times: int, random: random.Random) -> None:
        self.place, self.times, self.random = place, times, random
        self.log = place / "log"
        self.commands = long_commands(place, self.log)
        self.number = 0

    def unbroken(self, command: LongCommand) -> tuple[dict[str, Any], float, int]:
        """The result of an unbroken run, its time in seconds, and the bytes that it writes."""
        for _ in range(2):  # the first one fills caches
            folder = self._folder()
            folder.mkdir()
            seconds = complete(command.words(folder), self.log)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return command.result(folder), seconds, size

    def row(self, name: str, faults: list[str]) -> dict[str, str]:
        """The table's row of a command."""
        command = self.commands[name]
        wanted, seconds, size = self.unbroken(command)
        cells = {"command": name}
        for fault in (fault for fault in FAULTS if fault in faults):
            number = self.times if fault in SEVERAL else 1
            wrong = [self._faulty(name, command, fault, wanted, seconds, size) for _ in range(number)]
            cells[fault] = f"{wrong.count(False)} of {number}"
        if "source" in faults:
            cells["source"] = self._source_changed(name, command, seconds) if name in OF_RECORDINGS else ""
        return cells

    def _faulty(self, name: str, command: LongCommand, fault: str, wanted: Any, seconds: float, size: int) -> bool:
        """Whether a trial of a fault lost something; what it lost is printed."""
        trial = Trial(command, self._folder(), self.log, seconds, self.random)
        statuses, differences = [], []
        for status in FAULTS[fault](trial, size):
            statuses.append(status)
            differences = list(compare(wanted, command.result(trial.folder)))
        return self._is_wrong(f"{name}, {fault}", statuses, differences)

    def _source_changed(self, name: str, command: LongCommand, seconds: float) -> str:
        one = self.random.choice(sorted((self.place / "songs").rglob("*.wav")))
        before = one.read_bytes()
        waveform, rate = soundfile.read(one)

        def backwards(_: object = None) -> None:
            with writing(one) as temporary:
                soundfile.write(temporary, waveform[::-1], rate, format="WAV")

        trial = Trial(command, self._folder(), self.log, seconds, self.random)
        statuses = [trial.interrupted(backwards)]
        _unlink_tables(trial.folder)
        statuses.append(trial.run())
        if one.read_bytes() == before:  # the command ended before
            backwards()
            _unlink_tables(trial.folder)
            statuses.append(trial.run())
        if name in OF_STORES:
            command = replace(command, result=stored)
        found, wanted = command.result(trial.folder), self.unbroken(command)[0]
        one.write_bytes(before)
        present = {key: value for key, value in found.items() if key in wanted}
        return f"{1 - self._is_wrong(f'{name}, source', statuses, list(compare(wanted, present)))} of 1"

    def _is_wrong(self, what: str, statuses: list[int | None], differences: list[str]) -> bool:
        text = self.log.read_text()
        found = [f"status {status}" for status in statuses[:-1] if status not in (0, 2)]
        found += [f"status {statuses[-1]} at last"] if statuses[-1] != 0 else []
        found += ["a traceback"] if "Traceback" in text else []
        found += differences[:3]
        print(f"{what}: {'; '.join(found) or 'nothing lost'} (statuses {statuses})", flush=True)
        if found:
            print("    " + "\n    ".join(text.replace("\r", "\n").splitlines()[-12:]), flush=True)
        return bool(found)

    def _folder(self) -> Path:
        self.number += 1
        return self.place / f"out{self.number:04d}"


def _unlink_tables(folder: Path) -> None:
    for name in (TABLE, VECTORS):
        (folder / name).unlink(missing_ok=True)


def main() -> int:
    """Break, repeat, compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="trials of each fault at a random place or time")
    parser.add_argument("--commands", nargs="+", help="only these")
    parser.add_argument("--faults", nargs="+", default=[*FAULTS, "source"], choices=[*FAULTS, "source"])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)  # a fork does not copy threads
    place = Path(tempfile.mkdtemp(prefix="faults-"))
    os.environ["MUSICGEN_CLS_CACHE"] = str(place / "cache")
    try:
        campaign = Campaign(place, options.times, random.Random(options.seed))
        rows = [campaign.row(name, options.faults) for name in options.commands or campaign.commands]
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(as_markdown(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
