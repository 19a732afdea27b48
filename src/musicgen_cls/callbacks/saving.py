"""Checkpoint files, written whole."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.fabric.utilities.types import _PATH

from musicgen_cls.errors import CheckpointError
from musicgen_cls.files import writing


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint under a temporary name in its folder, and renames it when it is complete.

    A kill leaves no incomplete checkpoint, and a full disk does not destroy the earlier one. Lightning's own class
    writes to the system's temporary folder, so that its last step can be a copy between disks.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None) -> None:
        """Write a checkpoint to a local path."""
        buffer = BytesIO()
        torch.save(checkpoint, buffer)
        path = Path(path)
        try:
            with writing(path) as temporary:
                temporary.write_bytes(buffer.getbuffer())
        except OSError as error:
            raise CheckpointError(
                f"{path}: cannot be written ({error.strerror}); the earlier file is unchanged; free space and resume "
                "with --ckpt_path last, or set --trainer.logger.save_dir to another folder"
            ) from error
