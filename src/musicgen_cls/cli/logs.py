"""What is said on the screen beside results: our own notes, and of Lightning's what a user can act on."""

from __future__ import annotations

import logging
import re
import sys
import warnings

log = logging.getLogger("musicgen_cls")

LIGHTNING = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")


def quieten() -> None:
    """Silence what users can do nothing about; see to it that our own notes are seen."""
    for message in (
        ".*does not have many workers.*",  # slices of a memory map need none
        ".*Using `DistributedSampler` with the dataloaders.*",  # windows that it repeats are counted once
        ".*The number of training batches.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*predict returned None.*",  # for files that cannot be read
        ".*callbacks used to create the checkpoint need.*",  # to test, nothing need be stopped or saved
        ".*could not find the monitored key.*",  # where no validation has run yet: said once, at the end
        ".*You requested to overfit but enabled.*",
        ".*treespec, LeafSpec.*",  # Lightning's own business with torch
    ):
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("lightning.fabric.utilities.seed").setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_worth_saying)
    if not log.handlers:
        log.addHandler(logging.StreamHandler())
    for name in ("musicgen_cls", "lightning", "lightning.pytorch", "lightning.fabric"):
        for handler in logging.getLogger(name).handlers:
            if type(handler) is logging.StreamHandler:  # not one that writes to a file
                handler.stream = sys.stderr  # the one of today, where one process runs several commands


_IDLE = re.compile(
    r"Tip:|[GTHN]PU available|Restoring states|Restored all states|Loaded model weights|`Trainer\.\w+` stopped|"
    r"Detected KeyboardInterrupt|GLOBAL_RANK|was configured so"
)


def _worth_saying(record: logging.LogRecord) -> bool:
    """Whether a user can do anything about what Lightning says."""
    return not _IDLE.search(record.getMessage())
