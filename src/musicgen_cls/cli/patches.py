"""Changes of jsonargparse while the parsers of this package parse.

jsonargparse has no settings for them. tests/cli/test_pinned.py fails first if a new version changes these places.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

from jsonargparse import _actions, _typehints, _util

from musicgen_cls.cli.registry import CLASSES
from musicgen_cls.specs import class_path, current_path

_by_name = _typehints.resolve_class_path_by_name


def _ours_first(cls: Any, name: str) -> str:
    """The path of a class from its short name; a class of this package comes before those of others."""
    name = current_path(name)
    ours = CLASSES.get(name)
    fits = ours is not None and isinstance(cls, type) and issubclass(ours, cls)
    return class_path(CLASSES[name]) if fits else _by_name(cls, name)


@contextmanager
def patched() -> Iterator[None]:
    """Parse with two changes, and undo them afterwards.

    A short name means the class of this package; jsonargparse refuses it if several packages have such a class. A value
    that is the name of a file stays a value; jsonargparse would read the file and show its content in errors.
    """
    no_files = partial(_util.parse_value_or_config, enable_path=False)
    off = property(
        lambda self: False, lambda self, value: vars(self).update(_enable_path=False)
    )  # stays off afterwards
    with (
        patch.object(_typehints, "resolve_class_path_by_name", _ours_first),
        patch.object(_actions, "parse_value_or_config", no_files),
        patch.object(_typehints.ActionTypeHint, "_enable_path", off, create=True),
    ):
        yield
