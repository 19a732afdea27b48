"""Speed of `musiccli embed` on one core beside that of the network alone on decoded windows.

    OMP_NUM_THREADS=1 python benchmarks/embedding.py FOLDER [--backbones yamnet msd_musicnn] [--turns 3]

Files for each second of processor time, medians over turns, which measure each in turn, in one process:

- decoding: files to windows of 3 s.
- network: the windows to vectors, four together as in the command.
- bare: decoding and network, one after the other: `1 / (1 / decoding + 1 / network)`.
- embed: the command without its start, from files to the file of vectors.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from musicgen_cls.commands.embed import _windows, embed
from musicgen_cls.memory import keep_memory
from musicgen_cls.pretrained.embedder import Embedder, rows_of
from musicgen_cls.pretrained.load import load
from musicgen_cls.sources.find import find_files
from musicgen_cls.tables import as_markdown
from results import add_option, row, spread, write

SECONDS = 3.0


def seconds(action: Callable[[], object]) -> float:
    """The processor time of an action, s."""
    begun = time.process_time()
    action()
    return time.process_time() - begun


def speeds(name: str, folder: str, turns: int) -> dict[str, list[float]]:
    """Files a second for each part, by turn."""
    network, files = load(name), find_files(folder)
    embedder, window = Embedder([network], network.sample_rate), round(SECONDS * network.sample_rate)

    def decoded() -> list[list[object]]:
        return [list(_windows(file, network.sample_rate, window)) for file in files]

    windows = [pcm for one in decoded() for pcm in one]

    def command() -> None:
        with tempfile.TemporaryDirectory() as out:
            embed([folder], backbone=name, out=str(Path(out) / "vectors.npz"), seconds=SECONDS)

    parts = {"decoding": decoded, "network": lambda: [rows_of(embedder, pcm) for pcm in windows], "embed": command}
    took = {part: [0.0] * turns for part in parts}
    for turn in range(turns):
        for part, action in parts.items():
            took[part][turn] = seconds(action)
    took["bare"] = [a + b for a, b in zip(took["decoding"], took["network"], strict=True)]
    return {part: [len(files) / one for one in own] for part, own in took.items()}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--backbones", nargs="+", default=["yamnet", "msd_musicnn"])
    parser.add_argument("--turns", type=int, default=3)
    add_option(parser)
    options = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    table, rows = [], []
    for name in options.backbones:
        found = speeds(name, options.folder, options.turns)
        own = {part: row(f"{name}, {part}", "files/s", found[part]) for part in ("decoding", "network", "bare")}
        own["embed"] = row(f"{name}, embed", "files/s", found["embed"], found["network"])
        rows += own.values()
        ratios = [
            statistics.median(a / b for a, b in zip(found["embed"], found[part], strict=True))
            for part in ("network", "bare")
        ]
        cells = {part: spread(found[part], 2) for part in own}
        table.append({"backbone": name, **cells, "embed / network": f"{ratios[0]:.2f}", "/ bare": f"{ratios[1]:.2f}"})
    print(as_markdown(table))
    write(options.json, "embedding", rows, 1)


if __name__ == "__main__":
    main()
