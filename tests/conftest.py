"""What holds for a run of all tests: its processes, and where libraries keep what they make.

The fixtures that tests share are in shared_fixtures.py.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.register_assert_rewrite("shared_fixtures")

# What numba compiles lies in a folder of each worker's own, before librosa is imported: two that compile the same at
# once would spoil it for both (numba issue 10128). It stays for the next run.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "alone")
_KEPT = Path(__file__).parents[1] / ".pytest_cache"
os.environ["HF_MODULES_CACHE"] = str(_KEPT / f"hub-{_WORKER}")  # the same for code
os.environ["NUMBA_CACHE_DIR"] = str(_KEPT / f"numba-{_WORKER}")

COMPILED = _KEPT / "numba"
"""What is compiled for all workers."""

COMPILE = [sys.executable, "-c", "from musicgen_cls.audio.compiled import compiled_librosa; compiled_librosa()"]


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures; the process that only hands out tests compiles instead, which takes most of a minute."""
    if _WORKER == "alone" and config.getoption("numprocesses", None):
        subprocess.Popen(COMPILE, env=os.environ | {"NUMBA_CACHE_DIR": str(COMPILED)})
    else:
        config.pluginmanager.import_plugin("shared_fixtures")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A process more than cores: there are tests that wait for a server or a process."""
    return 1 + (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def pytest_collection_finish() -> None:
    """What has been imported stays to the end; Python need not look for garbage in it time and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def pytest_sessionfinish() -> None:
    """Nor when all is done."""
    gc.freeze()
