"""Checkpoints: written whole, and asked what they say of themselves, enough to rebuild model and input."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.fabric.utilities.types import _PATH
from lightning.pytorch import LightningDataModule, LightningModule

from musicgen_cls.errors import CheckpointError, UsageError, counted
from musicgen_cls.files import as_path, writing
from musicgen_cls.specs import current
from musicgen_cls.trust import check_described

Described = dict[str, Any]
"""A class and its arguments in plain form: `{"class_path": ..., "init_args": {...}}`."""


@dataclass(frozen=True)
class Checkpoint:
    """The plain facts in a checkpoint file, checked."""

    path: Path
    model: Described
    data: Described
    epoch: int
    """Number of the last epoch that it was trained in, from 0."""
    steps: int
    """How many steps of the optimiser it was trained for."""
    trained_on: frozenset[str] = frozenset()
    """Digests of the tracks that it was trained and selected on."""
    leaks: tuple[str, ...] = ()
    """The leaks of its split, in words."""

    @property
    def genres(self) -> list[str]:
        """Names of the classes, in label order."""
        return list(self.data["init_args"]["genres"])

    @property
    def training(self) -> str:
        """How long it was trained, in words."""
        return trained(self.steps, self.epoch + 1)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints beside their place and renames them: no kill leaves half of one, no full disk takes the old.

    Lightning's own writes in the system's temporary folder, from where a move can be a copy.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None) -> None:
        """Write a checkpoint to a local path."""
        buffer = BytesIO()
        torch.save(checkpoint, buffer)
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with writing(path) as temporary:
                temporary.write_bytes(buffer.getbuffer())
        except OSError as error:
            raise CheckpointError(
                f"{path}: cannot be written ({error.strerror}); what was there stays: free space, and go on with "
                "--ckpt_path last, or train into another folder with --trainer.logger.save_dir"
            ) from error


def trained(steps: int, epochs: int) -> str:
    """How long a network was trained, in words."""
    return f"trained for {counted(steps, 'step')} in {counted(epochs, 'epoch')}"


def read_checkpoint(path: str | PathLike[str], option: str = "--ckpt_path", trust: Collection[str] = ()) -> Checkpoint:
    """Read what a checkpoint holds beside its weights. The whole file is checked, and no class of others is imported.

    Args:
        path: the file.
        option: the argument that names it, for errors.
        trust: modules outside this package whose classes it may name.

    Raises:
        CheckpointError: there is no such file, it is damaged, this package did not write it, or it names a class of a
            module that is not trusted.
    """
    path = as_path(path, option)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; name a .ckpt file that fit wrote")
    content = load_content(path)
    if not isinstance(content, dict) or (wrong := next((name for name in _TYPES if not _sound(content, name)), None)):
        what = "" if not isinstance(content, dict) else f" ('{wrong}' is missing, or of another type)"
        raise CheckpointError(f"{path}: a checkpoint of something else; this musicgen_cls did not write it{what}")
    model, data = (_described(content[name]) for name in ("hyper_parameters", "datamodule_hyper_parameters"))
    try:
        check_described(model, LightningModule, trust)
        data_class = check_described(data, LightningDataModule, trust)
    except UsageError as error:
        raise CheckpointError(f"{path}: {error}") from None
    genres = data["init_args"].get("genres")
    if not isinstance(genres, list) or not genres or not all(isinstance(genre, str) for genre in genres):
        raise CheckpointError(f"{path}: a checkpoint of something else; it names no genres")
    state = content.get(data_class.__qualname__)
    trained_on, leaks = (_texts(path, state, *names) for names in (("trained_on", "heard"), ("leaks",)))
    return Checkpoint(path, model, data, content["epoch"], content["global_step"], frozenset(trained_on), tuple(leaks))


def _texts(path: Path, state: Any, *names: str) -> list[str]:
    """A list of strings in the state of a datamodule, under the first of its names that is there."""
    state = state if isinstance(state, dict) else {}
    found: Any = next((state[name] for name in names if name in state), [])
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise CheckpointError(f"{path}: damaged: its '{names[0]}' is no list of strings; use another checkpoint")
    return found


def load_content(path: Path, device: torch.device | str = "cpu") -> Any:
    """Everything in a checkpoint file, as primitives and tensors; the sums in the file are checked first.

    Raises:
        CheckpointError: it is damaged, or no checkpoint.
    """
    try:
        with ZipFile(path) as archive:  # torch itself does not compare the sums that it writes
            damaged = archive.testzip()
        content = None if damaged else torch.load(path, map_location=device, weights_only=True, mmap=True)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be opened ({error.strerror})") from error
    except Exception as error:  # zipfile and torch raise a dozen kinds for a damaged file
        raise CheckpointError(
            f"{path}: not a checkpoint that can be read; damaged, cut short, or another file"
        ) from error
    if damaged:
        raise CheckpointError(f"{path}: not a checkpoint that can be read; damaged in its part {damaged}")
    return content


_TYPES: dict[str, type] = {
    "epoch": int,
    "global_step": int,
    "pytorch-lightning_version": str,
    "state_dict": dict,
    "hyper_parameters": dict,
    "datamodule_hyper_parameters": dict,
}
"""What Lightning writes into every checkpoint and reads back, by its type."""


def _sound(content: dict[str, Any], name: str) -> bool:
    value = content.get(name)
    if name == "state_dict":
        return isinstance(value, dict) and all(isinstance(part, torch.Tensor) for part in value.values())
    return isinstance(value, _TYPES[name]) and not (isinstance(value, int) and value < 0)


def _described(hyper_parameters: dict[str, Any]) -> Described:
    arguments = {name: value for name, value in hyper_parameters.items() if not str(name).startswith("_")}
    return dict(current({"class_path": hyper_parameters.get("_class_path"), "init_args": arguments}))
