"""Where the time of a training step goes: `python benchmarks/step.py [CONFIG ...] [--trainer.precision=bf16-mixed]`.

Each config trains for some steps on composed music, with Lightning and all callbacks of `musiccli fit`. The time of a
step is that from its start to the start of the next one, without the first steps, in seconds of processor time; with
`--wall`, for an idle machine, in seconds:

- forward and backward: the network and its loss, and the gradients. A generator computes its loss within the network.
- optimiser: Adam, gradient clipping and the schedule.
- input: from stored windows to the input of the network, such as mel spectrograms; augmentation and masks.
- reading: windows from the memory map, and their order.
- the rest: metrics, logs, callbacks and Lightning itself.

On a GPU: `--wall --trainer.accelerator=gpu`. Each part then waits for the GPU, so that a step takes longer than in
training. This was not tried on one.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.profilers import Profiler
from torch import nn

from musicgen_cls.cli import lightning
from musicgen_cls.tables import as_markdown

WAVEFORMS = ["--data.source", "SyntheticGenres", "--data.source.tracks_per_genre", "8", "--data.split", "track"]
SCORES = ["--data.source", "SyntheticScores", "--data.source.pieces_per_genre", "8"]
CONFIGS: dict[str, list[str]] = {
    "vgg": WAVEFORMS,
    "cnn5": WAVEFORMS,
    "resnet": WAVEFORMS,
    "temporal_pooling": [*WAVEFORMS, "--data.batch_size", "32"],
    "conv_lstm": [*WAVEFORMS, "--data.batch_size", "32"],
    "pretrained": [*WAVEFORMS, "--data.backbones", "random_yamnet"],
    "generator": WAVEFORMS,
    "generator_flow": WAVEFORMS,
    "score_transformer": SCORES,
}
"""Configs, and the options that give them composed music."""

SKIPPED = 3


class Clock(Profiler):
    """Seconds in each of Lightning's actions, by the last part of its name.

    Args:
        now: the clock.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self.now = now
        self.spent, self.began = defaultdict[str, float](float), dict[str, float]()

    def start(self, action_name: str) -> None:
        """An action begins."""
        self.began[action_name] = self.now()

    def stop(self, action_name: str) -> None:
        """An action ends."""
        spent = self.now() - self.began.pop(action_name)
        self.spent[action_name.rpartition(".")[2]] += spent


class Steps(Callback):
    """Measures the steps of a training after the first ones.

    Args:
        now: the clock.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.clock, self.steps = Clock(now), 0

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Replace the profiler, and measure the network."""
        trainer.profiler = self.clock
        network: nn.Module = pl_module.network
        network.register_forward_pre_hook(lambda *_: self.clock.start("network"))
        network.register_forward_hook(lambda *_: self.clock.stop("network"))

    def on_train_batch_start(self, *_: Any) -> None:
        """A step begins."""
        self.steps += 1
        if self.steps == SKIPPED + 1:
            self.clock.spent.clear()
            self.start = self.clock.now()
        self.seconds = self.clock.now() - getattr(self, "start", 0.0)
        self.parts = dict(self.clock.spent)

    def row(self, config: str) -> dict[str, str]:
        """The shares of a step."""
        spent, steps = defaultdict(float, self.parts), self.steps - SKIPPED - 1
        network = spent["network"] or spent["training_step"]
        shares = {
            "forward and backward": network + spent["backward"],
            "optimiser": spent["optimizer_step"] - spent["training_step"] - spent["backward"],
            "input": spent["on_after_batch_transfer"],
            "reading": spent["train_dataloader_next"],
        }
        shares["the rest"] = self.seconds - sum(shares.values())
        cells = {name: f"{100 * part / self.seconds:.1f} %" for name, part in shares.items()}
        return {"config": config, "a step, s": f"{self.seconds / steps:.3f}", **cells}


def wall() -> float:
    """Seconds, once a GPU has done what it was given."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter()


def measured(config: str, steps: int, now: Callable[[], float], more: list[str]) -> dict[str, str]:
    """The row of a config."""
    clock = Steps(now)
    stop = ["--trainer.max_steps", str(steps + SKIPPED + 1), "--trainer.limit_val_batches", "0"]
    quiet = ["--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu", "--trainer.max_epochs", "1000"]
    quiet += ["--trainer.precision", "32-true"]  # on every machine, unless another is given
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        lightning.start(["fit", "--config", config, *CONFIGS[config], *stop, *quiet, *more], more_callbacks=[clock])
        os.chdir("/")
    return clock.row(config)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("configs", nargs="*", default=list(CONFIGS), metavar="CONFIG")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--wall", action="store_true", help="seconds instead of seconds of processor time")
    given, more = parser.parse_known_args()
    now = wall if given.wall else time.process_time
    print(as_markdown([measured(config, given.steps, now, more) for config in given.configs]))


if __name__ == "__main__":
    main()
