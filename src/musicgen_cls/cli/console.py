"""Standard output and error: a closed pipe or a full disk does not stop the work of a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from musicgen_cls.errors import UsageError


class Console:
    """A text stream that accepts a closed pipe, and writes characters that it cannot encode as escapes.

    Args:
        stream: standard output or error.
    """

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream
        self.line_open = False
        """Whether the last output did not end a line, as with a progress bar."""
        self.failure: OSError | None = None
        with suppress(AttributeError, OSError, ValueError):  # streams in tests can have no encoding
            stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write; do nothing after the reader has closed the pipe."""
        if text:
            self.line_open = not text.endswith(("\n", "\x1b[A"))
        self._try(self.stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Flush; do nothing after the reader has closed the pipe."""
        self._try(self.stream.flush)

    def _try(self, action: Callable[..., object], *args: str) -> None:
        if self.failure is None:
            try:
                action(*args)
            except OSError as error:  # a closed pipe, as with `| head`; or a full disk, which is reported at the end
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Discard buffered and later output, since Python would fail again when it exits."""
        self.failure = error
        with suppress(OSError, ValueError, AttributeError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.stream.fileno())
            os.close(null)
            self.stream.flush()

    def end_line(self) -> None:
        """End an open line, so that a message does not continue the line of a progress bar."""
        if self.line_open:
            self.write("\n")


@contextmanager
def consoles() -> Iterator[None]:
    """Replace both streams by `Console` objects."""
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


def print_line(message: str) -> None:
    """Print a message on standard error, on its own line even if there is a progress bar."""
    for console in (sys.stdout, sys.stderr):
        if isinstance(console, Console):
            console.end_line()
    print(message, file=sys.stderr)


def check_printed() -> None:
    """Raise `UsageError` if standard output could not be written, except for a closed pipe."""
    if isinstance(sys.stdout, Console):
        sys.stdout.flush()
        failure = sys.stdout.failure
        if failure is not None and not isinstance(failure, BrokenPipeError):
            raise UsageError(
                f"standard output: cannot be written ({failure.strerror}); the result files are complete; free space"
            )
