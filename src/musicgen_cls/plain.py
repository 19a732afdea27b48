"""Objects as class paths and values: the form in which checkpoints remember how they were made."""

from __future__ import annotations

import inspect
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from musicgen_cls.errors import UsageError


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
    names = [name for name in inspect.signature(type(instance).__init__).parameters if name != "self"]
    if missing := [name for name in names if not hasattr(instance, name)]:
        raise UsageError(
            f"{type(instance).__name__}: keeps no attribute named as its argument '{missing[0]}', "
            "so that a checkpoint could not rebuild it"
        )
    return {name: plain(getattr(instance, name)) for name in names}


def class_path(cls: type) -> str:
    """Where a class is imported from."""
    return f"{cls.__module__}.{cls.__qualname__}"


def resolve(path: str) -> Any:
    """The class that `class_path` named."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def _described(cls: type, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"class_path": class_path(cls), "init_args": plain(arguments)}
