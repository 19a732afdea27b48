"""Objects as class paths and values: the form in which checkpoints remember how they were made."""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
from collections import abc
from collections.abc import Collection, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from musicgen_cls.errors import UsageError

DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
"""A dotted path, as `package.module.Class`."""


def plain(value: Any) -> Any:
    """A value in primitives only, as a config file would hold it.

    Classes, partial classes and instances become `{"class_path": ..., "init_args": {...}}`; instances must keep every
    argument of their `__init__` under its own name.
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
    if isinstance(value, partial):  # jsonargparse hides the class among the positional arguments
        cls = (value.func, *value.args)[-1]
        if isinstance(cls, type):
            return _described(cls, value.keywords)
    if inspect.isfunction(value) or isinstance(value, partial):
        raise UsageError(
            f"{value}: give a class or a functools.partial of one; a function cannot be kept in checkpoints"
        )
    return _described(type(value), init_arguments(value))


def init_arguments(instance: Any) -> dict[str, Any]:
    """The arguments an instance was made with, in plain form, read back from its attributes."""
    names = list(arguments_of(type(instance)))
    if missing := [name for name in names if not hasattr(instance, name)]:
        raise UsageError(
            f"{type(instance).__name__}: keeps no attribute named as its argument '{missing[0]}', "
            "so that a checkpoint could not rebuild it"
        )
    return {name: plain(getattr(instance, name)) for name in names}


def arguments_of(cls: type) -> Mapping[str, inspect.Parameter]:
    """Every argument that a class can be made with: those of its `__init__`, and those that its `**kwargs` stand for.

    They stand for the arguments of the next `__init__` in the order of inheritance, except for those that the call of
    it gives already.
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


def _given(init: Any) -> tuple[set[str], int] | None:
    """What an `__init__` gives to the next one beside `**kwargs`: names, and how many without a name.

    None if it does not hand `**kwargs` on.
    """
    try:
        tree = ast.parse(dedent(inspect.getsource(init)))
    except (OSError, TypeError, SyntaxError):  # no source, as in an interactive session
        return set(), 0
    if not (
        isinstance(tree.body[0], ast.FunctionDef) and tree.body[0].name == "__init__"
    ):  # the file has changed since
        return set(), 0
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and any(keyword.arg is None for keyword in call.keywords):
            function = ast.unparse(call.func)
            if function.endswith(".__init__"):
                unnamed = len(call.args) - (not function.startswith("super("))  # else `self` is among them
                return {keyword.arg for keyword in call.keywords if keyword.arg}, unnamed
    return None


def class_path(cls: type) -> str:
    """The shortest path that a class is imported from, as `musicgen_cls.models.VGG`; files may move below it."""
    parts = cls.__module__.split(".")
    packages = (".".join(parts[: count + 1]) for count in range(len(parts)))
    shortest = next((p for p in packages if getattr(sys.modules.get(p), cls.__qualname__, None) is cls), cls.__module__)
    return f"{shortest}.{cls.__qualname__}"


def resolve(path: str) -> Any:
    """The class that `class_path` named, in this version or an older one."""
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
"""Modules that checkpoints and configs of version 0.1 name, and the packages that export their classes now."""
_RENAMED = dict.fromkeys(
    ("AddNoise", "musicgen_cls.audio.augment.AddNoise"), "musicgen_cls.audio.augment.AddWhiteNoise"
)  # torchaudio has an AddNoise too


def current_path(path: str) -> str:
    """The path of a class in this version, for one that an older version wrote."""
    module, _, name = path.rpartition(".")
    return f"{_MOVED[module]}.{name}" if module in _MOVED else _RENAMED.get(path, path)


def current(value: Any) -> Any:
    """Settings with the paths of all classes in them as this version has them."""
    if isinstance(value, dict):
        return {
            key: current_path(part) if key == "class_path" and isinstance(part, str) else current(part)
            for key, part in value.items()
        }
    return [current(part) for part in value] if isinstance(value, list) else value


def _described(cls: type, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"class_path": class_path(cls), "init_args": plain(arguments)}


# Classes that strangers name

TRUST_VARIABLE = "MUSICGEN_CLS_TRUST"
"""Modules, separated by commas, that checkpoints may name: `--trust` sets it, and worker processes inherit it."""

_LIBRARIES = ("musicgen_cls", "torch.nn", "torchaudio.transforms", "torchmetrics.classification")


def find_class(path: Any, trust: Collection[str] = ()) -> type:
    """The class that a stranger's data names; a module outside this package is imported only if it is trusted.

    Args:
        path: dotted path of the class.
        trust: modules that the user vouches for, beside those of `MUSICGEN_CLS_TRUST`; packages with all in them.

    Raises:
        UsageError: the module is not trusted, or there is no such class.
    """
    if not isinstance(path, str) or not DOTTED.fullmatch(path):
        raise UsageError(f"{path!r:.100} names no class")
    check_trusted(path, trust)
    try:
        found = resolve(path)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"names '{path}', but there is no such class here") from error
    if not isinstance(found, type):
        raise UsageError(f"names '{path}', which is no class")
    return found


def check_trusted(path: str, trust: Collection[str] = ()) -> None:
    """Raise `UsageError` for a class of a module outside this package that the user has not named as trusted."""
    module = path.rpartition(".")[0]
    trusted = {*_LIBRARIES, *trust, *filter(None, os.environ.get(TRUST_VARIABLE, "").split(","))}
    if not any(module == name or module.startswith(f"{name}.") for name in trusted):
        raise UsageError(
            f"names '{path}', which is not of this package; if you trust that module, add --trust {module} (in Python: "
            f"trust=['{module}']), and it is imported"
        )


def check_described(described: Any, base: type, trust: Collection[str] = ()) -> type:
    """Check what a stranger describes, `{"class_path": ..., "init_args": {...}}`, and every class in its arguments.

    Returns:
        The class.

    Raises:
        UsageError: a class is not trusted or of another kind than its place takes, or an argument is none of its own.
    """
    if not isinstance(described, dict) or not {"class_path"} <= described.keys() <= {"class_path", "init_args"}:
        raise UsageError(f"{described!r:.100} describes no class")
    cls = find_class(described["class_path"], trust)
    if not issubclass(cls, base):
        raise UsageError(f"names '{described['class_path']}', which is no {base.__name__}")
    wanted = _wanted(cls)
    arguments = described.get("init_args", {})
    if not isinstance(arguments, dict):
        raise UsageError(f"the arguments of {cls.__name__} are a {type(arguments).__name__}")
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in arguments_of(cls).values())
    if (odd := sorted(map(str, arguments.keys() - wanted.keys()))) and not takes_any:
        raise UsageError(f"{cls.__name__} takes no argument {odd[0]}")
    for name, value in arguments.items():
        if (kind := wanted.get(name)) is None:
            _check_primitive(name, value)
        elif value is not None:  # a name alone would be looked up as a class
            for part in _described_in(value):
                check_described(part, kind, trust)
    return cls


def make(described: dict[str, Any]) -> Any:
    """The object that `check_described` has approved; where an argument is called to make its object, a partial."""
    cls = resolve(described["class_path"])
    return cls(**_made_arguments(cls, described.get("init_args", {})))


def _made_arguments(cls: type, arguments: dict[str, Any]) -> dict[str, Any]:
    hints, wanted = _hints(cls), _wanted(cls)
    return {
        name: value if value is None or wanted.get(name) is None else _made(value, "Callable" in str(hints[name]))
        for name, value in arguments.items()
    }


def _made(value: Any, called: bool) -> Any:
    """The object of a description, or of each in a mapping; a partial where it is called to make its object."""
    if "class_path" not in value:
        return {name: _made(part, called) for name, part in value.items()}
    if not called:
        return make(value)
    cls = resolve(value["class_path"])
    return partial(cls, **_made_arguments(cls, value.get("init_args", {})))


def _described_in(value: Any) -> list[Any]:
    """The description that a value is, or those in a mapping by name."""
    return list(value.values()) if isinstance(value, dict) and "class_path" not in value else [value]


def _wanted(cls: type) -> dict[str, type | None]:
    """What class each argument of a class takes; None for plain values."""
    hints = _hints(cls)
    return {name: _class_in(hints.get(name)) for name in arguments_of(cls)}


def _hints(cls: type) -> dict[str, Any]:
    """The types of its arguments, its bases' too."""
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        try:
            hints |= get_type_hints(vars(base).get("__init__", object.__init__))
        except (NameError, TypeError):  # of others' classes
            continue
    return hints


def _class_in(hint: Any) -> type | None:
    """The class that a type hint asks for: itself, what a callable returns, what a mapping holds; else None."""
    if get_origin(hint) in (abc.Callable, dict):
        return _class_in(get_args(hint)[-1])
    if get_origin(hint) in (Union, UnionType):
        return next((kind for part in get_args(hint) if (kind := _class_in(part)) is not None), None)
    plain_ones = (bool, int, float, str, list, tuple, dict, type(None))
    return hint if isinstance(hint, type) and not issubclass(hint, plain_ones) and get_origin(hint) is None else None


def _check_primitive(name: str, value: Any) -> None:
    """Raise `UsageError` for anything in a plain value that could name a class."""
    if isinstance(value, list | tuple):
        for item in value:
            _check_primitive(name, item)
    elif not (value is None or isinstance(value, bool | int | float | str)):
        raise UsageError(f"argument {name} is a {type(value).__name__}, which no plain argument is")
