"""Checkpoints: written whole, and asked what they say of themselves, enough to rebuild model and input."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.fabric.utilities.types import _PATH

from musicgen_cls.errors import CheckpointError
from musicgen_cls.paths import writing
from musicgen_cls.plain import resolve

Described = dict[str, Any]
"""A class and its arguments in plain form: `{"class_path": ..., "init_args": {...}}`."""


@dataclass(frozen=True)
class Checkpoint:
    """The plain facts in a checkpoint file."""

    path: Path
    model: Described
    data: Described
    epoch: int

    @property
    def genres(self) -> list[str]:
        """Names of the classes, in label order."""
        return list(self.data["init_args"]["genres"])


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


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read what a checkpoint holds beside its weights.

    Raises:
        CheckpointError: there is no such file, it is damaged, or this package did not write it.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; name a .ckpt file that fit wrote")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        raise CheckpointError(
            f"{path}: not a checkpoint that can be read; damaged, cut short, or another file"
        ) from error
    try:
        model, data = content["hyper_parameters"], content["datamodule_hyper_parameters"]
        for described in (model, data):
            if not described["_class_path"].startswith("musicgen_cls."):
                raise KeyError(described["_class_path"])
            resolve(described["_class_path"])  # Lightning only rebuilds classes already imported
        checkpoint = Checkpoint(path, _described(model), _described(data), int(content["epoch"]))
        if not checkpoint.genres:
            raise KeyError("genres")
    except (KeyError, TypeError, IndexError, AttributeError, ImportError, ValueError) as error:
        raise CheckpointError(f"{path}: a checkpoint of something else; this musicgen_cls did not write it") from error
    return checkpoint


def _described(hyper_parameters: dict[str, Any]) -> Described:
    arguments = {name: value for name, value in hyper_parameters.items() if not name.startswith("_")}
    return {"class_path": hyper_parameters["_class_path"], "init_args": arguments}
