"""Standard output and error as commands need them: nothing that happens to a screen or a pipe loses work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from musicgen_cls.errors import UsageError


class Console:
    """A text stream that outlives a closed pipe, and writes characters that it cannot encode as escapes.

    Args:
        stream: standard output or error.
    """

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream
        self.line_open = False
        """Whether the last thing written was no end of a line, as a progress bar."""
        self.failure: OSError | None = None
        with suppress(AttributeError, OSError, ValueError):  # what stands in for a stream in tests has no encoding
            stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write; after the reader has closed the pipe, write nothing."""
        if text:
            self.line_open = not text.endswith(("\n", "\x1b[A"))
        self._try(self.stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Flush, likewise."""
        self._try(self.stream.flush)

    def _try(self, action: Callable[..., object], *args: str) -> None:
        if self.failure is None:
            try:
                action(*args)
            except OSError as error:  # a closed pipe, as of `| head`; or a full disk, which is reported after the work
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Lead what is still buffered, and all that comes, to nowhere: Python would fail again when it exits."""
        self.failure = error
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)
            self.stream.flush()

    def end_line(self) -> None:
        """Begin a new line if one is open, so that a message does not stand behind a progress bar."""
        if self.line_open:
            self.write("\n")


@contextmanager
def consoles() -> Iterator[None]:
    """Put `Console` in place of both streams."""
    before = sys.stdout, sys.stderr
    own = [stream if stream is None or isinstance(stream, Console) else Console(stream) for stream in before]
    sys.stdout, sys.stderr = own
    try:
        yield
    finally:
        for console in own:
            if console is not None:
                console.flush()
        sys.stdout, sys.stderr = before


def say(message: str) -> None:
    """Print a line on standard error, on a line of its own even where a progress bar stands."""
    for console in (sys.stdout, sys.stderr):
        if isinstance(console, Console):
            console.end_line()
    print(message, file=sys.stderr)


def check_printed() -> None:
    """Raise `UsageError` if standard output could not be written, for another reason than a pipe that was closed."""
    if isinstance(sys.stdout, Console):
        sys.stdout.flush()
        failure = sys.stdout.failure
        if failure is not None and not isinstance(failure, BrokenPipeError):
            raise UsageError(f"standard output: cannot be written ({failure.strerror}); the files are written")
