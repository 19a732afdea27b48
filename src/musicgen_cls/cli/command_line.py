"""Reads the arguments of a command line before any parser; nothing here is slow to import."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from musicgen_cls.errors import UsageError
from musicgen_cls.trust import ACCEPT_VARIABLE, trusting

_BOOLEANS = ("true", "false", "yes", "no", "on", "off", "1", "0")
_RENAMED = {
    "--data.takes": "--data.samples_per_prompt",
    "--takes": "--data.samples_per_prompt",
    "--genre": "--data.genre",
    "--from": "--local",
    "--wheel": "--local",
}
"""Older, shorter and other names of options. `from` cannot be the name of a parameter in Python."""


def with_present_names(args: Sequence[str]) -> list[str]:
    """A command line in which renamed options have their present names."""
    pairs = (arg.partition("=") for arg in args)
    return [f"{_RENAMED.get(name, name)}{equals}{value}" for name, equals, value in pairs]


def split(args: Sequence[str], flags: Collection[str]) -> tuple[list[str], list[str]]:
    """Separate options with their values from arguments without an option. A flag without a value gets `true`.

    Args:
        args: a command line without its command. All arguments after `--` are without an option.
        flags: names of boolean options, without their prefixes.

    Returns:
        The options with their values, and the arguments without an option.

    Raises:
        UsageError: an option that is not a flag has no value.
    """
    options: list[str] = []
    alone: list[str] = []
    left = list(args)
    while left:
        arg = left.pop(0)
        if arg == "--":
            return options, [*alone, *left]
        if not arg.startswith("-") or arg == "-":
            alone.append(arg)
            continue
        options.append(arg)
        if "=" in arg or is_help([arg]):
            continue
        if arg.rpartition(".")[2].removeprefix("--") in flags and (not left or left[0].lower() not in _BOOLEANS):
            options.append("true")
        elif not left or left[0].startswith("--"):
            raise UsageError(f"{arg}: has no value; give one, as {arg} VALUE")
        else:
            options.append(left.pop(0))
    return options, alone


def option(args: Sequence[str], name: str) -> str | None:
    """The value of `--name` in a command line; the last one if there are several."""
    found = None
    for i, arg in enumerate(args):
        if arg == f"--{name}" and i + 1 < len(args):
            found = args[i + 1]
        elif arg.startswith(f"--{name}="):
            found = arg.partition("=")[2]
    return found


def asks_for(flag: str, args: Sequence[str]) -> bool:
    """Whether a command line has a flag, and does not turn it off."""
    for arg, following in zip(args, [*args[1:], ""], strict=False):  # without arguments, only the second is not empty
        name, _, value = arg.partition("=")
        if name == f"--{flag}":
            return (value or following).lower() not in ("false", "no", "off", "0")
    return False


def is_help(args: Sequence[str]) -> bool:
    """Whether a command line asks for help or for the config, not for a run."""
    names = [arg.partition("=")[0] for arg in args]
    return any(name in ("-h", "--help", "--print_config") or name.endswith(".help") for name in names)


def take_files(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Remove every `--data.files a b c` from a command line: the other arguments, and the names of files.

    The names do not go through the parser, which would read a bracket as a list and a tilde as a home folder.
    """
    others: list[str] = []
    files: list[str] = []
    listing = False
    for arg in args:
        name, equals, value = arg.partition("=")
        if name == "--data.files":
            listing = True
            files += names_in(value) if equals else []
        elif listing and (not arg.startswith("-") or os.path.lexists(arg)):
            files += names_in(arg)
        else:
            listing = False
            others.append(arg)
    return others, files


def names_in(text: str) -> list[str]:
    """The name in a text; or the names in a YAML list, if no file has the text as its name."""
    if not text.startswith("[") or os.path.lexists(text):
        return [text] if text else []
    import yaml

    try:
        names = yaml.safe_load(text)
    except yaml.YAMLError:
        return [text]
    return [str(name) for name in names] if isinstance(names, list) else [text]


def check_text(args: Sequence[str]) -> None:
    """Raise `UsageError` for an argument that is not valid UTF-8, since settings are stored as UTF-8."""
    for arg in args:
        try:
            arg.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{arg!r}: not valid UTF-8, which settings need; rename that file") from None


@contextmanager
def allowing(args: Sequence[str]) -> Iterator[list[str]]:
    """Remove every `--trust MODULE` and `--accept_licence` from a command line, and apply them.

    They hold in the command and its processes.
    """
    rest, trust, accepted = list[str](), list[str](), False
    left = list(args)
    while left:
        arg = left.pop(0)
        name, equals, value = arg.partition("=")
        if name == "--trust":
            if not equals and (not left or left[0].startswith("-")):
                raise UsageError("--trust: has no value; name a module, such as --trust my_module")
            trust += (value if equals else left.pop(0)).split(",")
        elif name == "--accept_licence":
            value = value if equals else left.pop(0) if left and left[0].lower() in _BOOLEANS else "true"
            if value.lower() not in _BOOLEANS:
                raise UsageError(f"--accept_licence {value}: write it without a value, or with true or false")
            accepted = _BOOLEANS.index(value.lower()) % 2 == 0
        else:
            rest.append(arg)
    before = os.environ.get(ACCEPT_VARIABLE)
    if accepted:
        os.environ[ACCEPT_VARIABLE] = "1"
    try:
        with trusting(trust):
            yield rest
    finally:
        os.environ.pop(ACCEPT_VARIABLE, None)
        if before is not None:
            os.environ[ACCEPT_VARIABLE] = before
