"""The classes that a checkpoint names. Only modules that the user trusts are imported."""

from __future__ import annotations

import os
from collections import abc
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from musicgen_cls.errors import UsageError
from musicgen_cls.specs import DOTTED, arguments_of, resolve

TRUST_VARIABLE = "MUSICGEN_CLS_TRUST"
"""Trusted modules, and models of the hub whose code may run, separated by commas. `--trust` sets this
variable, and worker processes inherit it."""

ACCEPT_VARIABLE = "MUSICGEN_CLS_ACCEPT_LICENCE"
"""1 accepts weights under a licence for non-commercial use only. `--accept_licence` sets it."""

# a trusted module includes all modules in it
_LIBRARIES = ("musicgen_cls", "torch.nn", "torchaudio.transforms", "torchmetrics.classification")


def find_class(path: Any, trust: Collection[str] = ()) -> type:
    """Import the class that a checkpoint names, if its module is trusted.

    Args:
        path: dotted path of the class.
        trust: modules that the user trusts, in addition to those of `MUSICGEN_CLS_TRUST`.

    Raises:
        UsageError: the module is not trusted, or there is no such class.
    """
    if not isinstance(path, str) or not DOTTED.fullmatch(path):
        raise UsageError(f"{path!r:.100} is not the path of a class")
    check_trusted(path, trust)
    try:
        found = resolve(path)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"names '{path}', but it cannot be imported ({error}); a module of your own must be in the current "
            "folder or on PYTHONPATH"
        ) from error
    if not isinstance(found, type):
        raise UsageError(f"names '{path}', which is not a class")
    return found


def check_trusted(path: str, trust: Collection[str] = ()) -> None:
    """Raise `UsageError` if the module of a class is not trusted. Nothing is imported."""
    module = path.rpartition(".")[0]
    trusted = {*_LIBRARIES, *trust, *_named()}
    if not any(module == name or module.startswith(f"{name}.") for name in trusted):
        raise UsageError(
            f"names '{path}', which is not of this package; if you trust that module, add --trust {module} (in Python: "
            f"trust=['{module}']) to import it"
        )


def is_trusted(name: str) -> bool:
    """Whether the user trusts the code of a model of the hub, by its name with a revision."""
    return name in _named()


@contextmanager
def trusting(names: Iterable[str] = ()) -> Iterator[None]:
    """Trust more modules and models in this process and its workers, until the end of the block."""
    before = os.environ.get(TRUST_VARIABLE)
    trust_also(names)
    try:
        yield
    finally:
        os.environ.pop(TRUST_VARIABLE, None)
        if before is not None:
            os.environ[TRUST_VARIABLE] = before


def trust_also(names: Iterable[str]) -> None:
    """Trust more modules and models, until the end of the block of `trusting` that is around."""
    os.environ[TRUST_VARIABLE] = ",".join(dict.fromkeys([*_named(), *names]))


def _named() -> list[str]:
    """The names in the environment."""
    return [name for name in os.environ.get(TRUST_VARIABLE, "").split(",") if name]


def check_described(described: Any, base: type, trust: Collection[str] = ()) -> type:
    """Check a description, `{"class_path": ..., "init_args": {...}}`, and the descriptions in its arguments.

    Args:
        described: the description, as a checkpoint has it.
        base: the class that the described class must extend.
        trust: modules that the user trusts.

    Returns:
        The class.

    Raises:
        UsageError: a class is not trusted, does not extend the class of its argument, or has no such argument.
    """
    if not isinstance(described, dict) or not {"class_path"} <= described.keys() <= {"class_path", "init_args"}:
        raise UsageError(f"{described!r:.100} is not the description of a class")
    cls = find_class(described["class_path"], trust)
    if not issubclass(cls, base):
        raise UsageError(f"names '{described['class_path']}', which is not a {base.__name__}")
    wanted = _wanted(cls)
    arguments = described.get("init_args", {})
    if not isinstance(arguments, dict):
        raise UsageError(f"the arguments of {cls.__name__} are a {type(arguments).__name__}, not a mapping")
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in arguments_of(cls).values())
    if (odd := sorted(map(str, arguments.keys() - wanted.keys()))) and not takes_any:
        raise UsageError(f"{cls.__name__} has no argument {odd[0]}")
    for name, value in arguments.items():
        if (kind := wanted.get(name)) is None:
            _check_primitive(name, value)
        elif value is not None:  # a plain name would be imported as a class
            for part in _described_in(value):
                check_described(part, kind, trust)
    return cls


def make(described: dict[str, Any], **more: Any) -> Any:
    """Make the object of a description that `check_described` has checked, with more arguments."""
    cls = resolve(described["class_path"])
    return cls(**_made_arguments(cls, described.get("init_args", {})), **more)


def _made_arguments(cls: type, arguments: dict[str, Any]) -> dict[str, Any]:
    hints, wanted = _hints(cls), _wanted(cls)
    return {
        name: value if value is None or wanted.get(name) is None else _made(value, "Callable" in str(hints[name]))
        for name, value in arguments.items()
    }


def _made(value: Any, called: bool) -> Any:
    """The object of a description, or a mapping of objects; a partial if the argument is a callable."""
    if "class_path" not in value:
        return {name: _made(part, called) for name, part in value.items()}
    if not called:
        return make(value)
    cls = resolve(value["class_path"])
    return partial(cls, **_made_arguments(cls, value.get("init_args", {})))


def _described_in(value: Any) -> list[Any]:
    """The descriptions in a value, which is a description or a mapping of them."""
    return list(value.values()) if isinstance(value, dict) and "class_path" not in value else [value]


def _wanted(cls: type) -> dict[str, type | None]:
    """The class of each argument of a class; None for plain values."""
    hints = _hints(cls)
    return {name: _class_in(hints.get(name)) for name in arguments_of(cls)}


def _hints(cls: type) -> dict[str, Any]:
    """The type hints of the arguments of a class and of its bases."""
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        try:
            hints |= get_type_hints(vars(base).get("__init__", object.__init__))
        except (NameError, TypeError):  # hints of another package that cannot be resolved
            continue
    return hints


def _class_in(hint: Any) -> type | None:
    """The class in a type hint: the hint itself, or the class that a callable returns or a mapping contains."""
    if get_origin(hint) in (abc.Callable, dict):
        return _class_in(get_args(hint)[-1])
    if get_origin(hint) in (Union, UnionType):
        return next((kind for part in get_args(hint) if (kind := _class_in(part)) is not None), None)
    plain_ones = (bool, int, float, str, list, tuple, dict, type(None))
    return hint if isinstance(hint, type) and not issubclass(hint, plain_ones) and get_origin(hint) is None else None


def _check_primitive(name: str, value: Any) -> None:
    """Raise `UsageError` if a plain value contains anything but numbers, strings, booleans, None and lists."""
    if isinstance(value, list | tuple):
        for item in value:
            _check_primitive(name, item)
    elif not (value is None or isinstance(value, bool | int | float | str)):
        raise UsageError(f"argument {name} is a {type(value).__name__}, not a number, string, boolean or list")
