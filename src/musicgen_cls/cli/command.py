"""What is known of a command before it is imported."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

FROM_START = "the same command starts from the beginning"


@dataclass(frozen=True)
class Command:
    """A command: one line of help, an example, and the function behind it."""

    purpose: str
    """One line for `musiccli --help`."""
    example: str
    function: str | None = None
    """`module:function`. The parameters of the function are the command's options, and its docstring is their help.
    None for a command of the trainer."""
    positional: tuple[str, ...] = ()
    """The parameters that words without an option are for, in order; `files...` takes all that are left."""
    extends_fit: bool = False
    """Whether options that the function lacks are options of fit: it gets them as `fit_options`."""
    stopped: str = "the same command resumes it"
    """What is printed where a signal stops the command, if the command itself says nothing better."""

    def load(self) -> Any:
        """The function."""
        assert self.function is not None
        module, _, name = self.function.partition(":")
        return getattr(import_module(module), name)
