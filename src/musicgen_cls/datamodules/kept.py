"""Spectrograms of windows that are the same in each epoch: computed once, and kept in a file while a training runs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

_SHARE = 0.25  # of the free disk that a file may take
_LEAST = 8  # windows; fewer are computed each time


class KeptRows:
    """Rows that a function computes once; later they are read from a temporary file.

    The file has no name, so the system deletes it when the process ends. Its size is reserved at the start, so that no
    later write fails. Without enough free space there is no file, and every row is computed each time.

    Args:
        number: number of rows.
        folder: where the file is.
    """

    def __init__(self, number: int, folder: Path) -> None:
        self.number, self.folder = number, folder
        self.known = torch.zeros(number, dtype=torch.bool)
        self.rows: Tensor | None = None
        self._file: BinaryIO | None = None

    def __call__(self, index: Tensor, items: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """The rows of a batch, float32 `[batch, ...]`.

        Args:
            index: numbers of the rows, int64 `[batch]`.
            items: what they are computed from, `[batch, ...]`.
            compute: from items to rows; the row of an item does not depend on the other items.
        """
        known = self.known[index]
        if known.all():
            assert self.rows is not None
            return self.rows[index]
        if known.any():
            assert self.rows is not None
            new = compute(items[~known])
            self._keep(index[~known], new)
            return self.rows[index]
        found = compute(items)
        self._keep(index, found)
        return found

    def _keep(self, index: Tensor, rows: Tensor) -> None:
        if self.rows is None:
            self.rows = self._space(rows)
        if self.rows is not None:
            self.rows[index] = rows.detach()
            self.known[index] = True

    def _space(self, like: Tensor) -> Tensor | None:
        """All rows, in a file; None if it would take too much of the disk."""
        shape = (self.number, *like.shape[1:])
        size = 4 * int(np.prod(shape))
        try:
            if self.number < _LEAST or size > _SHARE * shutil.disk_usage(self.folder).free:
                return None
            self._file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115  it is open as long as the rows are
            os.posix_fallocate(self._file.fileno(), 0, size)
        except (OSError, AttributeError):  # a read-only disk, or a system without this function
            self._file = None
            return None
        return torch.from_numpy(np.memmap(self._file, np.float32, "r+", shape=shape))
