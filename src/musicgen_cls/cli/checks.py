"""Checks before a run: groups of settings, and whether checkpoint, network, data and augmentation are compatible."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.utilities.seed import isolate_rng

from musicgen_cls.checkpoints import Checkpoint, Described
from musicgen_cls.cli.arguments import CALLBACKS
from musicgen_cls.cli.configs import Config
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.errors import CheckpointError, UsageError, one_line
from musicgen_cls.sources.lists import is_list
from musicgen_cls.specs import arguments_of, resolve
from musicgen_cls.tasks.base import Task


def check_groups(configs: Sequence[Config]) -> None:
    """Check that the settings of trainer and callbacks are mappings; jsonargparse ignores other values, or fails later.

    Raises:
        UsageError: a group of settings is something else.
    """
    for config in configs:
        for group in ("trainer", *CALLBACKS):
            value = config.settings.get(group, {})
            if not isinstance(value, dict):
                given = one_line(json.dumps(value, default=str))
                place = f"--config {config.path}" if config.path else "--config"
                raise UsageError(
                    f"{place}: {group} is {given}, not a group of settings; leave it out, or name its settings"
                )


def check_agreement(checkpoint: Checkpoint, config: Any) -> None:
    """Refuse a config whose input or division of tracks differs from a checkpoint's.

    Raises:
        CheckpointError: an argument differs; the message has both values.
    """
    datamodule = resolve(checkpoint.data["class_path"])
    divides = config.data.init_args.get("split") != "external"
    compared: dict[str, tuple[Described, tuple[str, ...]]] = {
        "model": (checkpoint.model, ("network",)),
        "data": (checkpoint.data, datamodule.INPUT_ARGUMENTS + (datamodule.DIVISION_ARGUMENTS if divides else ())),
    }
    for part, (saved, names) in compared.items():
        given = config[part].as_dict()
        pairs = {f"{part}": (saved["class_path"], given["class_path"])}
        for name in names:
            if name in saved["init_args"]:
                trained = saved["init_args"][name]
                pairs[f"{part}.{name}"] = (trained, _without_new_arguments(given["init_args"].get(name), trained))
        for name, (trained, asked) in pairs.items():
            if name == "data.split" and is_list(str(trained)) and is_list(str(asked)):
                continue  # the content of lists is compared when they are read
            if trained != asked:
                raise CheckpointError(
                    f"{checkpoint.path}: trained with {name} {_short(trained)}, but the config or command line has "
                    f"{_short(asked)}; leave that out, or use another checkpoint"
                )


def check_genres(checkpoint: Checkpoint, datamodule: Any) -> None:
    """Raise `CheckpointError` if the data has other genres than the checkpoint."""
    if isinstance(datamodule, GenreDataModule) and datamodule.genres != checkpoint.genres:
        raise CheckpointError(
            f"{checkpoint.path}: trained on the genres {', '.join(checkpoint.genres)}, but the data has "
            f"{', '.join(datamodule.genres)}; leave out --ckpt_path to train from the start"
        )


def _without_new_arguments(given: Any, trained: Any) -> Any:
    """A class description without the arguments that did not exist when the checkpoint was trained.

    Arguments that a network finds itself have the values in the checkpoint, if they are not set.
    """
    if not (isinstance(given, dict) and isinstance(trained, dict) and "init_args" in given and "init_args" in trained):
        return given
    saved = trained["init_args"]
    found = getattr(resolve(trained["class_path"]), "FILLED_IN", ())
    return given | {
        "init_args": {
            name: saved[name] if value is None and name in found else value
            for name, value in given["init_args"].items()
            if name in saved
        }
    }


def _short(value: Any) -> str:
    if isinstance(value, dict) and "class_path" in value:
        arguments = ", ".join(f"{name}={v}" for name, v in value.get("init_args", {}).items())
        return f"{value['class_path'].rpartition('.')[2]}({arguments})"
    return str(value).rpartition(".")[2] if str(value).startswith("musicgen_cls.") else str(value)


def check_network(model: Any, datamodule: Any) -> None:
    """Send one silent window through front end and network; raise `UsageError` if the network cannot take it."""
    if not isinstance(datamodule, GenreDataModule) or not isinstance(model, Task):
        return
    batch = datamodule.silent_batch()
    model.network.eval()
    with torch.no_grad():
        try:
            model.dry_run(batch)
        except KeyError as error:
            raise UsageError(
                f"--data {type(datamodule).__name__}: its batches have no {error}, which {type(model).__name__} needs; "
                "use other data, or another --model"
            ) from error
        except (RuntimeError, ValueError, IndexError) as error:
            name = type(model.network).__name__
            shape = (
                " x ".join(map(str, batch["x"].shape[1:])) if "x" in batch else f"{datamodule.window_length} samples"
            )
            raise UsageError(
                f"{name} cannot take input of {shape} ({str(error).splitlines()[0]}); {remedy(model, datamodule)}"
            ) from error
        finally:
            model.network.train()
    rate = getattr(model.network, "sample_rate", datamodule.sample_rate)
    if rate != datamodule.sample_rate:
        raise UsageError(
            f"--data.sample_rate {datamodule.sample_rate}: the pretrained network takes waveforms at {rate} Hz; set "
            f"--data.sample_rate {rate}"
        )


def remedy(model: Task, datamodule: GenreDataModule) -> str:
    """The remedy if a network cannot take the windows of the data."""
    given = model.hparams["network"]["init_args"]
    arguments = arguments_of(type(model.network))
    for name in arguments.keys() & datamodule.NETWORK_SIZES:
        if (size := getattr(datamodule, name)) != given.get(name, arguments[name].default):
            return f"set --model.network.{name} {size}"
    return datamodule.size_remedy


def check_changes(datamodule: Any) -> None:
    """Apply augment and mask to two silent windows, so that their errors are found before training."""
    for name in ("augment", "mask"):
        module = getattr(datamodule, name, None)
        if module is None:
            continue
        blank = datamodule.blank_window()
        shape = (datamodule.front_end.scale if name == "augment" else datamodule.network_input)(blank).shape[1:]
        silence = torch.zeros(2, *shape)
        argument = f"--data.{name} {type(module).__name__}"
        try:
            with isolate_rng(include_cuda=False), torch.no_grad():
                changed = module(silence)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise UsageError(f"{argument}: {reason}; fix its arguments, or use another module") from error
        if changed.shape != silence.shape:
            shapes = " to ".join(" x ".join(map(str, x.shape)) for x in (silence, changed))
            raise UsageError(f"{argument}: changes {shapes}; use a module that keeps the shape")
