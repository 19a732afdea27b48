"""`predict` of a classifier, without Lightning: all cores decode and predict at the same time."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import torch

from musicgen_cls import hub_generator, untrained
from musicgen_cls.checkpoints import Checkpoint, read_facts
from musicgen_cls.cli import dispatch
from musicgen_cls.cli.chosen import checkpoint_of, made_checkpoint
from musicgen_cls.cli.command_line import asks_for, check_text, split, take_files
from musicgen_cls.cli.logs import configure_logs
from musicgen_cls.cli.tags import check_options, use_predictions
from musicgen_cls.commands.workers import files_at_once, in_torch_threads
from musicgen_cls.datamodules.inputs import AudioInput
from musicgen_cls.datamodules.stream import batches, named_files
from musicgen_cls.engines.on_ray import Engine, cluster_of
from musicgen_cls.errors import UsageError
from musicgen_cls.files import alone, check_writable
from musicgen_cls.memory import keep_memory
from musicgen_cls.metrics.threshold import THRESHOLD
from musicgen_cls.predictions import JOURNAL, Predictions, Row, resuming_line, row_of
from musicgen_cls.pretrained.load import is_published
from musicgen_cls.recogniser import light_parts
from musicgen_cls.tasks.predicting import Predictor
from musicgen_cls.tasks.timeline import Timeline

_AT_ONCE = 16
"""Windows that go through the network together; their activations then fit into a processor's cache."""

_OPTIONS = {
    "ckpt_path": (str | None, None),
    "out": (str, "predictions"),
    "threshold": (float, THRESHOLD),
    "genres": (str | list[str] | None, None),
    "genre_tags": (str | None, None),
    "playlists": (bool, False),
    "write_tags": (bool, False),
    "restore_tags": (bool, False),
    "yes": (bool, False),
    "trainer.enable_progress_bar": (bool, True),
    "engine": (Engine, "local"),
    "address": (str | None, None),
}
"""The options that need no Lightning, with their types and defaults."""


def predict(args: Sequence[str]) -> bool:
    """Predict files with a classifier of this package; False if that needs Lightning, and nothing was done.

    It does for generators, for tasks and datamodules of users, for other options, and for several processes or GPUs,
    which a cluster (`--engine ray`) cannot run.

    Args:
        args: the command line, without its command.

    Raises:
        MusicClsError: what a user can fix.
    """
    if not _is_plain(args):
        return _left_to_lightning(args)
    keep_memory()
    configure_logs()
    rest, files = take_files(args)
    rest, named = split(rest, [name.rpartition(".")[2] for name, (kind, _) in _OPTIONS.items() if kind is bool])
    check_text(rest)
    path = checkpoint_of("predict", rest, named, ())
    files += named
    if hub_generator.is_meant(path):
        return _left_to_lightning(args)
    options = dispatch.parsed("predict", _OPTIONS, rest)
    results = Predictions(options.out, options.threshold)
    cluster = cluster_of(options.engine, options.address, ordered=False)
    fetches = untrained.is_meant(path)
    if fetches:
        _check(options, results, files)
    facts = read_facts(made_checkpoint(path, rest))
    if (parts := light_parts(facts, torch.device("cpu") if cluster else _device())) is None:
        return _left_to_lightning(args)
    _check(options, results, files, facts.genres)
    print(facts.line(path))
    row, run = partial(_keyed_row, *parts), cluster or partial(in_torch_threads, most=_threads(facts))
    with alone(results.out / JOURNAL, results.out):
        results.resume(facts.path, files)
        if results.done:
            print(resuming_line(results))
        _predict_all(run(row, results.left), results, options.trainer.enable_progress_bar)
        written = results.finish(facts.genres)
    use_predictions(options, results.out, written, facts.genres)
    return True


def _left_to_lightning(args: Sequence[str]) -> bool:
    """False; raises `UsageError` if a cluster is asked for."""
    for name in ("engine", "address"):
        if asks_for(name, args):
            raise UsageError(
                f"--{name}: works with classifiers of this package only, and without --trainer and --data options; "
                f"leave out --{name}, or those options"
            )
    return False


def _is_plain(args: Sequence[str]) -> bool:
    """Whether a command line has no other options, and the process is alone."""
    names = {arg.partition("=")[0].removeprefix("--") for arg in args if arg.startswith("-")}
    single = all(os.environ.get(name, "1") == "1" for name in ("WORLD_SIZE", "SLURM_NTASKS"))
    return single and names <= {*_OPTIONS, "data.files"} and torch.accelerator.device_count() <= 1


def _check(options: Any, results: Predictions, files: Sequence[str], genres: Sequence[str] = ()) -> None:
    """Raise `UsageError` for wrong options, before anything is fetched, written or predicted."""
    check_options(options, generates=False, genres=genres)
    named_files(files or None)
    check_writable(results.out, "--out DIR")


def _device() -> torch.device:
    """The GPU, if there is one."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")


def _threads(facts: Checkpoint) -> int:
    """The number of files that are predicted at a time: one for a network of a user, which may have a state."""
    network = facts.model["init_args"]["network"]
    names = [*facts.data["init_args"].get("backbones", ()), network.get("init_args", {}).get("backbone", "yamnet")]
    own = not network["class_path"].startswith("musicgen_cls.") or not all(map(is_published, names))
    return 1 if own else files_at_once()


def _predict_all(rows: Generator[tuple[str, Row]], results: Predictions, progress: bool) -> None:
    """Write the rows of the files that are left, as they come, with the version of each file."""
    from tqdm import tqdm

    total = len(results.left)
    results.open()
    with closing(rows), tqdm(total=total, desc="Predicting", unit="file", disable=not progress) as bar:
        try:
            for key, row in rows:
                results.add(key, row)
                bar.update()
        finally:
            results.close()


@torch.inference_mode()
def _keyed_row(
    predictor: Predictor, audio: AudioInput, file: tuple[str, Path], stop: Event | None = None
) -> tuple[str, Row]:
    """The version of a file, and its row; `InterruptedError` once `stop` is set."""
    key, path = file
    windows: list[Timeline] = []
    batch = {}
    for batch in batches(path, audio.sample_rate, audio.window_samples, audio.batch_size):
        if stop is not None and stop.is_set():
            raise InterruptedError
        if "x" in batch:
            windows.append(_timeline(predictor, audio, batch["x"], batch["start_s"]))
    return key, row_of(str(path), windows, audio.genres, batch)


def _timeline(predictor: Predictor, audio: AudioInput, pcm: torch.Tensor, start_s: torch.Tensor) -> Timeline:
    """The predictions for windows, int16 `[windows, samples]`."""
    device = predictor.calibration.bias.device
    parts = [predictor.probabilities(audio.network_input(part.to(device))) for part in torch.split(pcm, _AT_ONCE)]
    return Timeline.of_windows(start_s, audio.window_samples / audio.sample_rate, torch.cat(parts))
