"""Training in several processes beside one with the same global batch: `python benchmarks/scaling.py`.

Processes on one machine, over gloo, with a GRU without dropout: batch norm would compute its statistics over each
process' part of the batch, and dropout would draw other numbers. The order of the windows does not depend on the number
of processes.

- loss: the largest relative difference of the training loss of a step, and of the validation loss of an epoch, from
  those of one process.
- report: whether the test report has the same figures.
- resumed: the same for a training that stopped after half of its epochs and resumed with another number of processes.
- sharded: the same with the parameters divided over the processes, `--trainer.strategy sharded`.
- killed: one of two processes is killed with SIGKILL in mid-training; how long the other one runs on, what it prints,
  and whether the training resumes.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from musicgen_cls.tables import as_markdown

BATCH, EPOCHS = 32, 4


def start(words: list[str], processes: int, folder: Path) -> list[subprocess.Popen[str]]:
    """Start a command in several processes, with the variables that torchrun sets."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "NODE_RANK": "0"}
    every = []
    for rank in map(str, range(processes)):
        own = {"WORLD_SIZE": str(processes), "LOCAL_RANK": rank, "RANK": rank} if processes > 1 else {}
        command = [sys.executable, "-m", "musicgen_cls", *words]
        env = {**os.environ, **(group if own else {}), **own, "OMP_NUM_THREADS": "1"}
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        every.append(subprocess.Popen(command, cwd=folder, env=env, text=True, **pipe))  # type: ignore[call-overload]
    return every


def fit(name: str, processes: int, epochs: int, *more: str, strategy: str = "ddp") -> list[str]:
    """The command of a training with a global batch of `BATCH` windows."""
    source = ["--data.source", "SyntheticGenres", "--data.source.tracks_per_genre", "6", "--data.source.seconds", "6"]
    size = ["--model.network.hidden", "24", "--model.network.dropout", "0", "--data.windows_per_track", "3"]
    logger = ["--trainer.logger.name", name, "--trainer.logger.version", "run", "--trainer.log_every_n_steps", "1"]
    several = ["--trainer.devices", str(processes), "--trainer.strategy", strategy] if processes > 1 else []
    return [
        *("fit", "--config", "gru", *source, *size, *logger, *several, "--data.batch_size", str(BATCH // processes)),
        *("--trainer.max_epochs", str(epochs), "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar"),
        *("false", "--out", f"{name}-report", *more),
    ]


def run(words: list[str], processes: int, folder: Path) -> None:
    """Run a command to its end."""
    for process in start(words, processes, folder):
        error = process.communicate()[1]
        if process.returncode:
            sys.exit(f"{' '.join(words)}: status {process.returncode}: {error[-2000:]}")


def losses(folder: Path) -> dict[str, list[float]]:
    """Training loss of each step, and validation loss of each epoch, from TensorBoard's files."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [value for _, value in sorted({event.step: event.value for event in events.Scalars(tag)}.items())]
        for tag in ("train_loss_step", "val_loss")
    }


def difference(wanted: dict[str, list[float]], found: dict[str, list[float]]) -> str:
    """The largest relative differences of both losses, as text."""
    assert {tag: len(values) for tag, values in wanted.items()} == {tag: len(values) for tag, values in found.items()}
    worst = {
        tag: max(abs(a - b) / a for a, b in zip(values, found[tag], strict=True)) for tag, values in wanted.items()
    }
    return f"{worst['train_loss_step']:.1e}, {worst['val_loss']:.1e}"


def figures(folder: Path) -> dict[str, Any]:
    """The accuracies in a report."""
    report = json.loads((folder / "report.json").read_text())
    return {name: report[name] for name in ("tracks", "windows", "track_accuracy", "segment_accuracy", "per_genre")}


def killed(folder: Path, strategy: str) -> str:
    """What happens when one of two processes is killed."""
    name = f"killed-{strategy}"
    words = fit(name, 2, EPOCHS, strategy=strategy)
    first, second = start(words, 2, folder)
    last = folder / f"lightning_logs/{name}/run/checkpoints/last.ckpt"
    while not last.is_file():
        time.sleep(0.05)
    second.send_signal(signal.SIGKILL)
    begun = time.monotonic()
    error = first.communicate(timeout=300)[1].strip().splitlines()
    took = time.monotonic() - begun
    run([*words, "--ckpt_path", "last"], 2, folder)
    return f"the other one ends after {took:.1f} s with status {first.returncode}: {error[-1]!r}; the training resumes"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["MUSICGEN_CLS_CACHE"] = str(folder / "cache")
        run(fit("p1", 1, EPOCHS), 1, folder)
        wanted, report = losses(folder / "lightning_logs/p1/run"), figures(folder / "p1-report")
        rows = []

        def compare(training: str, name: str) -> None:
            found = losses(folder / f"lightning_logs/{name}/run")
            same = figures(folder / f"{name}-report") == report
            rows.append({"training": training, "losses": difference(wanted, found), "report": str(same)})

        for strategy in ("ddp", "sharded"):
            for processes in [number for number in options.processes if number > 1]:
                name = f"{strategy}{processes}"
                run(fit(name, processes, EPOCHS, strategy=strategy), processes, folder)
                compare(f"{processes} processes, {strategy}", name)
            for before, after in ((2, 1), (1, 2)):
                name = f"{strategy}{before}{after}"
                run(fit(name, before, EPOCHS // 2, strategy=strategy), before, folder)
                run(fit(name, after, EPOCHS, "--ckpt_path", "last", strategy=strategy), after, folder)
                compare(f"{before}, then {after}, {strategy}", name)
        print(as_markdown(rows))
        print(f"steps: {len(wanted['train_loss_step'])}")
        for strategy in ("ddp", "sharded"):
            print(f"one of two killed, {strategy}: {killed(folder, strategy)}")


if __name__ == "__main__":
    main()
