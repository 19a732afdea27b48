"""Where this package keeps what it can make again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from musicgen_cls.errors import UsageError

CACHE_VARIABLE = "MUSICGEN_CLS_CACHE"


def cache_root() -> Path:
    """The cache folder, which need not exist: what `MUSICGEN_CLS_CACHE` names, else `musicgen_cls` in the user's."""
    if folder := os.environ.get(CACHE_VARIABLE):
        return Path(folder).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("musicgen_cls", appauthor=False)


def check_writable(folder: Path, option: str) -> None:
    """Make a folder and raise `UsageError`, naming the option that chooses another, if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"{folder}: cannot write there ({error.strerror}); give another folder with {option}"
        ) from error


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write under; renamed to `path` at the end, removed if anything goes wrong."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
