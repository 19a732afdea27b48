"""Command lines in copies of this process: they need not import again what it has imported."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch


class Fork:
    """A function in a copy of this process, with output and errors of its own; what it returns is the exit status."""

    def __init__(self, function: Callable[[], int], cwd: Path, **env: str) -> None:
        self._files = [tempfile.TemporaryFile("w+", encoding="utf-8") for _ in range(2)]  # noqa: SIM115
        self._process = multiprocessing.get_context("fork").Process(target=self._run, args=(function, cwd, env))
        self._process.start()

    def _run(self, function: Callable[[], int], cwd: Path, env: dict[str, str]) -> None:
        for number, file in enumerate(self._files, start=1):
            os.dup2(file.fileno(), number)
        sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
        os.chdir(cwd)
        os.environ.update(env)
        tempfile.tempdir = None  # so that TMPDIR counts
        signal.signal(signal.SIGINT, signal.default_int_handler)
        torch.set_num_threads(1)  # the threads of the process that was copied are not in the copy
        sys.exit(function())

    @property
    def pid(self) -> int:
        """The number of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def first_line(self, timeout: float = 60) -> str:
        """The first line of the output, as soon as it is there."""
        end = time.monotonic() + timeout
        while "\n" not in self._texts()[0]:
            assert self._process.is_alive(), self._texts()
            assert time.monotonic() < end, self._texts()
            time.sleep(0.02)
        return self._texts()[0].splitlines(keepends=True)[0]

    def wait(self, timeout: float = 300) -> tuple[int, str, str]:
        """Status, output and errors, after the end."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
            raise TimeoutError(self._texts())
        return self._process.exitcode, *self._texts()

    def _texts(self) -> tuple[str, str]:
        return tuple(os.pread(file.fileno(), 1 << 24, 0).decode() for file in self._files)  # type: ignore[return-value]
