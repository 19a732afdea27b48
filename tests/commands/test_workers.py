"""Work in several processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from musicgen_cls.commands.workers import in_processes
from musicgen_cls.errors import UsageError


def double(number: int) -> int:
    return 2 * number


def die(number: int) -> int:
    os._exit(11)


def fail(number: int) -> int:
    raise ValueError(number)


@pytest.mark.parametrize("jobs", [1, 2, -1])
def test_results_come_in_order_and_as_they_come(jobs):
    assert list(in_processes(double, range(5), jobs)) == [0, 2, 4, 6, 8]
    assert sorted(in_processes(double, range(5), jobs, "as they come")) == [0, 2, 4, 6, 8]
    assert list(in_processes(double, [], jobs)) == []


def test_a_dead_process_is_one_line():
    with pytest.raises(UsageError, match=r"a worker process died.*--jobs 1"):
        list(in_processes(die, range(4), 2))
    assert list(in_processes(double, range(3), 2)) == [0, 2, 4]


def test_errors_of_the_work_stay_what_they_are():
    with pytest.raises(ValueError, match=r"0|1"):
        list(in_processes(fail, range(4), 2))


def test_processes_end_when_results_are_no_longer_used(tmp_path: Path):
    with closing(in_processes(double, range(200), 2)) as results:
        assert next(results) == 0
    with pytest.raises(StopIteration):
        next(results)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_a_signal_leaves_no_process_and_no_traceback(name: str, tmp_path: Path) -> None:
    code = """if True:
        import os, signal, sys, time
        from functools import partial
        from pathlib import Path
        from musicgen_cls.cli.exit import exit_status
        from musicgen_cls.commands.workers import in_processes
        signal.signal(signal.SIGINT, signal.default_int_handler)
        work = partial(exec, "import os, time, pathlib; pathlib.Path(str(os.getpid())).touch(); time.sleep(99)")
        sys.exit(exit_status(lambda: list(in_processes(work, [{}] * 4, 2)), "resume it"))"""
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    began = time.monotonic()
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() - began < 60:
        time.sleep(0.05)
    import signal

    number = getattr(signal, name)
    if name == "SIGINT":  # as a terminal sends it: to all
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    if name == "SIGKILL":
        assert process.returncode == -number
        time.sleep(2)
    else:
        assert process.returncode == 128 + number
        assert err == "musiccli: stopped; resume it\n"
    time.sleep(0.2)
    assert not [file.name for file in tmp_path.iterdir() if Path("/proc", file.name).exists()]
