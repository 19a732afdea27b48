"""Throughput of `--engine ray` with one and two nodes of one processor each: `python benchmarks/cluster.py`.

The nodes are processes of Ray on this machine (Ray's own cluster utility), so two nodes need two idle cores. A VGG
without training predicts composed songs that are there many times as links; `prepare` decodes them. Each row has the
time of the whole command less that of the same command on two files, so that the start does not count.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from functools import partial
from pathlib import Path

import soundfile
import torch
from lightning.pytorch import Trainer
from ray.cluster_utils import Cluster as Nodes

from musicgen_cls.__main__ import main as musiccli
from musicgen_cls.datamodules import MelSlices
from musicgen_cls.models import VGG
from musicgen_cls.sources import Folder
from musicgen_cls.synth.render import render
from musicgen_cls.tables import as_markdown
from musicgen_cls.tasks import GenreClassifier

SECONDS, RATE = 30.0, 22050
NODE = {"num_cpus": 1, "object_store_memory": 200 << 20}


def write_songs(folder: Path, number: int) -> Path:
    """A folder of two genres with a number of songs in all, as FLAC files with different names; few are composed."""
    for genre in ("jazz", "metal"):
        (folder / genre).mkdir(parents=True)
        for take in range(4):
            soundfile.write(
                folder / f"{genre}{take}.flac", render(genre, take, seconds=SECONDS, sample_rate=RATE), RATE
            )
        for song in range(number // 2):
            os.link(folder / f"{genre}{song % 4}.flac", folder / genre / f"{song:04d}.flac")
    return folder


def checkpoint(folder: Path, songs: Path) -> Path:
    """A VGG of width 16 after one step."""
    data = MelSlices(Folder(str(songs)), windows_per_track=1, duplicates="keep", split="segment")
    torch.manual_seed(0)
    task = GenreClassifier(partial(VGG, width=16), num_classes=2)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    trainer = Trainer(max_steps=1, accelerator="cpu", limit_val_batches=0, enable_model_summary=False, **quiet)
    trainer.fit(task, data)
    trainer.save_checkpoint(folder / "c.ckpt")
    return folder / "c.ckpt"


def seconds_of(words: list[str]) -> float:
    """The time of a command, s."""
    begin = time.perf_counter()
    if musiccli(words):
        raise SystemExit(f"failed: {' '.join(words)}")
    return time.perf_counter() - begin


def row(place: Path, songs: Path, few: Path, model: Path, where: str, options: list[str]) -> dict[str, str]:
    """Seconds of audio a second of both commands."""
    cells = {"where": where}
    audio_s = SECONDS * (len(list(songs.glob("*/*.flac"))) - 2)
    for command in ("prepare", "predict"):
        times = []
        for folder in (few, songs):
            out = str(place / f"{command}-{where}-{folder.name}".replace(" ", "-"))
            if command == "prepare":
                source = ["--data.source", "Folder", "--data.source.root", str(folder), "--data.duplicates", "keep"]
                words = ["prepare", "--config", "vgg", *source, "--data.cache_dir", out]
            else:
                words = ["predict", str(folder), "--ckpt_path", str(model), "--out", out, "--threshold", "0"]
            times.append(seconds_of([*words, *options]))
        cells[f"{command}, s/s"] = f"{audio_s / (times[1] - times[0]):.0f}"
    return cells


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--songs", type=int, default=400)
    given = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        songs, few = write_songs(place / "songs", given.songs), write_songs(place / "few", 2)
        model = checkpoint(place, songs)
        rows = [row(place, songs, few, model, "this process", [])]
        for number in (1, 2):
            nodes = Nodes(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
            for _ in range(number - 1):
                nodes.add_node(**NODE)
            options = ["--engine", "ray", "--address", nodes.address]
            rows.append(row(place, songs, few, model, f"{number} nodes", options))
            nodes.shutdown()
    print(as_markdown(rows))


if __name__ == "__main__":
    main()
