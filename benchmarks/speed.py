"""Measures preparing, training, inference and start-up beside reference code: `python benchmarks/speed.py [--quick]`.

Our code and the reference run in turns on one machine, so that other processes affect both. A figure is the median of
the turns, with minimum and maximum; a ratio is the median of the turns' ratios.

- render: seconds of synthetic music rendered per second of one core.
- prepare: seconds of audio decoded into a new store per second. Reference: a plain loop over a sample of the same files
  with `librosa.load`, `librosa.feature.melspectrogram` and `librosa.power_to_db`. Rendering the files is not timed.
- fit: training windows per second of `musiccli fit` with its callbacks, progress bar and TensorBoard logger, from the
  start of an epoch to the start of its validation, without the first epoch. References: two plain PyTorch loops on
  spectrograms in memory, with the same network, batch size and optimiser, each in its own process (`loops.py`): a loop
  without options, and the same loop with kept memory and `channels_last`.
- infer: seconds of audio classified per second by `musicgen_cls.load` on a waveform. References: the same two loops,
  including the mel spectrogram. Each runs in its own process.
- layout: windows per second of each network of 2-D convolutions with `channels_last`, compared with the same network
  without it; memory is kept in both. The layout does not affect other networks, which have no weights of four axes.
  With `OMP_NUM_THREADS=1`, fit, infer and layout measure the time of one core, for machines that do other work.
- augment: training steps per second of a VGG on 64 windows of 2 s with each augmentation, compared with none.
- start: `musiccli --version` and `--help`, compared with `--help` of a script that calls `LightningCLI` on a toy model.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torchaudio.transforms import SpecAugment

from clock import clocked
from loops import RATE, SECONDS, loop, musiccli
from musicgen_cls.audio.augment import AddWhiteNoise, NoiseAndPitch, ShiftPitch
from musicgen_cls.collection.collection import collect
from musicgen_cls.datamodules.front_end import MelFrontEnd
from musicgen_cls.models.classifiers.vgg import VGG
from musicgen_cls.sources.synthetic import SyntheticGenres
from musicgen_cls.synth.render import render
from musicgen_cls.synth.styles import GENRES
from results import Row, add_option, machine, row, spread, write

Figure = tuple[Sequence[str], Row]
"""A line of the table after the name of the figure, and the figure for `--json`."""

TOY = """
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.demos.boring_classes import BoringDataModule, DemoModel
LightningCLI(DemoModel, BoringDataModule)
"""


def bench_render(place: Path, quick: bool) -> Iterator[Figure]:
    """The row of rendering: the length of synthetic tracks divided by the time of one core."""
    turns = []
    for index in range(4 if quick else 12):
        begin = time.process_time()
        for genre in GENRES:
            render(genre, index)
        turns.append(30.0 * len(GENRES) / (time.process_time() - begin))
    middle = statistics.median(turns)
    met = "met" if middle >= 200 else "NOT met"
    cells = spread(turns, 0), "1, real time", spread(turns, 0), ">= 200", met
    yield cells, row("audio rendered on one core", "s/s", turns, target=200)


def bench_prepare(place: Path, quick: bool) -> Iterator[Figure]:
    """The row of preparing."""
    import librosa

    count, sample, turns = (60, 10, 3) if quick else (1000, 60, 5)
    source = SyntheticGenres(tracks_per_genre=count // 10, folder=str(place / "wavs"))
    with quiet():
        source.prepare()
    paths = [track.path for track in source.tracks()]
    sample_paths = paths[:: len(paths) // sample][:sample]

    def ours(cache: Path) -> float:
        begin = time.perf_counter()
        with quiet():
            collection = collect(source, RATE, cache_dir=str(cache))
        rate = float(collection.lengths.sum()) / RATE / (time.perf_counter() - begin)
        shutil.rmtree(cache)
        return rate

    def reference() -> float:
        begin, samples = time.perf_counter(), 0
        for path in sample_paths:
            y, _ = librosa.load(path, sr=RATE)
            librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=RATE))
            samples += len(y)
        return samples / RATE / (time.perf_counter() - begin)

    ours(place / "warm"), reference()
    pairs = [(ours(place / f"store{i}"), reference()) for i in range(turns)]
    yield beside(f"audio prepared ({count} x 30 s; reference on {sample})", "s/s", pairs, 8)
    took = sorted(30.0 * count / rate for rate, _ in pairs)
    target = 10.0 * count / 1000
    middle = statistics.median(took)
    cells = (
        f"{middle:.1f} s ({took[0]:.1f}-{took[-1]:.1f})",
        f"{30 * count / statistics.median(rate for _, rate in pairs):.1f} s, scaled by count",
        "",
        f"<= {target:g} s",
        "met" if middle <= target else "NOT met",
    )
    yield cells, row(f"time to prepare {count} x 30 s", "s", took, target=target)


def bench_fit(place: Path, quick: bool) -> Iterator[Figure]:
    """Two rows for each width of network."""
    for width, epochs, turns in ((16, 5, 5), (32, 4, 3)):
        out = place / "epochs.jsonl"
        settings = fit_settings(place, width, 6 if quick else 20) | {"test_after_fit": False}
        clock = {"class_path": "clock.EpochClock", "init_args": {"out": str(out)}}
        settings["trainer"] |= {"max_epochs": 3 if quick else epochs, "callbacks": [clock]}
        config = place / "fit.json"
        config.write_text(json.dumps(settings))
        options = ("--width", str(width), "--seconds", "5" if quick else "15")
        rates = []
        for _ in range(2 if quick else turns):
            musiccli("fit", "--config", str(config))
            rates.append((clocked(out, "windows"), *plain_loops(*options)))
        yield from compared_with_both(f"windows trained, VGG of width {width}", "1/s", rates)


def bench_infer(place: Path, quick: bool) -> Iterator[Figure]:
    """Two rows for each width of network."""
    for width in (16, 32):
        settings = fit_settings(place, width, 6)
        settings["trainer"] |= {"max_epochs": 1, "limit_train_batches": 1}
        config = place / "fit.json"
        config.write_text(json.dumps(settings | {"test_after_fit": False, "checkpoint": {"dirpath": str(place)}}))
        musiccli("fit", "--config", str(config))
        ours = ("--checkpoint", str(place / "best.ckpt"))
        options = ("--mode", "infer", "--width", str(width), "--seconds", "4" if quick else "10", "--waveforms")
        rates = [
            tuple(SECONDS * rate for rate in (loop(*ours, *options)["rate"], *plain_loops(*options)))
            for _ in range(2 if quick else 5)
        ]
        yield from compared_with_both(f"audio classified, VGG of width {width}", "s/s", rates)


def fit_settings(place: Path, width: int, tracks: int) -> dict[str, Any]:
    """A config of fit: a VGG on windows of 2 s of synthetic music."""
    source = {"tracks_per_genre": tracks, "folder": str(place / "wavs")}
    data = {
        "source": {"class_path": "SyntheticGenres", "init_args": source},
        "cache_dir": str(place / "cache"),
        "windows_per_track": 6,
    }
    network = {"class_path": "VGG", "init_args": {"width": width}}
    logger = {"class_path": "TensorBoardLogger", "init_args": {"save_dir": str(place / "logs")}}
    return {
        "model": {"class_path": "GenreClassifier", "init_args": {"network": network}},
        "data": {"class_path": "MelSlices", "init_args": data},
        "trainer": {"accelerator": "cpu", "logger": logger, "precision": "32-true"},  # on every machine
    }


def plain_loops(*options: str) -> tuple[float, float]:
    """Windows per second of the loop without options, and of the loop with kept memory and `channels_last`."""
    return loop(*options)["rate"], loop(*options, "--kept", "--channels_last")["rate"]


def compared_with_both(figure: str, unit: str, rates: list[tuple[float, ...]]) -> Iterator[Figure]:
    """The rows of the comparisons with the two loops."""
    yield beside(f"{figure}; reference: plain loop", unit, [(ours, plain) for ours, plain, _ in rates], 1.4)
    yield beside(f"{figure}; reference: loop with both", unit, [(ours, both) for ours, _, both in rates], 0.95)


def bench_layout(place: Path, quick: bool) -> Iterator[Figure]:
    """A row for each network and mode, without a target; `GenreClassifier` has its layout because of these figures."""
    for name in ("VGG", "CNN5", "CNN"):
        for mode in ("train", "infer"):
            options = ("--network", name, "--mode", mode, "--kept", "--seconds", "3" if quick else "6")
            turns = [(loop(*options, "--channels_last")["rate"], loop(*options)["rate"]) for _ in range(3)]
            sides = [[turn[side] for turn in turns] for side in (0, 1)]
            cells = *(spread(side, 0) for side in sides), spread([a / b for a, b in turns], 2), "", ""
            yield cells, row(f"{name}, {mode}", "windows/s", *sides)


def bench_augment(place: Path, quick: bool) -> Iterator[Figure]:
    """A row for each augmentation, without a target."""
    waveform, labels = 0.1 * torch.randn(64, 2 * RATE), torch.randint(0, 10, (64,))
    front_end, network = MelFrontEnd(RATE, 512, 256, 64), VGG(10, 16).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.001)
    mask = SpecAugment(n_time_masks=2, time_mask_param=20, n_freq_masks=2, freq_mask_param=8)
    nothing = nn.Identity()

    def pace(augment: nn.Module, hide: nn.Module, mixed: bool = False) -> float:
        begin = time.perf_counter()
        x = hide(front_end.represent(augment(waveform)))
        pairs = [(labels, 0.7), (labels.flip(0), 0.3)] if mixed else [(labels, 1.0)]
        logits = network(torch.lerp(x.flip(0), x, 0.7) if mixed else x)
        optimiser.zero_grad()
        sum(share * functional.cross_entropy(logits, label) for label, share in pairs).backward()
        optimiser.step()
        return 1 / (time.perf_counter() - begin)

    ways: dict[str, tuple[Any, ...]] = {
        "AddWhiteNoise": (AddWhiteNoise(), nothing),
        "ShiftPitch": (ShiftPitch(), nothing),
        "NoiseAndPitch": (NoiseAndPitch(), nothing),
        "SpecAugment": (nothing, mask),
        "mixup": (nothing, nothing, True),
    }
    pace(nothing, nothing)
    for name, way in ways.items():
        turns = [(pace(*way), pace(nothing, nothing)) for _ in range(5 if quick else 15)]
        ours, plain = ([turn[side] for turn in turns] for side in (0, 1))
        cost = [b / a for a, b in turns]
        cells = spread(ours, 2), spread(plain, 2), f"{spread(cost, 2)} slower", "", ""
        yield cells, row(f"training steps with {name}", "1/s", ours, plain)


def bench_start(place: Path, quick: bool) -> Iterator[Figure]:
    """A row for each command."""
    ours = Path(sys.executable).with_name("musiccli")
    script = place / "toy.py"
    script.write_text(TOY)
    turns: dict[str, list[float]] = {"--version": [], "--help": [], "toy": []}
    for _ in range(3 if quick else 7):
        turns["--version"].append(wall(str(ours), "--version"))
        turns["--help"].append(wall(str(ours), "--help"))
        turns["toy"].append(wall(sys.executable, str(script), "--help"))
    for name in ("--version", "--help"):
        middle = statistics.median(turns[name])
        ratios = [b / a for a, b in zip(turns[name], turns["toy"], strict=True)]
        cells = (
            spread(turns[name], 2),
            spread(turns["toy"], 2),
            f"{spread(ratios, 1)} times faster",
            "<= 0.5 s",
            "met" if middle <= 0.5 else "NOT met",
        )
        yield cells, row(f"wall time of `musiccli {name}`", "s", turns[name], turns["toy"], 0.5)


def wall(*command: str) -> float:
    """The time of a command, s."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begin


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Capture everything that is printed."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        yield output


def beside(figure: str, unit: str, pairs: list[tuple[float, float]], target: float) -> Figure:
    """A row of the table, from pairs of our value and the reference's, one for each turn; larger is better."""
    ratios = [a / b for a, b in pairs]
    met = "met" if statistics.median(ratios) >= target else "NOT met"
    ours, references = ([pair[side] for pair in pairs] for side in (0, 1))
    cells = spread(ours, 0), spread(references, 0), spread(ratios, 2), f">= {target:g}", met
    return cells, row(figure, unit, ours, references, target)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    benches = {
        "render": bench_render,
        "prepare": bench_prepare,
        "fit": bench_fit,
        "infer": bench_infer,
        "layout": bench_layout,
        "augment": bench_augment,
        "start": bench_start,
    }
    parser.add_argument("--quick", action="store_true", help="small sizes: a minute or two instead of ten")
    parser.add_argument("--only", choices=benches)
    add_option(parser)
    options = parser.parse_args()
    rows = []
    print("| figure | ours | reference | ratio | target | |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="speed-") as place:
        for name, bench in benches.items():
            if options.only in (None, name):
                for cells, figure in bench(Path(place), options.quick):
                    print(f"| {' | '.join([f'{figure.name}, {figure.unit}', *cells])} |", flush=True)
                    rows.append(figure)
    print(f"\n{machine()}; {torch.get_num_threads()} torch threads")
    write(options.json, "speed", rows, torch.get_num_threads())
    return 0


if __name__ == "__main__":
    sys.exit(main())
