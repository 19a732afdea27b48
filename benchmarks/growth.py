"""How time and memory grow with the number of tracks: `python benchmarks/growth.py [--sizes 100 1000 10000 100000]`.

A collection of each size is a folder of ten genres with two tracks an artist, and a store that is written without
decoding: half a second of noise for each track. Every figure is measured in its own process: the processor time of the
step, without imports and without what comes before it, and the peak memory of the process, with its imports.

- list: the tracks and genres of a folder.
- manifest: the tracks and genres of a manifest in Parquet.
- divide: the division by artist.
- open: the tracks of a store that is ready, as in each training.
- again: `musiccli prepare` of the same store, a second time.
- first batch: from there to the first batch of a training: division, windows, normaliser.
- step: 20 training steps of a small VGG.
- report: the test report, with tables and figures; 15 % of the tracks are test tracks.
- compare: `musiccli compare` of two such reports, with a paired test.

The exponent is that of the time between two sizes, log(ratio of times) / log(ratio of sizes): 0 is flat, 1 is linear.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from loops import peak_mb
from musicgen_cls.tables import as_markdown
from results import add_option, machine, row, write

RATE, SECONDS, GENRES, BY_ARTIST = 2000, 0.5, 10, 2
FRONT_END = {"sample_rate": RATE, "seconds": SECONDS, "n_fft": 128, "hop_length": 64, "n_mels": 16, "batch_size": 32}


def make(place: Path, size: int) -> None:
    """Write a collection: files without content, a store with noise, and a manifest."""
    import pyarrow
    import pyarrow.parquet

    from musicgen_cls.collection.journal import Entry, Key
    from musicgen_cls.collection.store import Produced, Store, file_keys
    from musicgen_cls.sources import Folder

    names = [
        (f"genre {n // BY_ARTIST % GENRES}", f"artist {n // BY_ARTIST:06d}", f"a song with a title {n:07d}.wav")
        for n in range(size)
    ]
    for parts in names:
        file = place.joinpath("music", *parts)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    table = {"path": ["music/" + "/".join(own) for own in names], "genre": [g for g, _, _ in names]}
    pyarrow.parquet.write_table(pyarrow.table(table | {"artist": [a for _, a, _ in names]}), place / "tracks.parquet")

    def produce(keys: Sequence[Key]) -> Produced:
        from hashlib import sha1

        rng = np.random.default_rng(0)
        for key in keys:
            pcm = rng.integers(-9000, 9000, int(RATE * SECONDS) + 100, dtype=np.int16)
            digest = sha1(pcm.tobytes(), usedforsecurity=False).hexdigest()
            yield Entry(*key, samples=len(pcm), digest=digest, artist=Path(key[0]).parent.name), pcm

    source = Folder(str(place / "music"))
    store = Store.of(source, RATE, str(place / "cache"))
    store.fill(file_keys(track.path for track in source.tracks()), produce)


def datamodule(place: Path) -> Any:
    """The data of a training."""
    from musicgen_cls.datamodules.mel import MelSlices
    from musicgen_cls.sources import Folder

    source = Folder(str(place / "music"))
    return MelSlices(source, split="artist", cache_dir=str(place / "cache"), windows_per_track=1, **FRONT_END)


# Each step prepares, and returns what is measured


def list_folder(place: Path) -> Callable[[], object]:
    """List a folder."""
    from musicgen_cls.sources import Folder

    source = Folder(str(place / "music"))
    return lambda: (source.tracks(), source.genres)


def list_manifest(place: Path) -> Callable[[], object]:
    """List a manifest."""
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401

    from musicgen_cls.sources import Manifest

    source = Manifest(str(place / "tracks.parquet"))
    return lambda: (source.tracks(), source.genres)


def divide(place: Path) -> Callable[[], object]:
    """Divide by artist."""
    import scipy.sparse.csgraph  # noqa: F401

    from musicgen_cls.sources import Manifest
    from musicgen_cls.sources.splits import assign

    tracks = list(Manifest(str(place / "tracks.parquet")).tracks())
    return lambda: assign(None, tracks, "artist", (0.7, 0.15, 0.15), None, 0)


def open_store(place: Path) -> Callable[[], object]:
    """Open a store that is ready, and write its tables."""
    import scipy.sparse.csgraph  # noqa: F401

    from musicgen_cls.collection.collection import collect, write_tables
    from musicgen_cls.sources import Folder

    source = Folder(str(place / "music"))
    return lambda: write_tables(collect(source, RATE, cache_dir=str(place / "cache")))


def again(place: Path) -> Callable[[], object]:
    """Prepare what is ready."""
    from musicgen_cls.cli import ready
    from musicgen_cls.files import CACHE_VARIABLE

    os.environ[CACHE_VARIABLE] = str(place / "cache")
    options = FRONT_END | {"source": "Folder", "source.root": place / "music", "cache_dir": place / "cache"}
    words = ["--config", "vgg", *(f"--data.{name}={value}" for name, value in options.items())]
    command = [sys.executable, "-m", "musicgen_cls", "prepare", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if ready.printed_before(words) is None:
        sys.exit("prepare has not kept its output")
    return lambda: ready.printed_before(words)


def first_batch(place: Path) -> Callable[[], object]:
    """Start a training, up to its first batch."""
    data = datamodule(place)
    data.prepare_data()

    def start() -> object:
        data.setup("fit")
        return next(iter(data.train_dataloader()))

    return start


def step(place: Path) -> Callable[[], object]:
    """Train."""
    import torch
    from torch.nn import functional

    from musicgen_cls.models.classifiers.vgg import VGG

    data = datamodule(place)
    data.prepare_data()
    data.setup("fit")
    batches, network = iter(data.train_dataloader()), VGG(GENRES, 4)
    optimiser = torch.optim.Adam(network.parameters())
    first = next(batches)

    def train() -> None:
        nonlocal batches
        for _ in range(20):
            batch = next(batches, None)
            if batch is None:
                batches = iter(data.train_dataloader())
                batch = next(batches)
            optimiser.zero_grad()
            functional.cross_entropy(network(data.network_input(batch["x"])), batch["y"]).backward()
            optimiser.step()

    network(data.network_input(first["x"]))
    return train


def report(place: Path) -> Callable[[], object]:
    """Test a classifier that is not trained, with the report."""
    import torch

    import musicgen_cls
    import musicgen_cls.cli.report
    import musicgen_cls.plots.canvas
    from musicgen_cls.models.classifiers.vgg import VGG
    from musicgen_cls.tasks import GenreClassifier

    torch.manual_seed(0)
    data = datamodule(place)
    data.prepare_data()
    data.setup("fit")
    task = GenreClassifier(VGG, num_classes=GENRES)
    return lambda: musicgen_cls.report(task, data, place / "report")


def compare(place: Path) -> Callable[[], object]:
    """Compare the report with itself."""
    import musicgen_cls.plots.canvas  # noqa: F401
    from musicgen_cls.commands.compare.command import compare

    files = [f"{name}={place / 'report' / 'report.json'}" for name in ("first", "second")]
    return lambda: compare(files, str(place / "comparison"))


STEPS: dict[str, Callable[[Path], Callable[[], object]]] = {
    "list": list_folder,
    "manifest": list_manifest,
    "divide": divide,
    "open": open_store,
    "again": again,
    "first batch": first_batch,
    "step": step,
    "report": report,
    "compare": compare,
}


def measured(name: str, place: Path) -> tuple[float, float]:
    """Processor time, s, and peak memory, MB, of a step in its own process."""
    words = [sys.executable, str(Path(__file__)), "--measure", name, "--place", str(place)]
    run = subprocess.run(words, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{name}: status {run.returncode}:\n{run.stderr[-3000:]}")
    seconds, peak = json.loads(run.stdout.splitlines()[-1])
    return seconds, peak


def measure(name: str, place: Path) -> None:
    """Measure a step in this process, and print the figures."""
    with contextlib.redirect_stdout(io.StringIO()):
        action = STEPS[name](place)
        begin = time.process_time()
        action()
        took = time.process_time() - begin
    print(json.dumps([took, peak_mb()]))


def rows_of(sizes: Sequence[int], turns: int, names: Sequence[str], place: Path) -> Iterator[tuple[str, int, Any, Any]]:
    """Name, size, times and peaks of each step."""
    for size in sizes:
        make(place / str(size), size)
        for name in names:
            pairs = [measured(name, place / str(size)) for _ in range(turns)]
            yield name, size, [seconds for seconds, _ in pairs], [peak for _, peak in pairs]
            print(f"{name}, {size:,} tracks: {pairs}", file=sys.stderr, flush=True)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10_000, 100_000])
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--measure", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    add_option(parser)
    options = parser.parse_args()
    if options.measure:
        return measure(options.measure, options.place)
    found: dict[str, dict[int, tuple[list[float], list[float]]]] = {name: {} for name in options.only}
    with tempfile.TemporaryDirectory(prefix="growth-") as place:
        for name, size, seconds, peaks in rows_of(options.sizes, options.turns, options.only, Path(place)):
            found[name][size] = seconds, peaks
    print(as_markdown([line(name, own) for name, own in found.items()]))
    print(f"\n{machine()}")
    rows = []
    for name, own in found.items():
        for size, (seconds, peaks) in own.items():
            rows.append(row(f"{name}, {size} tracks", "s", seconds))
            rows.append(row(f"{name}, {size} tracks, peak", "MB", peaks))
    write(options.json, "growth", rows, threads=1)


def line(name: str, own: dict[int, tuple[list[float], list[float]]]) -> dict[str, str]:
    """A line of the table: times, exponents between the sizes, and the peaks."""
    times = {size: statistics.median(seconds) for size, (seconds, _) in own.items()}
    cells = {"step": name} | {f"{size:,}": f"{seconds:.3g} s" for size, seconds in times.items()}
    sizes = sorted(times)
    powers = [f"{math.log(times[b] / times[a]) / math.log(b / a):.2f}" for a, b in pairwise(sizes)]
    peaks = [f"{statistics.median(own[size][1]):.0f}" for size in sizes]
    return cells | {"exponents": ", ".join(powers), "peak, MB": ", ".join(peaks)}


if __name__ == "__main__":
    main()
