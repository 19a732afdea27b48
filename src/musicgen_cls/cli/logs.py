"""Log messages on the screen: those of this package, and those of Lightning that a user can act on."""

from __future__ import annotations

import logging
import re
import sys
import warnings

log = logging.getLogger("musicgen_cls")

LIGHTNING = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")


def configure_logs() -> None:
    """Silence messages that users cannot act on, and show the messages of this package."""
    for message in (
        ".*does not have many workers.*",  # slices of a memory map need none
        ".*Using `DistributedSampler` with the dataloaders.*",  # repeated windows are counted once
        ".*The number of training batches.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*predict returned None.*",  # for unreadable files
        ".*callbacks used to create the checkpoint need.*",  # a test needs no early stopping and no checkpoints
        ".*could not find the monitored key.*",  # before the first validation
        ".*You requested to overfit but enabled.*",
        ".*in eval mode at the start of training.*",  # batch norm of pretrained networks
        ".*treespec, LeafSpec.*",  # between Lightning and torch
    ):
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("lightning.fabric.utilities.seed").setLevel(logging.WARNING)
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # `remote.failures` reports its failures, in one line
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_useful)
    if not log.handlers:
        log.addHandler(logging.StreamHandler())
    for name in ("musicgen_cls", "lightning", "lightning.pytorch", "lightning.fabric"):
        for handler in logging.getLogger(name).handlers:
            if type(handler) is logging.StreamHandler:  # not a handler that writes to a file
                handler.stream = sys.stderr  # the present stream, if one process runs several commands


_NOT_USEFUL = re.compile(
    r"Tip:|[GTHN]PU available|Restoring states|Restored all states|Loaded model weights|`Trainer\.\w+` stopped|"
    r"Detected KeyboardInterrupt|GLOBAL_RANK|was configured so|to estimate number of stepping|Using bfloat16"
)


def _is_useful(record: logging.LogRecord) -> bool:
    """Whether a user can act on a message of Lightning."""
    return not _NOT_USEFUL.search(record.getMessage())
