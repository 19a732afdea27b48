"""Speed and memory of each config, with and without keeping freed memory: `python benchmarks/memory.py [--only NAME]`.

Prints a table with the batches per second of `musiccli fit` and its peak memory, MB, with `MUSICGEN_CLS_KEEP_MEMORY=0`
and with the default, in turns, on synthetic music. Network, windows and batch size are those of the config; the epochs
are short. Then it prints the peak memory of `musiccli predict` with the quickstart's network, for a file of 30 s and a
file of an hour; `speed.py` measures the speed. Figures are medians of the turns. With `OMP_NUM_THREADS=1` the time of
one core is measured, as in `speed.py`.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from clock import clocked
from loops import musiccli
from musicgen_cls.synth.render import render
from results import Row, add_option, machine, row, write

FITS = (
    *("quickstart", "vgg", "cnn5", "cnn", "gru", "temporal_pooling", "conv_lstm"),
    *("generator_flow", "generator", "generator_gru"),
)
HOUR = 3600.0

Measured = tuple[float, float]
"""Batches per second, and peak memory, MB."""


def fit(name: str, place: Path, keep: bool) -> Measured:
    """Train a few batches of a config."""
    out = place / "epochs.jsonl"
    options = {
        "config": name,
        "data.source": "SyntheticGenres",
        "data.source.tracks_per_genre": 30,
        "data.source.folder": place / "wavs",
        "data.cache_dir": place / "cache",
        "trainer.max_epochs": 3,
        "trainer.precision": "32-true",  # on every machine
        "trainer.limit_train_batches": 5,
        "trainer.limit_val_batches": 2,
        "trainer.callbacks+": "clock.EpochClock",
        "trainer.callbacks.out": out,
        "trainer.logger.save_dir": place / "logs",
        "test_after_fit": "false",
    }
    peak = musiccli("fit", *(f"--{option}={value}" for option, value in options.items()), keep=keep)
    return clocked(out, "batches"), peak


def predict(file: Path, place: Path, keep: bool) -> Measured:
    """Classify a file; the speed is not measured."""
    checkpoint = next(place.glob("logs/quickstart/*/checkpoints/best.ckpt"))
    options = (f"--ckpt_path={checkpoint}", f"--out={place / 'predictions'}", f"--data.files={file}")
    return math.nan, musiccli("predict", *options, keep=keep)


def measured(name: str, measure: Callable[[bool], Measured], turns: int) -> tuple[str, list[Row]]:
    """A line of the table, and its figures; the baseline is a process that returns its memory."""
    pairs = [(measure(False), measure(True)) for _ in range(turns)]
    rates, peaks = ([[measured[which] for measured in pair] for pair in pairs] for which in (0, 1))
    ratio = statistics.median(kept / returned for returned, kept in rates)
    figures = [f"{statistics.median(side):.2f}" for side in zip(*rates, strict=True)] + [f"{ratio:.2f}"]
    sizes = [f"{statistics.median(side):.0f}" for side in zip(*peaks, strict=True)]
    line = f"| {' | '.join([name, *('' if math.isnan(ratio) else figure for figure in figures), *sizes])} |"
    speed = [] if math.isnan(ratio) else [row(name, "batches/s", *ours_first(rates))]
    return line, [*speed, row(f"{name}, peak", "MB", *ours_first(peaks))]


def ours_first(pairs: list[list[float]]) -> tuple[list[float], list[float]]:
    """The figures with kept memory, and those without."""
    return [kept for _, kept in pairs], [returned for returned, _ in pairs]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=(*FITS, "predict"))
    parser.add_argument("--turns", type=int, default=3)
    add_option(parser)
    options = parser.parse_args()
    rows: list[Row] = []

    def show(name: str, measure: Callable[[bool], Measured]) -> None:
        line, own = measured(name, measure, options.turns)
        print(line, flush=True)
        rows.extend(own)

    names = options.only or (*FITS, "predict")
    print("| config | batches/s returned | kept | ratio | peak returned, MB | kept |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        place = Path(folder)
        for name in names:
            if name != "predict":
                show(name, partial(fit, name, place))
                continue
            if "quickstart" not in names:
                fit("quickstart", place, True)
            for seconds in (30.0, HOUR):
                file = place / f"{seconds:.0f}s.wav"
                music = render("jazz", 0, seconds=30.0, sample_rate=22050)
                soundfile.write(file, np.tile(music, round(seconds / 30)), 22050)
                show(f"predict, {seconds:.0f} s", partial(predict, file, place))
    print(f"\n{machine()}")
    write(options.json, "memory", rows)


if __name__ == "__main__":
    main()
