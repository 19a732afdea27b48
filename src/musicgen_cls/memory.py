"""Memory that this process keeps between training steps, instead of giving it back to the system after each.

The C library glibc asks the system for new pages for every large tensor and returns them when the tensor is freed. Each
training step then pays a page fault for every 4 kB of its activations: up to half of its time on a virtual machine.
`keep_memory` changes three settings of glibc's allocator, so that freed memory stays with the process and serves the
next step. The computed values do not change. The size of the process stays at its peak, which docs/speed.md lists.

The settings do not affect memory maps (the store of decoded audio, mapped checkpoints), which do not come from the
allocator; worker processes, which do not call `keep_memory`; GPU memory. Each thread keeps its own arena, as before.

On other C libraries (musl, macOS, Windows) nothing is changed.
"""

from __future__ import annotations

import ctypes
import os
from typing import NamedTuple

from musicgen_cls.errors import UsageError

KEEP_VARIABLE = "MUSICGEN_CLS_KEEP_MEMORY"


class Setting(NamedTuple):
    """A parameter of mallopt(3)."""

    number: int
    """Number in malloc.h."""
    value: int
    """Value, a C int."""
    names: tuple[str, ...]
    """Names of glibc's tunables that have the same effect; `mmap_max` is also MALLOC_MMAP_MAX_."""


SETTINGS = (
    # M_MMAP_MAX: no tensor gets its own memory map, which would be returned as soon as the tensor is freed.
    Setting(-4, 0, ("mmap_max", "mmap_threshold")),
    # M_TRIM_THRESHOLD: -1 never returns the end of the heap. 8 GiB would be enough, but a C int ends at 2 GiB.
    Setting(-1, -1, ("trim_threshold",)),
    # M_TOP_PAD: the heap grows by 256 MiB at a time. This is address space; a page counts once it is written to.
    Setting(-2, 256 << 20, ("top_pad",)),
)


def keep_memory() -> bool:
    """Let this process keep freed memory for its next tensors; return whether it does. More calls change nothing.

    Call it before the first large tensor. `MUSICGEN_CLS_KEEP_MEMORY=0` in the environment turns it off. A setting
    of the user for glibc, in a variable such as `MALLOC_TOP_PAD_` or in `GLIBC_TUNABLES`, stays as it is.

    Raises:
        UsageError: the variable has a value other than 0 and 1.
    """
    wanted = os.environ.get(KEEP_VARIABLE) or "1"
    if wanted not in ("0", "1"):
        raise UsageError(f"{KEEP_VARIABLE}={wanted}: must be 1 (keep freed memory, the default) or 0 (return it)")
    if wanted == "0" or not _has_glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    for setting in SETTINGS:
        if not any(_set_by_user(name) for name in setting.names):
            mallopt(setting.number, setting.value)
    return True


def _has_glibc() -> bool:
    """Whether the C library is glibc."""
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (AttributeError, ValueError, OSError):
        return False


def _set_by_user(name: str) -> bool:
    """Whether the environment has a value for one of glibc's tunables `glibc.malloc.NAME`."""
    tunables = os.environ.get("GLIBC_TUNABLES", "").split(":")
    alias = f"MALLOC_{name.upper()}_"
    return bool(os.environ.get(alias)) or any(tunable.startswith(f"glibc.malloc.{name}=") for tunable in tunables)
