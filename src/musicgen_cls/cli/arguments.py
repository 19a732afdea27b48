"""The arguments of a command line: the parser, and what is read from them before it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

import yaml
from jsonargparse import _actions, _typehints, _util
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser

from musicgen_cls.callbacks.resuming import LastingStop
from musicgen_cls.cli.exit import explain
from musicgen_cls.cli.help import class_help
from musicgen_cls.cli.registry import BY_OPTION, CLASSES
from musicgen_cls.errors import UsageError
from musicgen_cls.specs import class_path

_class_path_by_name = _typehints.resolve_class_path_by_name


def _ours_first(cls: Any, name: str) -> str:
    """The path of a class by its short name: ours, whatever others of that name have been imported by then."""
    ours = CLASSES.get(name)
    fits = ours is not None and isinstance(cls, type) and issubclass(ours, cls)
    return class_path(CLASSES[name]) if fits else _class_path_by_name(cls, name)


# jsonargparse has no setting for these. It refuses a short name that classes of several packages have.
_typehints.resolve_class_path_by_name = _ours_first
# It takes a value that is the name of a file for the file's content, and shows that content in its errors.
vars(_actions)["parse_value_or_config"] = partial(_util.parse_value_or_config, enable_path=False)
setattr(_typehints.ActionTypeHint, "_enable_path", property(lambda self: False, lambda self, value: None))  # noqa: B010


class MusicParser(LightningArgumentParser):
    """Tells a mistake in one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise `UsageError` instead of printing the usage and leaving the process."""
        raise UsageError(explain(message, option_names(), CLASSES)) from ex


def option(args: Sequence[str], name: str) -> str | None:
    """The value that a command line gives to `--name`; the last if there are several."""
    found = None
    for i, arg in enumerate(args):
        if arg == f"--{name}" and i + 1 < len(args):
            found = args[i + 1]
        elif arg.startswith(f"--{name}="):
            found = arg.partition("=")[2]
    return found


def option_names() -> set[str]:
    """Every argument of trainer and classes, and ours, to find the one that a misspelt name stands for."""
    own = {"config", "ckpt_path", "out", "test_after_fit", "seed_everything", "checkpoint", "early_stopping"}
    classes = (*CLASSES.values(), Trainer, ModelCheckpoint, LastingStop)
    return own.union(*(inspect.signature(cls).parameters for cls in classes))


def is_help(args: Sequence[str]) -> bool:
    """Whether a command line asks for help or for the config, not for a run."""
    names = [arg.partition("=")[0] for arg in args]
    return any(name in ("-h", "--help", "--print_config") or name.endswith(".help") for name in names)


def take_files(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take every `--data.files a b c` out of a command line: the other arguments, and the names.

    They do not go through the parser: a name that begins with a bracket or a tilde is no list and no home folder.
    """
    others: list[str] = []
    files: list[str] = []
    listing = False
    for arg in args:
        name, equals, value = arg.partition("=")
        if name == "--data.files":
            listing = True
            files += _listed(value) if equals else []
        elif listing and (not arg.startswith("-") or os.path.lexists(arg)):
            files += _listed(arg)
        else:
            listing = False
            others.append(arg)
    return others, files


def _listed(text: str) -> list[str]:
    """The name that was given, or the names in a list written as YAML where no file has that name."""
    if not text.startswith("[") or os.path.lexists(text):
        return [text] if text else []
    try:
        names = yaml.safe_load(text)
    except yaml.YAMLError:
        return [text]
    return [str(name) for name in names] if isinstance(names, list) else [text]


def check_text(args: Sequence[str]) -> None:
    """Raise `UsageError` for an argument that is no text, since settings are kept as UTF-8."""
    for arg in args:
        try:
            arg.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{arg!r}: not valid UTF-8, so no setting can hold it; rename that file") from None


def scored_checkpoint(command: str, args: Sequence[str], settings: Sequence[dict[str, Any]]) -> str:
    """The checkpoint named on the command line, else in a config."""
    path = option(args, "ckpt_path") or next((s["ckpt_path"] for s in reversed(settings) if s.get("ckpt_path")), None)
    if path is None:
        raise UsageError(f"{command} needs --ckpt_path FILE, a checkpoint; without one it would score random weights")
    if not isinstance(path, str):
        raise UsageError(f"ckpt_path {path!r:.100}: not the name of a file; name a .ckpt file that fit wrote")
    return path


def asked_class(args: Sequence[str]) -> str | None:
    """The help that a command line asks for with `--data.help CLASS` and the like; None for any other command line."""
    for arg, after in zip(args, (*args[1:], ""), strict=False):
        name, equals, value = arg.partition("=")
        place = name.removeprefix("--").removesuffix(".help")
        if name == f"--{place}.help" and place in BY_OPTION:
            known = {cls.__name__: cls for cls in BY_OPTION[place]}
            wanted = (value if equals else after).rpartition(".")[2]
            if wanted in known:
                return class_help(known[wanted], f"--{place}")
            return f"--{place}.help CLASS explains one of: {', '.join(known)}\n"
    return None
