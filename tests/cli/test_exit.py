from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from musicgen_cls.cli.exit import exit_status
from musicgen_cls.cli.messages import explain, user_error
from musicgen_cls.errors import AudioError, UsageError, one_line


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def test_the_innermost_of_our_errors_is_printed() -> None:
    inner = AudioError("a.wav: silent")
    outer = raised(ValueError("Does not validate"), raised(UsageError("wrapped"), raised(TypeError("x"), inner)))
    assert user_error(outer) is inner


def test_errors_of_our_own_making_are_not_hidden() -> None:
    assert user_error(raised(KeyError("bug"), ZeroDivisionError())) is None
    assert user_error(OSError(errno.EIO, "the disk is broken")) is None


def test_folders_that_cannot_be_written_are_named() -> None:
    told = user_error(raised(RuntimeError("saving"), OSError(errno.ENOSPC, "No space left on device", "/full/x.ckpt")))
    assert "/full/x.ckpt: cannot be written (No space left on device)" in str(told)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RuntimeError("[gloo/transport/tcp/pair.cc:538] Read error: Connection reset by peer"),
            "another process of this run",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
            "not enough memory",
        ),
        (MemoryError(), "not enough memory"),
        (ModuleNotFoundError("Requirement 'x>=1' not met. HINT: Try running `pip install x`"), "not met"),
    ],
)
def test_errors_of_libraries(error: Exception, said: str) -> None:
    assert said in str(user_error(raised(error)))


@pytest.mark.parametrize(
    ("main", "status", "output"),
    [
        ("3", 3, "written\nexit function\n"),
        ("0", 0, "written\nexit function\n"),
        ("sys.exit(4)", 4, "written\nexit function\nteardown\n"),
        ("1 / 0", 1, "written\nexit function\nteardown\n"),
    ],
)
def test_a_process_ends_after_its_exit_functions(main: str, status: int, output: str) -> None:
    code = f"""
import atexit, os, sys
from musicgen_cls.cli.exit import without_teardown

class Library:
    def __del__(self, write=os.write):
        write(1, b"teardown\\n")

def main():
    sys.library = Library()
    print("written")
    atexit.register(print, "exit function", flush=True)
    return {main}

sys.exit(without_teardown(main))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (status, output)
    assert ("ZeroDivisionError" in ended.stderr) == (main == "1 / 0")


def test_ours_goes_before_the_systems() -> None:
    ours = raised(UsageError("out: give another folder"), OSError(errno.EROFS, "Read-only file system"))
    assert user_error(ours) is ours


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C raises, also where the tests run as a job in the background, which a shell lets ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("swallowed", [False, True])
def test_a_signal_ends_a_command_with_its_number(
    name: str, swallowed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        try:
            os.kill(os.getpid(), getattr(signal, name))
            time.sleep(10)
        except KeyboardInterrupt:
            if swallowed:  # as Lightning does
                sys.exit(1)
            raise

    before = signal.getsignal(signal.SIGTERM)
    assert exit_status(command, "begin anew") == 128 + getattr(signal, name)
    assert signal.getsignal(signal.SIGTERM) == before
    assert capsys.readouterr().err == "musiccli: stopped; begin anew\n"


def test_an_exit_of_the_command_is_kept() -> None:
    with pytest.raises(SystemExit):
        exit_status(lambda: sys.exit(0))


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Option 'widht' is not accepted", "no option 'widht'; did you mean 'width'?"),
        ("Unrecognized arguments: --data.sorce x", "no option '--data.sorce'; did you mean 'source'?"),
        (
            "Option 'width' is not accepted",
            "no option 'width' here: the class or command does not take it",
        ),
        (
            'Parser key "network":\n - Expected a dot import path string: VGGG',
            "network: no class 'VGGG'; did you mean 'VGG'?",
        ),
        ("Parser key \"n\": Expected a <class 'int'>. Got value: x", "n: 'x' is not a whole number"),
        ("the following arguments are required: out", "missing: out; musiccli COMMAND --help explains it"),
        (
            "Parser key \"source\": Given value: NestedArg(key='root', val='x')",
            "name the class before its arguments, --source before --source.root",
        ),
        ("something\n  else", "something else"),
    ],
)
def test_messages_of_parsers(message: str, said: str) -> None:
    assert explain(message, ["width", "source"], ["VGG", "CNN5"]) == said


def test_one_line() -> None:
    assert one_line(" a\n  b\tc ") == "a b c"


def test_an_error_that_is_its_own_cause_ends_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        error = UsageError("--out x: wrong")
        raise error from error

    assert exit_status(fail) == 2
    assert capsys.readouterr().err == "musiccli: error: --out x: wrong\n"
