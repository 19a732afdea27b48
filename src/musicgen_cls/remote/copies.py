"""Copies of remote files on this machine, while they are read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from musicgen_cls.errors import UnreachableError
from musicgen_cls.files import cache_root, check_writable, temporary_beside
from musicgen_cls.remote.url import Url


class _Copy(type(Path())):  # type: ignore[misc]  # Path has no subclasses of its own before Python 3.12
    """A file on this machine whose name in messages is that of the file it is a copy of."""

    original = ""

    def __str__(self) -> str:
        return self.original or super().__str__()

    def __fspath__(self) -> str:
        return str(super().__str__())


@contextmanager
def local_copy(path: Path) -> Iterator[Path]:
    """The file itself, or for a `Url` a copy on this machine, which is removed at the end.

    The copy lies in the cache folder, where a later process removes those of killed processes.

    Raises:
        UnreachableError: there is no such file behind the URL.
        StoreError: the server fails, or refuses; or the disk is full.
        UsageError: the cache folder cannot be written.
    """
    if not isinstance(path, Url):
        yield path
        return
    folder = cache_root() / "fetched"
    check_writable(folder, "MUSICGEN_CLS_CACHE")
    with temporary_beside(folder / f"{uuid4().hex}{path.suffix}") as place:
        try:
            path.fetch(place)
        except FileNotFoundError as error:
            raise UnreachableError(f"{path}: no such file") from error
        copy = _Copy(os.fspath(place))
        copy.original = str(path)
        yield copy
