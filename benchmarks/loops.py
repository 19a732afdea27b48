"""Plain PyTorch loops, each in its own process: `python benchmarks/loops.py [--kept] [--channels_last]`.

Prints the number of windows per second that a network trains on, or classifies, with random input of the size in its
config. Without options it is a plain PyTorch loop. With `--kept` the process keeps freed memory, see
`musicgen_cls.memory`. With `--channels_last` the weights have that layout, as in `GenreClassifier`. With `--checkpoint`
the script measures `musicgen_cls.load` on waveforms. `speed.py` and `memory.py` run this script, and commands of
`musiccli`, with the functions at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from musicgen_cls.memory import KEEP_VARIABLE, keep_memory

RATE = 22050
SECONDS = 2.0  # of a window of waveform
NETWORKS = {  # batch size and shape of a window, as in the configs
    "VGG": (64, (64, 173)),
    "CNN5": (64, (128, 216)),
    "CNN": (64, (64, 173)),
    "Recurrent": (64, (64, 173)),
    "TemporalPooling": (64, (128, 644)),
    "ConvLSTM": (64, (128, 644)),
    "MelFlow": (16, (50000,)),
}
COMMAND = """
import sys
from loops import peak_mb
from musicgen_cls.__main__ import main
status = main(sys.argv[1:])
print(f"peak {peak_mb():.0f} MB")
sys.exit(status)
"""


def step_of(options: argparse.Namespace) -> Callable[[], object]:
    """One step of the loop: it trains on a batch, or classifies it."""
    import torch
    from torch.nn import functional

    import musicgen_cls
    from musicgen_cls.cli.registry import CLASSES
    from musicgen_cls.datamodules.front_end import MelFrontEnd

    torch.manual_seed(0)
    name = options.network
    batch_size, shape = NETWORKS[name]
    if options.checkpoint:
        recogniser = musicgen_cls.load(options.checkpoint)
        waveform = 0.1 * torch.randn(batch_size * round(SECONDS * RATE))
        return partial(recogniser.timeline, waveform.numpy())
    make = partial(CLASSES[name], **({"width": options.width} if options.width else {}))
    network: Any = make(10, 10000, 41000) if name == "MelFlow" else make(10)
    network.train(options.mode == "train")
    if options.channels_last:
        network = network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.001)
    front_end = MelFrontEnd(RATE, 512, 256, 64).represent if options.waveforms else torch.nn.Identity()
    x = 0.1 * torch.randn(batch_size, *((round(SECONDS * RATE),) if options.waveforms else shape))
    y = torch.arange(batch_size) % 10

    def loss() -> Any:
        if name == "MelFlow":
            return network.loss(x[:, :9000], x[:, 9000:], y)
        return functional.cross_entropy(network(front_end(x)), y)

    def train() -> None:
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()

    return train if options.mode == "train" else torch.inference_mode()(loss)


def pace(step: Callable[[], object], seconds: float) -> float:
    """Steps per second, the median of those in `seconds`; the first two do not count."""
    for _ in range(2):
        step()
    took = []
    end = now() + seconds
    while now() < end or len(took) < 3:
        begin = now()
        step()
        took.append(now() - begin)
    return 1 / statistics.median(took)


def now() -> float:
    """Seconds of the clock; with `OMP_NUM_THREADS=1` seconds of the process on its core, without other processes."""
    return time.process_time() if os.environ.get("OMP_NUM_THREADS") == "1" else time.perf_counter()


def peak_mb() -> float:
    """The peak memory of this process, MB."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Run the loop and print a line of JSON: `rate` in windows per second, and `peak_mb` of memory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, default="VGG")
    parser.add_argument("--width", type=int)
    parser.add_argument("--mode", choices=("train", "infer"), default="train")
    parser.add_argument("--waveforms", action="store_true", help="include the mel spectrogram in the step")
    parser.add_argument("--checkpoint", help="load this checkpoint, and use waveforms")
    parser.add_argument("--kept", action="store_true", help="keep freed memory")
    parser.add_argument("--channels_last", action="store_true")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    if options.kept:
        keep_memory()
    step = step_of(options)
    print(json.dumps({"rate": NETWORKS[options.network][0] * pace(step, options.seconds), "peak_mb": peak_mb()}))


def loop(*options: str) -> dict[str, float]:
    """Run this script in its own process; return its result."""
    output = _run([sys.executable, str(Path(__file__)), *options])
    result: dict[str, float] = json.loads(output.splitlines()[-1])
    return result


def musiccli(*args: str, keep: bool = True) -> float:
    """Run a command in its own process; return its peak memory, MB."""
    return float(_run([sys.executable, "-c", COMMAND, *args], keep).rpartition("peak ")[2].split()[0])


def _run(command: list[str], keep: bool = True) -> str:
    here = str(Path(__file__).parent)
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, KEEP_VARIABLE: str(int(keep)), "PYTHONPATH": path}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{' '.join(command[:4])} ... ended with status {run.returncode}:\n{run.stderr[-3000:]}")
    return run.stdout


if __name__ == "__main__":
    main()
