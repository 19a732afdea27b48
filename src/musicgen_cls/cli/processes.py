"""The processes of one run, before they form a group."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from lightning.pytorch.utilities import rank_zero_only

_TOGETHER_S = 60.0  # processes that start at the same time import within it


def in_first_process(function: Callable[[], object]) -> None:
    """Call a function in the first process of a run only; if it fails there, the others end, too.

    Args:
        function: what the others wait for when they form a group.
    """
    try:
        rank_zero_only(function)()
    except Exception:
        _end_others()
        raise


def _end_others() -> None:
    """Open the port that the other processes connect to, and close it when all are there.

    They would try to connect for half an hour; a closed connection is an error at once. torchrun and Lightning end the
    processes that they started themselves.
    """
    world = os.environ.get("WORLD_SIZE", "1")
    if os.environ.get("RANK") != "0" or world == "1" or "TORCHELASTIC_RUN_ID" in os.environ:
        return
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    with suppress(RuntimeError, ValueError, KeyError):
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        TCPStore(address, port, int(world), is_master=True, timeout=timedelta(seconds=_TOGETHER_S))
