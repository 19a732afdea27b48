"""What holds for a run of all tests: its processes, and where libraries keep what they make.

The fixtures that tests share are in shared_fixtures.py.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

import compiled_once

pytest.register_assert_rewrite("shared_fixtures")

# What is compiled, and code of models, lie in folders of each worker's own, and stay for the next run.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "alone")
_KEPT = Path(__file__).parents[1] / ".pytest_cache"
os.environ["HF_MODULES_CACHE"] = str(_KEPT / f"hub-{_WORKER}")
os.environ[compiled_once.VARIABLE] = str(_KEPT / f"numba-{_WORKER}")


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures; the process that only hands out tests compiles instead, which takes most of a minute."""
    if _WORKER == "alone" and config.getoption("numprocesses", None):
        compiled_once.begin(_KEPT / "numba")
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
    """pytest looks for garbage once more at the end; what is left by then need not be searched."""
    gc.freeze()
