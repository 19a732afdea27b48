"""Streams that fail, and what is printed to them."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from musicgen_cls.cli.console import Console, check_printed, consoles, print_line
from musicgen_cls.cli.exit import exit_status

CODE = """import sys
from pathlib import Path
from musicgen_cls.cli.exit import exit_status
sys.exit(exit_status(lambda: ({})))"""


def command(body: str, *, shell: str = "{}", env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run expressions as a command whose streams a shell leads somewhere."""
    line = shell.format(f'{sys.executable} -c "$BODY"')
    env = {**os.environ, **(env or {}), "BODY": CODE.format(body)}
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=env, check=False)


@pytest.mark.skipif(os.name != "posix", reason="pipes of a shell")
class TestStreams:
    def test_a_closed_pipe_loses_no_work_and_is_no_error(self, tmp_path):
        body = f"[print('x' * 999) for _ in range(999)], Path('{tmp_path}/done').touch()"
        done = command(body, shell="set -o pipefail; {} | head -1")
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / "done").exists()

    def test_a_closed_pipe_for_both(self, tmp_path):
        printing = "[print('x' * 999, file=f) for _ in range(999) for f in (sys.stdout, sys.stderr)]"
        body = f"{printing}, Path('{tmp_path}/d').touch()"
        done = command(body, shell="set -o pipefail; {} 2>&1 | head -1")
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / "d").exists()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
    def test_a_full_disk_is_reported(self, tmp_path):
        done = command(f"print('x'), Path('{tmp_path}/done').touch()", shell="{} > /dev/full")
        assert done.returncode == 2
        assert done.stderr.startswith("musiccli: error: standard output: cannot be written (No space left")
        assert (tmp_path / "done").exists()

    def test_no_output_at_all(self, tmp_path):
        done = command(f"print('x'), Path('{tmp_path}/done').touch()", shell="{} >&-")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "done").exists()

    def test_characters_that_the_terminal_does_not_have(self):
        done = command("print('日本 🎵 \\udce9')", env={"PYTHONIOENCODING": "ascii"})
        assert done.returncode == 0, done.stderr
        assert done.stdout == "\\u65e5\\u672c \\U0001f3b5 \\udce9\n"


def test_a_message_begins_a_line_of_its_own(capsys):
    def work() -> None:
        print("\r 50%|#####     |", end="", file=sys.stderr)
        raise KeyboardInterrupt

    assert exit_status(work, "it is stopped") == 130
    assert capsys.readouterr().err == "\r 50%|#####     |\nmusiccli: stopped; it is stopped\n"


def test_streams_are_put_back():
    before = sys.stdout, sys.stderr
    with consoles(), consoles():
        assert isinstance(sys.stdout, Console)
        assert not isinstance(sys.stdout.stream, Console)
        check_printed()
    assert (sys.stdout, sys.stderr) == before
    print_line("without a console too")


def test_a_stream_that_fails_is_given_up():
    class Failing(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    console = Console(Failing())
    assert console.write("a") == 1
    assert isinstance(console.failure, BrokenPipeError)
    console.write("b")
    console.flush()
