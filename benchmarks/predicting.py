"""Speed of `musiccli predict` on many files beside what decoding and the network alone allow.

    python benchmarks/predicting.py CHECKPOINT FOLDER [--turns 3]

Seconds of audio for each second, medians over turns, which measure each in one process in turn:

- decoding: files to windows, on one core.
- network: windows to probabilities, on one core, by the number of windows that go through it together.
- limit: all cores at both speeds, `cores / (1 / decoding + 1 / network)`, with the best number of windows.
- predict: the loop over the files, in as many threads as there are cores; and the whole command with its start.
- peak memory of the command, which is its own process.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial

import torch

from musicgen_cls.checkpoints import read_facts
from musicgen_cls.commands import predict
from musicgen_cls.commands.workers import in_torch_threads
from musicgen_cls.datamodules.stream import batches
from musicgen_cls.memory import keep_memory
from musicgen_cls.predictions import Predictions
from musicgen_cls.recogniser import light_parts
from musicgen_cls.sources.find import find_files
from musicgen_cls.tables import as_markdown
from results import add_option, row, write

TOGETHER = (4, 8, 16, 32, 64)
SOME = 30  # files, for decoding and network alone


def seconds(action: Callable[[], object]) -> float:
    """How long an action takes, s."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("folder")
    parser.add_argument("--turns", type=int, default=3)
    add_option(parser)
    options = parser.parse_args()
    keep_memory()
    cores = torch.get_num_threads()
    facts, cpu = read_facts(options.checkpoint), torch.device("cpu")
    parts = light_parts(facts, cpu)
    assert parts is not None, "a classifier of another kind"
    predictor, audio = parts
    files = find_files(options.folder)

    def decoded() -> list[torch.Tensor]:
        every = (batches(file, audio.sample_rate, audio.window_samples, audio.batch_size) for file in files[:SOME])
        return [batch["x"] for one in every for batch in one]

    windows = decoded()
    length = sum(map(len, windows)) * audio.window_samples / audio.sample_rate

    @torch.inference_mode()
    def network(together: int) -> None:
        for pcm in windows:
            for part in torch.split(pcm, together):
                predictor.probabilities(audio.network_input(part))

    def loop() -> None:
        with tempfile.TemporaryDirectory() as out:
            results = Predictions(out)
            results.resume(facts.path, [options.folder])
            rows = in_torch_threads(partial(predict._keyed_row, predictor, audio), results.left, cores)
            predict._predict_all(rows, results, progress=False)

    def command() -> None:
        with tempfile.TemporaryDirectory() as out:
            words = ["predict", options.folder, "--ckpt_path", options.checkpoint, "--out", out]
            subprocess.run([sys.executable, "-m", "musicgen_cls", *words], check=True, capture_output=True)

    names = ["decoding", *(f"network, {n} together" for n in TOGETHER), "predict", "the whole command"]
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(options.turns):
        torch.set_num_threads(1)
        times["decoding"].append(seconds(decoded))
        for together in TOGETHER:
            times[f"network, {together} together"].append(seconds(lambda: network(together)))  # noqa: B023
        torch.set_num_threads(cores)
        times["predict"].append(seconds(loop))
        times["the whole command"].append(seconds(command))
    of_all = length / min(SOME, len(files)) * len(files)
    whole = ("predict", "the whole command")
    turns = {n: [(of_all if n in whole else length) / own for own in took] for n, took in times.items()}
    speeds = {name: statistics.median(own) for name, own in turns.items()}
    best = max(speeds[name] for name in names if name.startswith("network"))
    limit = cores / (1 / speeds["decoding"] + 1 / best)
    rows = [{"part": name, "s/s": f"{speed:.0f}"} for name, speed in speeds.items()]
    figures = [row(name, "s/s", own) for name, own in turns.items()]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(as_markdown([*rows, {"part": f"limit of {cores} cores", "s/s": f"{limit:.0f}"}]))
    print(f"predict / limit: {speeds['predict'] / limit:.2f}; {len(files)} files; peak memory {peak:.0f} MB")
    write(options.json, "predicting", [*figures, row("peak memory of the command", "MB", [peak])], cores)


if __name__ == "__main__":
    main()
