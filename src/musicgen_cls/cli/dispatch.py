"""Runs a command of our own: a function, whose parameters are the command's options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, auto_cli

from musicgen_cls.cli import configs
from musicgen_cls.cli.command import Command
from musicgen_cls.cli.command_line import check_text, option, split
from musicgen_cls.cli.messages import explain, spelled
from musicgen_cls.errors import SourceError, UsageError


def run(name: str, command: Command, args: Sequence[str]) -> Any:
    """Run a command.

    Args:
        name: of the command.
        command: its entry in the registry.
        args: the words of the command line after the name.

    Raises:
        UsageError: an argument is wrong.
    """
    function = command.load()
    parameters = inspect.signature(function).parameters
    flags = [name for name, parameter in parameters.items() if parameter.annotation in ("bool", bool)]
    options, alone = split(args, flags)
    check_text(alone)  # they go through the parser, which reads YAML
    options = configs.checked(options)[0]
    passed: list[str] = []
    if command.extends_fit:
        options, passed = _fit_options(options, {*parameters, "help", "h"})
    given = {"fit_options": passed, "config": option(options, "config")}
    given = {name: value for name, value in given.items() if name in parameters}
    with _source_errors():
        return auto_cli(
            _bound(function, given),
            [*_named(name, command, alone), *options],
            as_positional=False,
            parser_class=_Parser,
            config_help="settings in YAML: a file, or a name that musiccli configs lists.",
            print_config=None,
            prog=f"musiccli {name}",
            description=_purpose(function),
            usage=_usage(name, command),
            epilog=f"Example: {command.example}",
        )


def parsed(name: str, options: Mapping[str, tuple[Any, Any]], args: Sequence[str]) -> Any:
    """The values of options, by name.

    Args:
        name: of the command.
        options: type and default of each option.
        args: a command line of options with their values.

    Raises:
        UsageError: a value is of another type.
    """
    parser = _Parser(prog=f"musiccli {name}")
    for option_name, (kind, default) in options.items():
        parser.add_argument(f"--{option_name}", type=kind, default=default)
    return parser.parse_args(list(args))


class _Parser(ArgumentParser):
    """Reports an error in one line, and refuses empty values."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise `UsageError`."""
        from musicgen_cls import sources  # imports numpy, which most commands do not need to read their options

        added = ("help", "config", "print_shtab")
        own = sorted(a.dest for a in self._actions if a.dest not in added and not a.dest.endswith(".help"))
        reason = explain(message, own, [name for name in sources.__all__ if name not in ("Source", "Track")])
        if reason.startswith(("no option 'model", "no option 'data", "no option 'trainer")):  # in a file
            reason = f"--config: a config of fit; {self.prog.split()[-1]} takes {', '.join(own)} only"
        raise UsageError(reason) from ex

    def instantiate(self, namespace: Any, *args: Any, **options: Any) -> Any:
        """Make the objects, if a parameter takes a class; a class named within another value stays as it is written."""
        takes_class = any(action.dest.endswith(".help") for action in self._actions)
        return super().instantiate(namespace, *args, **options) if takes_class else namespace

    def parse_args(self, args: Any = None, *others: Any, **options: Any) -> Any:
        """Parse; raise `UsageError` for an empty value."""
        with spelled(args or ()):
            found = super().parse_args(args, *others, **options)
        if empty := next((name for name, value in vars(found).items() if value == ""), None):
            raise UsageError(f"--{empty}: the value is empty; give one, or leave the option out")
        return found


def _purpose(function: Callable[..., Any]) -> str:
    """The docstring up to its arguments."""
    return inspect.cleandoc(function.__doc__ or "").partition("\nArgs:")[0].strip()


def _usage(name: str, command: Command) -> str:
    words = [f"{word.upper()}" for word in command.positional]
    return " ".join(["musiccli", name, *words, "[OPTIONS]"])


def _named(name: str, command: Command, alone: Sequence[str]) -> list[str]:
    """The words without an option, each with the name of its parameter."""
    left, options = list(alone), []
    for parameter in command.positional:
        if left and parameter.endswith("..."):
            options.append(f"--{parameter.removesuffix('...')}={configs.dumped(left)}")
            left = []
        elif left:
            options.append(f"--{parameter}={left.pop(0)}")
    if left:
        hint = configs.hint(left[0])
        raise UsageError(f"'{left[0]}': {name} takes no such argument{hint}; see musiccli {name} --help")
    return options


def _fit_options(options: Sequence[str], own: Collection[str]) -> tuple[list[str], list[str]]:
    """Options of the command's own, and those of fit, each with their values."""
    ours: list[str] = []
    passed: list[str] = []
    taking = passed
    for arg in options:
        if arg.startswith("--") or arg == "-h":
            head = arg.lstrip("-").partition("=")[0].partition(".")[0].rstrip("+")
            taking = ours if head in own else passed
        taking.append(arg)
    return ours, passed


def _bound(function: Callable[..., Any], given: dict[str, Any]) -> Callable[..., Any]:
    """A function with some parameters given, which its signature no longer shows."""

    @wraps(function)
    def call(**options: Any) -> Any:
        return function(**options, **given)

    signature = inspect.signature(function)
    shown = [parameter for name, parameter in signature.parameters.items() if name not in given]
    call.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
    return call


@contextmanager
def _source_errors() -> Iterator[None]:
    """Name `--source` in the errors of sources, which name fit's `--data.source`."""
    try:
        yield
    except SourceError as error:
        raise SourceError(str(error).replace("--data.source", "--source")) from None
