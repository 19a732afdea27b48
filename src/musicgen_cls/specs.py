"""Objects as class paths and plain arguments: the form in which checkpoints store them."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Mapping
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from types import MappingProxyType
from typing import Any

from musicgen_cls.errors import UsageError

DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
"""A dotted path, such as `package.module.Class`."""


def plain(value: Any) -> Any:
    """A value as primitives, as in a config file.

    Classes, partial classes and instances become `{"class_path": ..., "init_args": {...}}`. An instance must have an
    attribute for each argument of its `__init__`, with the same name.

    Raises:
        UsageError: the value is a function, or an instance lacks an attribute.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, type):
        return _described(value, {})
    if isinstance(value, partial):  # jsonargparse puts the class among the positional arguments
        cls = (value.func, *value.args)[-1]
        if isinstance(cls, type):
            return _described(cls, value.keywords)
    if inspect.isfunction(value) or isinstance(value, partial):
        raise UsageError(f"{value}: give a class or a functools.partial of one; a checkpoint cannot store a function")
    return _described(type(value), init_arguments(value))


def init_arguments(instance: Any, known: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """The arguments with which an instance was made, in plain form.

    Args:
        instance: an instance of any class.
        known: values of arguments; all others are read from the attributes of the same names.

    Raises:
        UsageError: there is no attribute with the name of an argument.
    """
    names = list(arguments_of(type(instance)))
    if missing := [name for name in names if name not in known and not hasattr(instance, name)]:
        raise UsageError(
            f"{type(instance).__name__}: has no attribute with the name of its argument '{missing[0]}', which "
            f"checkpoints need; set self.{missing[0]} before super().__init__()"
        )
    return {name: plain(known[name] if name in known else getattr(instance, name)) for name in names}


def arguments_of(cls: type) -> Mapping[str, inspect.Parameter]:
    """All arguments of a class: those of its `__init__`, and those that its `**kwargs` pass on.

    `**kwargs` pass on the arguments of the next `__init__` in the method resolution order, except for those that the
    call of `super().__init__` sets itself.
    """
    found: dict[str, inspect.Parameter] = {}
    taken, count = set[str](), 0
    rest: list[inspect.Parameter] = []
    for init in (vars(base)["__init__"] for base in cls.__mro__[:-1] if "__init__" in vars(base)):
        own = _parameters(init)[count:]
        rest = [parameter for parameter in own if parameter.kind is parameter.VAR_KEYWORD]
        free = [parameter for parameter in own if parameter not in rest and parameter.name not in found.keys() | taken]
        found |= {parameter.name: parameter for parameter in free}
        if not rest or (given := _given(init)) is None:
            break
        names, count = given
        taken |= names
    return found | {parameter.name: parameter for parameter in rest}


def _parameters(init: Any) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(init).parameters.values())[1:]
    except (ValueError, TypeError):  # written in C
        return []


@cache
def _given(init: Any) -> tuple[set[str], int] | None:
    """The arguments that an `__init__` sets when it passes `**kwargs` on: names, and the number of positional ones.

    None if it does not pass `**kwargs` on.
    """
    try:
        tree = ast.parse(dedent(inspect.getsource(init)))
    except (OSError, TypeError, SyntaxError):  # no source, as in an interactive session
        return set(), 0
    if getattr(tree.body[0], "name", "") != "__init__":  # the file has changed after its import
        return set(), 0
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and any(keyword.arg is None for keyword in call.keywords):
            function = ast.unparse(call.func)
            if function.endswith(".__init__"):
                unnamed = len(call.args) - (not function.startswith("super("))  # without super(), `self` is one of them
                return {keyword.arg for keyword in call.keywords if keyword.arg}, unnamed
    return None


def class_path(cls: type) -> str:
    """The shortest path from which a class can be imported, such as `musicgen_cls.models.VGG`.

    It stays the same when files below that package move.
    """
    parts = cls.__module__.split(".")
    packages = (".".join(parts[: count + 1]) for count in range(len(parts)))
    shortest = next((p for p in packages if getattr(sys.modules.get(p), cls.__qualname__, None) is cls), cls.__module__)
    return f"{shortest}.{cls.__qualname__}"


def resolve(path: str) -> Any:
    """Import a class by a path that this version or an older one wrote."""
    module, _, name = current_path(path).rpartition(".")
    return getattr(import_module(module), name)


_MOVED = {
    f"musicgen_cls.{package}.{module}": f"musicgen_cls.{package}"
    for package, modules in {
        "datamodules": ("features", "mel", "spectrograms", "waveform"),
        "models": (
            *("cnn", "cnn5", "conv_lstm", "feature_lstm", "feature_mlp", "mel_flow", "recurrent", "sample_rnn"),
            *("temporal_pooling", "vgg", "waveform_rnn"),
        ),
        "sources": ("fma", "folder", "gtzan", "synthetic"),
        "tasks": ("classification", "generation"),
    }.items()
    for module in modules
}
"""Modules in checkpoints and configs of version 0.1, with the packages that export their classes now."""
_RENAMED = dict.fromkeys(
    ("AddNoise", "musicgen_cls.audio.augment.AddNoise"), "musicgen_cls.audio.augment.AddWhiteNoise"
)  # torchaudio has an AddNoise too
_RENAMED_ARGUMENTS = {"musicgen_cls.datamodules.WaveformWindows": {"takes": "samples_per_prompt"}}
"""Older names of the arguments of classes, with their present names."""


def current_path(path: str) -> str:
    """The path of a class in this version, for a path that an older version wrote."""
    module, _, name = path.rpartition(".")
    return f"{_MOVED[module]}.{name}" if module in _MOVED else _RENAMED.get(path, path)


def current(value: Any) -> Any:
    """Settings with the present paths of all classes and the present names of their arguments."""
    if isinstance(value, list):
        return [current(part) for part in value]
    if not isinstance(value, dict):
        return value
    now = {
        key: current_path(part) if key == "class_path" and isinstance(part, str) else current(part)
        for key, part in value.items()
    }
    names, arguments = _renamed_arguments(now.get("class_path")), now.get("init_args")
    if names and isinstance(arguments, dict):
        now["init_args"] = {names.get(name, name): part for name, part in arguments.items()}
    return now


def _renamed_arguments(path: Any) -> Mapping[str, str]:
    """The renamed arguments of a class of this package, by its path or its short name."""
    return next((names for own, names in _RENAMED_ARGUMENTS.items() if path in (own, own.rpartition(".")[2])), {})


def _described(cls: type, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"class_path": class_path(cls), "init_args": plain(arguments)}
