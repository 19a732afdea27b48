"""Several processes that train one network."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def of_all_processes(rows: Tensor) -> Tensor:
    """The rows of all processes, `[rows, ...]`, in the order of the processes; each can have another number of rows.

    Counts and statistics that a network keeps in buffers need them: with DDP every step begins with the buffers of the
    first process.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return rows
    from torchmetrics.utilities.distributed import gather_all_tensors

    return torch.cat(gather_all_tensors(rows))
