"""Description of a command, before it is imported."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

FROM_START = "the same command runs again from the start"


@dataclass(frozen=True)
class Command:
    """A command: one line of help, an example, and its function."""

    purpose: str
    """One line for `musiccli --help`."""
    example: str
    function: str | None = None
    """`module:function`. The parameters of the function are the command's options, and its docstring is their help.
    None for a command of the trainer."""
    positional: tuple[str, ...] = ()
    """The parameters of arguments without an option, in order; `files...` takes all remaining ones."""
    extends_fit: bool = False
    """Whether options that the function lacks are options of fit, which it gets as `fit_options`."""
    stopped: str = "the same command resumes it"
    """The advice that is printed when a signal stops the command, unless the command has its own."""

    def load(self) -> Any:
        """The function."""
        assert self.function is not None
        module, _, name = self.function.partition(":")
        return getattr(import_module(module), name)
