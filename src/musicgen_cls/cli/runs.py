"""Folders of runs: their checkpoints and hyperparameters, and the run that a command resumes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only

from musicgen_cls.checkpoints import Checkpoint, read_checkpoint
from musicgen_cls.errors import CheckpointError, UsageError
from musicgen_cls.files import as_path, check_writable, remove_leftovers

LAST = "last"
"""Name of the checkpoint after every epoch."""


def settings_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """The config that rebuilds a checkpoint's model and data, without arguments that are linked between them."""
    model, data = checkpoint.model, checkpoint.data
    arguments = {name: value for name, value in model["init_args"].items() if name != "num_classes"}
    return {"model": {**model, "init_args": arguments}, "data": data}


def hyper_parameters(model: Any, datamodule: Any) -> dict[str, Any]:
    """The arguments of a run as one flat table; TensorBoard shows them in this order.

    The network comes first, then the arguments that users change most often. An object has the name of its class,
    followed by its arguments. Arguments that are not set, or do not change the result (`_NOT_LOGGED`), are left out.
    """
    flat: dict[str, Any] = {}
    for module in (model, datamodule):
        for name, value in module.hparams.items():
            if not name.startswith("_") and name not in _NOT_LOGGED:
                flat |= _flattened(name, value)
    first = [name for name in _FIRST if name in flat]
    of_network = [name for name in flat if name.startswith("network.")]
    return {name: flat[name] for name in dict.fromkeys([*first, *of_network, *flat])}


def figures_first(figures: Mapping[str, float]) -> dict[str, float]:
    """Final figures in the order of TensorBoard: first the test's track accuracy, then other figures of the test."""
    ranks = ("test_track_accuracy", "test_", "val_")
    rank = {name: next((i for i, start in enumerate(ranks) if name.startswith(start)), len(ranks)) for name in figures}
    return {name: figures[name] for name in sorted(figures, key=lambda name: (rank[name], name))}


_FIRST = ("network", "lr", "batch_size", "seconds", "split", "source")
_NOT_LOGGED = frozenset(("genres", "files", "cache_dir", "num_workers", "strict", "num_classes", "target_samples"))


def _flattened(name: str, value: Any) -> dict[str, Any]:
    """An argument; if it is an object, also the object's arguments."""
    if isinstance(value, dict) and "class_path" in value:
        flat = {name: str(value["class_path"]).rpartition(".")[2]}
        for inner, argument in (value.get("init_args") or {}).items():
            flat |= {} if f"{name}.{inner}" == "network.config" else _flattened(f"{name}.{inner}", argument)
        return flat
    if value is None:
        return {}
    return {name: value if isinstance(value, bool | int | float | str) else str(value)}


def last_checkpoint(dirpath: str | None) -> ModelCheckpoint:
    """Writes last.ckpt every epoch; `ModelCheckpoint(save_last=True)` writes it only when the best one changes."""
    return ModelCheckpoint(dirpath, filename=LAST, enable_version_counter=False, save_on_train_epoch_end=True)


def saved_last(trainer: Any) -> Path | None:
    """The last.ckpt that a trainer has written or resumed from; None if there is none."""
    folders = [c.dirpath for c in getattr(trainer, "checkpoint_callbacks", ()) if c.filename == LAST and c.dirpath]
    return next((path for folder in folders if (path := Path(folder) / f"{LAST}.ckpt").is_file()), None)


def how_to_resume(trainer: Any, resumed: bool, began: float) -> str:
    """What a stopped training has saved since it began (seconds since 1970), and the command that resumes it."""
    last = saved_last(trainer)
    of_before = last is not None and not resumed and last.stat().st_mtime < began
    if last is None or of_before:
        return "nothing is saved yet, since no epoch has ended; the same command runs again from the start"
    return f"the same command with --ckpt_path {last} resumes it"


def prepare_folders(config: Any) -> None:
    """Expand `~` in the folders of runs and checkpoints, and remove what killed processes left half-written there.

    Raises:
        UsageError: a folder is invalid, or cannot be written.
    """
    if config.checkpoint.dirpath:
        config.checkpoint.dirpath = str(as_path(config.checkpoint.dirpath, "--checkpoint.dirpath"))
    if config.trainer.default_root_dir:
        folder = as_path(config.trainer.default_root_dir, "--trainer.default_root_dir")
        config.trainer.default_root_dir = str(folder)
    arguments = getattr(config.trainer.logger, "init_args", None)
    if arguments is not None and isinstance(arguments.get("save_dir"), str):
        option = "--trainer.logger.save_dir"
        arguments.save_dir = str(as_path(arguments.save_dir, option))
        place = as_path(str(Path(arguments.save_dir) / (arguments.get("name") or "")), f"{option} and .name")
        check_writable(place, option)
        for folder in place.glob("*/checkpoints"):  # a run killed in its first epoch is not resumed
            remove_leftovers(folder.absolute())


def resume_last(config: Any, trust: Collection[str] = ()) -> Checkpoint:
    """Set `ckpt_path` and the logger's version to the newest run of this name that has finished an epoch.

    If the config has a version, it is that run. The function prints the run, and a newer run without a checkpoint.

    Args:
        config: config of fit.
        trust: modules whose classes the checkpoint may name.
    """
    arguments = config.trainer.logger.init_args if hasattr(config.trainer.logger, "init_args") else None
    if arguments is None or "save_dir" not in arguments:
        raise UsageError("--ckpt_path last: needs a logger with folders; give the path of the checkpoint instead")
    runs = as_path(arguments.save_dir, "--trainer.logger.save_dir") / (arguments.name or "")
    numbers = [int(match[1]) for path in runs.glob("version_*") if (match := re.fullmatch(r"version_(\d+)", path.name))]
    saved = [number for number in numbers if (runs / f"version_{number}" / "checkpoints" / f"{LAST}.ckpt").is_file()]
    version = arguments.version if arguments.version is not None else max(saved or numbers, default=0)
    run = runs / (f"version_{version}" if isinstance(version, int) else version)
    last = Path(config.checkpoint.dirpath or run / "checkpoints") / f"{LAST}.ckpt"
    if not last.is_file():
        others = sorted(str(path) for path in runs.glob("*/checkpoints/last.ckpt"))
        hint = f", or resume another run: --ckpt_path {others[-1]}" if others else ""
        raise CheckpointError(f"{last}: no run to resume; leave out --ckpt_path to train from the start{hint}")
    checkpoint = read_checkpoint(last, trust=trust)
    newer = sorted(number for number in numbers if isinstance(version, int) and number > version)
    unsaved = f"; version_{newer[-1]} is newer, but it was stopped in its first epoch" if newer else ""
    rank_zero_only(print)(f"Resuming:    {run}, {checkpoint.epoch + 1} epochs done{unsaved}")
    config.ckpt_path = str(last)
    arguments.version = version
    return checkpoint
