"""Classes that a checkpoint names: nothing is imported that the user does not trust."""

from __future__ import annotations

import os
from collections import abc
from collections.abc import Collection
from functools import partial
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from musicgen_cls.errors import UsageError
from musicgen_cls.specs import DOTTED, arguments_of, resolve

TRUST_VARIABLE = "MUSICGEN_CLS_TRUST"
"""Modules, separated by commas, that checkpoints may name: `--trust` sets it, and worker processes inherit it."""

_LIBRARIES = ("musicgen_cls", "torch.nn", "torchaudio.transforms", "torchmetrics.classification")


def find_class(path: Any, trust: Collection[str] = ()) -> type:
    """The class that a checkpoint names; a module outside this package is imported only if it is trusted.

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
        raise UsageError(
            f"names '{path}', but there is no such class ({error}); a module of your own must be in the current "
            "folder or on PYTHONPATH"
        ) from error
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
    """Check what a checkpoint describes, `{"class_path": ..., "init_args": {...}}`, and every class in its arguments.

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
