"""The end of a command: its exit status, one line for a user's error, and signals."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from musicgen_cls.cli.console import check_printed, consoles, print_line
from musicgen_cls.cli.messages import user_error
from musicgen_cls.errors import one_line


def without_teardown(main: Callable[[], int]) -> int:
    """Call the main function of a process, which then ends as soon as all exit functions have run.

    Python would then unload every library: torch reads 125 MB of its code for that, in 0.4 s.

    Args:
        main: returns the exit status. After an exception of it, the process ends as usual.
    """
    status: int | None = None

    def leave() -> None:
        if status is not None:
            with suppress(OSError, ValueError):  # Python says so at its own end if nobody reads the output
                for stream in (sys.stdout, sys.stderr):
                    print(end="", file=stream, flush=True)
                os._exit(status)

    atexit.register(leave)  # before all others, so that it runs after them
    status = main()
    return status


class Terminated(KeyboardInterrupt):
    """SIGTERM. It ends a command as Ctrl-C does: with its processes, and without partial files."""


def exit_status(command: Callable[[], object], stopped: str = "the same command resumes it") -> int:
    """Run a command and return its exit status: 0; 2 for a user's error, printed in one line; 128 + N for signal N.

    Args:
        command: the command.
        stopped: the advice to print if a signal stops it.
    """
    with consoles():
        try:
            with _terminable(), _silent_threads():
                command()
                check_printed()
        except (KeyboardInterrupt, SystemExit) as leaving:
            number = _signal(leaving)
            if number is None:
                raise
            print_line(f"musiccli: stopped; {_advice(leaving) or stopped}")
            return 128 + number
        except Exception as error:
            status = _failed(error, stopped)
            if status is None:
                raise
            return status
    return 0


def _failed(error: Exception, stopped: str) -> int | None:
    """The exit status of an error that a signal or a user caused; None for a fault of this package."""
    if (number := _signal(error)) is not None:  # a library turned the signal into another error
        print_line(f"musiccli: stopped; {stopped}")
        return 128 + number
    cause = user_error(error)
    if cause is None:
        return None
    if os.environ.get("LOCAL_RANK", "0") == "0":  # only one of several processes prints it
        print_line(f"musiccli: error: {one_line(cause)}")
    return 2


@contextmanager
def _terminable() -> Iterator[None]:
    """Turn SIGTERM into an exception."""

    def terminate(*_: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


@contextmanager
def _silent_threads() -> Iterator[None]:
    """Print no traceback when a thread cannot write, as TensorBoard's on a full disk: it tells the command, too."""
    before = threading.excepthook

    def report(raised: threading.ExceptHookArgs) -> None:
        if not isinstance(raised.exc_value, OSError):
            before(raised)

    threading.excepthook = report
    try:
        yield
    finally:
        threading.excepthook = before


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """End the process on SIGTERM or Ctrl-C while modules are imported, since libraries suppress exceptions there."""

    def leave(number: int, _: object) -> None:
        os.write(2, b"musiccli: stopped before it started\n")
        os._exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, leave) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal(leaving: BaseException) -> int | None:
    """The signal that stopped the process, or None; Lightning turns some signals into exits."""
    link: BaseException | None = leaving
    seen = set[int]()
    while link is not None and id(link) not in seen:  # an error can be its own cause
        seen.add(id(link))
        if isinstance(link, KeyboardInterrupt):
            return signal.SIGTERM if isinstance(link, Terminated) else signal.SIGINT
        link = link.__cause__ or link.__context__
    return None


def _advice(leaving: BaseException) -> str:
    """The advice on resuming that the command has added as a note."""
    return next(iter(getattr(leaving, "__notes__", ())), "")
