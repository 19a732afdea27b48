"""Results of benchmarks: their tables on the terminal, and as JSON files that `compare.py` compares.

A script makes `Row`s, prints them with `spread`, and writes them with `write` if it has the option `--json FILE`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from msgspec import Struct, to_builtins

from musicgen_cls.errors import UsageError
from musicgen_cls.files import as_path, check_writable, writing
from musicgen_cls.formats import records


class Row(Struct, frozen=True):
    """A figure: the median of the turns with their minimum and maximum, and its ratio to a baseline.

    `low` and `high` are None for a single turn; `baseline`, `ratio` and `target` if there is none.
    """

    name: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    baseline: float | None = None
    ratio: float | None = None
    target: float | None = None


class Results(Struct, frozen=True):
    """A file of results. `commit` ends with `+` if files were changed since; it is empty outside of git."""

    benchmark: str
    commit: str
    date: str
    machine: str
    threads: int
    rows: list[Row]
    schema: int = 1


def row(
    name: str,
    unit: str,
    values: Sequence[float],
    baselines: Sequence[float] | None = None,
    target: float | None = None,
) -> Row:
    """The row of a figure from the values of its turns, and those of a baseline in the same turns."""
    ratio = None if baselines is None else statistics.median(a / b for a, b in zip(values, baselines, strict=True))
    middle = None if baselines is None else statistics.median(baselines)
    ends = (min(values), max(values)) if len(values) > 1 else (None, None)
    return Row(name, statistics.median(values), unit, *ends, middle, ratio, target)


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add `--json FILE`."""
    parser.add_argument("--json", metavar="FILE", type=_writable, help="also write a file, for compare.py")


def _writable(file: str) -> str:
    """The name of a file that can be written, so that a run does not fail at its end."""
    try:
        check_writable(as_path(file, "--json").parent, "--json")
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return file


def write(file: str | None, benchmark: str, rows: Sequence[Row], threads: int | None = None) -> None:
    """Write the rows of a benchmark, with commit, date, machine and threads; nothing if the file is None."""
    if file is None:
        return
    count = threads if threads is not None else int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    date = datetime.now(UTC).isoformat(timespec="seconds")
    results = Results(benchmark, commit(), date, machine(), count, list(rows))
    with writing(as_path(file, "--json")) as temporary:
        temporary.write_text(json.dumps(records.finite(to_builtins(results)), indent=1) + "\n", encoding="utf-8")


def read(file: str) -> Results:
    """The results in a file.

    Raises:
        RecordError: it cannot be read, or is no file of results.
        UsageError: its schema is of a later version.
    """
    found = records.read(as_path(file, "FILE"), Results, "write it with the --json of a benchmark")
    if found.schema != Results.__struct_defaults__[-1]:
        raise UsageError(f"{file}: has the schema {found.schema}, but this version reads 1; write it again")
    return found


def commit() -> str:
    """The commit of the working tree, with `+` if files of it were changed."""
    here = Path(__file__).parent
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--exclude=*", "--dirty=+"], cwd=here, capture_output=True, text=True
        )
    except OSError:
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""


def processor() -> str:
    """The processor and the number of its cores."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
    return f"{model or platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def machine() -> str:
    """The machine and the versions, in words."""
    names = ("musicgen_cls", "torch", "lightning", "librosa", "soundfile", "numpy")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return f"{processor()}; Python {platform.python_version()}, {versions}"


def spread(values: Sequence[float], digits: int) -> str:
    """Median, minimum and maximum."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"
