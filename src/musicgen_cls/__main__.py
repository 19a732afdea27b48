"""The console script: it prints `--version` and `--help` without slow imports, and runs the commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from musicgen_cls import __version__
from musicgen_cls.cli import help
from musicgen_cls.cli.command import Command
from musicgen_cls.cli.command_line import allowing, asks_for, with_present_names
from musicgen_cls.cli.exit import exit_status, leaving_at_once, without_teardown
from musicgen_cls.commands import COMMANDS, RESTORE_TAGS
from musicgen_cls.errors import nearest

_FIRST = ("fit", "test", "predict", "judge", "export")  # the general help shows their examples


def root_help() -> str:
    """The output of `musiccli --help`."""
    commands = "\n".join(f"  {name:<11}{command.purpose}" for name, command in COMMANDS.items())
    examples = "\n".join(f"  {COMMANDS[name].example}" for name in _FIRST)
    return (
        "usage: musiccli [--help] [--version] COMMAND ...\n\nNeural networks on music genres.\n\n"
        f"commands:\n{commands}\n\n"
        f"musiccli COMMAND --help explains the options of a command. Examples:\n{examples}\n"
    )


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line (the one of the process if None); return the exit status."""
    name, *rest = [*(sys.argv[1:] if args is None else args)] or [""]
    if name in ("", "-h", "--help"):
        return exit_status(lambda: print(root_help(), end="")) or (0 if name else 2)
    if name in ("-V", "--version"):
        return exit_status(lambda: print(f"musiccli {__version__}"))
    if name not in COMMANDS:
        near = nearest(name, COMMANDS) or f"; the commands are {', '.join(COMMANDS)}"
        print(f"musiccli: error: no command '{name}'{near}", file=sys.stderr)
        return 2
    if name in help.COMMANDS and not {"-h", "--help"}.isdisjoint(rest):
        return exit_status(lambda: print(help.command_help(name), end=""))
    try:
        sys.path.append(str(Path.cwd()))  # for the user's classes in configs; Python leaves it out for console scripts
    except OSError:
        print("musiccli: error: the current folder is gone, or forbidden; change to another one", file=sys.stderr)
        return 2
    restores = name == "predict" and asks_for("restore_tags", rest)
    command = RESTORE_TAGS if restores else COMMANDS[name]
    return exit_status(lambda: _run(name, command, rest), command.stopped)


def _run(name: str, command: Command, args: Sequence[str]) -> None:
    with allowing(with_present_names(args)) as rest:
        if command.function is not None:
            with leaving_at_once():
                from musicgen_cls.cli import dispatch

                command.load()
            dispatch.run(name, command, rest)
        elif not _done_without_lightning(name, rest):
            with leaving_at_once():
                from musicgen_cls.cli.lightning import start
            start([name, *rest])


def _done_without_lightning(name: str, args: Sequence[str]) -> bool:
    """Predict, or prepare what is ready; False if that cannot be."""
    with leaving_at_once():
        if name == "predict":
            from musicgen_cls.commands.predict import predict as light
        elif name == "prepare":
            from musicgen_cls.cli.ready import print_again as light
        else:
            return False
    return light(args)


def script() -> int:
    """The console script `musiccli`."""
    return without_teardown(main)


if __name__ == "__main__":
    sys.exit(script())
