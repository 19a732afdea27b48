"""Checkpoints: reading their facts, which are enough to rebuild model and data."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import torch

from musicgen_cls.errors import CheckpointError, UsageError, counted
from musicgen_cls.files import as_path
from musicgen_cls.specs import current
from musicgen_cls.trust import check_described

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule, LightningModule

Described = dict[str, Any]
"""A class and its arguments in plain form: `{"class_path": ..., "init_args": {...}}`."""


@dataclass(frozen=True)
class Checkpoint:
    """The checked facts in a checkpoint file."""

    path: Path
    model: Described
    data: Described
    epoch: int
    """Number of the last epoch of training, from 0."""
    steps: int
    """Number of training steps of the optimiser."""
    trained_on: frozenset[str] = frozenset()
    """Digests of the tracks that trained and validated the network."""
    leaks: tuple[str, ...] = ()
    """Sentences on the leaks of its split."""
    fitted: bool = True
    """Whether it has the state of the front end, such as means and deviations."""

    @property
    def genres(self) -> list[str]:
        """Names of the classes, in label order."""
        return list(self.data["init_args"]["genres"])

    @property
    def training(self) -> str:
        """The length of the training, in words."""
        return trained(self.steps, self.epoch + 1)

    def line(self, named: str = "") -> str:
        """What a command prints of the checkpoint that it uses.

        Args:
            named: the checkpoint, as the command line names it.
        """
        network = self.model["init_args"]["network"]["class_path"].rpartition(".")[2]
        return f"Checkpoint:  {named or self.path} ({network}, {counted(len(self.genres), 'genre')}, {self.training})"


def untrained_content(task: LightningModule, data: LightningDataModule, of_data: dict[str, Any]) -> bytes:
    """A checkpoint as Lightning writes it, of a task that was not trained.

    Args:
        task: the task.
        data: its datamodule.
        of_data: the state of the datamodule.
    """
    from lightning import __version__

    content = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": __version__,
        "state_dict": task.state_dict(),
        "hyper_parameters": dict(task.hparams),
        "datamodule_hyper_parameters": dict(data.hparams),
        type(data).__qualname__: of_data,
    }
    buffer = BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def trained(steps: int, epochs: int) -> str:
    """The length of a training, in words."""
    return f"trained for {counted(steps, 'step')} in {counted(epochs, 'epoch')}" if steps else "not trained"


def read_checkpoint(path: str | PathLike[str], option: str = "--ckpt_path", trust: Collection[str] = ()) -> Checkpoint:
    """Read the facts of a checkpoint, without its weights. The whole file is checked.

    Modules outside of this package are imported only if they are trusted; Lightning is imported.

    Args:
        path: the file.
        option: the argument that names it, for errors.
        trust: modules outside of this package whose classes it may name.

    Raises:
        CheckpointError: the file is missing or damaged, this package did not write it, or it names a class of a
            module that is not trusted.
    """
    from lightning.pytorch import LightningDataModule, LightningModule

    checkpoint = read_facts(path, option)
    try:
        check_described(checkpoint.model, LightningModule, trust)
        check_described(checkpoint.data, LightningDataModule, trust)
    except UsageError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from None
    if not checkpoint.fitted:
        raise CheckpointError(f"{checkpoint.path}: damaged: no state of its front end; use another checkpoint")
    return checkpoint


def read_facts(path: str | PathLike[str], option: str = "--ckpt_path") -> Checkpoint:
    """Read the facts of a checkpoint as `read_checkpoint` does, but leave its classes unchecked. Nothing is imported.

    Raises:
        CheckpointError: the file is missing or damaged, or this package did not write it.
    """
    path = as_path(path, option)
    if path.is_dir() and (inside := sorted(path.rglob("best.ckpt"))):
        raise CheckpointError(f"{path}: a folder; name the checkpoint in it, {inside[0]}")
    if not path.is_file():
        what = "a folder without a best.ckpt" if path.is_dir() else "no such file"
        raise CheckpointError(f"{path}: {what}; name a .ckpt file that fit wrote")
    content = load_content(path)
    if not isinstance(content, dict) or (
        wrong := next((name for name in (*_TYPES, *_OPTIONAL) if not _sound(content, name)), None)
    ):
        what = "" if not isinstance(content, dict) else f" ('{wrong}' is missing, or has another type)"
        raise CheckpointError(
            f"{path}: a checkpoint that musicgen_cls did not write{what}; name a .ckpt file that fit wrote"
        )
    model, data = (_described(content[name]) for name in ("hyper_parameters", "datamodule_hyper_parameters"))
    genres = data["init_args"].get("genres")
    if not isinstance(genres, list) or not genres or not all(isinstance(genre, str) for genre in genres):
        raise CheckpointError(f"{path}: a checkpoint without genres; name a .ckpt file that fit wrote")
    state = content.get(state_name(data))
    state = state if isinstance(state, dict) else {}
    keys = ("trained_on", "heard"), ("leaks",)  # `heard` is an older key; words: ignore
    trained_on, leaks = (_texts(path, state, *names) for names in keys)
    facts = path, model, data, content["epoch"], content["global_step"], frozenset(trained_on), tuple(leaks)
    return Checkpoint(*facts, fitted=_are_tensors(state.get("front_end")))


def state_name(data: Described) -> str:
    """The key of a datamodule's state in a checkpoint: the name of its class."""
    return str(data["class_path"]).rpartition(".")[2]


def _texts(path: Path, state: dict[str, Any], *names: str) -> list[str]:
    """A list of strings in the state of a datamodule, under the present key or an older one."""
    found: Any = next((state[name] for name in names if name in state), [])
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise CheckpointError(f"{path}: damaged: '{names[0]}' is not a list of strings; use another checkpoint")
    return found


def load_content(path: Path, device: torch.device | str = "cpu") -> Any:
    """The content of a checkpoint file, as primitives and tensors. The checksums in the file are compared first.

    Raises:
        CheckpointError: the file is damaged, or not a checkpoint.
    """
    try:
        with ZipFile(path) as archive:  # torch writes checksums, but does not compare them
            damaged = archive.testzip()
        content = None if damaged else torch.load(path, map_location=device, weights_only=True, mmap=True)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be opened ({error.strerror}); check its permissions") from error
    except Exception as error:  # zipfile and torch raise many kinds of errors for a damaged file
        raise CheckpointError(
            f"{path}: not a readable checkpoint; damaged, incomplete, or another file; use another checkpoint"
        ) from error
    if damaged:
        raise CheckpointError(
            f"{path}: not a readable checkpoint; its part {damaged} is damaged; use another checkpoint"
        )
    return content


_TYPES: dict[str, type] = {
    "epoch": int,
    "global_step": int,
    "pytorch-lightning_version": str,
    "state_dict": dict,
    "hyper_parameters": dict,
    "datamodule_hyper_parameters": dict,
}
"""The keys that Lightning writes into every checkpoint, with their types."""

_OPTIONAL: dict[str, type] = {"loops": dict, "callbacks": dict, "optimizer_states": list, "lr_schedulers": list}
"""The keys that only checkpoints of a training have; it resumes with them."""


def _sound(content: dict[str, Any], name: str) -> bool:
    value = content.get(name)
    if name == "state_dict":
        return _are_tensors(value)
    if name in _OPTIONAL:
        return name not in content or isinstance(value, _OPTIONAL[name])
    if name == "pytorch-lightning_version":
        return isinstance(value, str) and re.fullmatch(r"\d+(\.\w+)*(\+.*)?", value) is not None
    return isinstance(value, _TYPES[name]) and not (isinstance(value, int) and value < 0)


def _are_tensors(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(part, torch.Tensor) for part in value.values())


def _described(hyper_parameters: dict[str, Any]) -> Described:
    arguments = {name: value for name, value in hyper_parameters.items() if not str(name).startswith("_")}
    return dict(current({"class_path": hyper_parameters.get("_class_path"), "init_args": arguments}))
