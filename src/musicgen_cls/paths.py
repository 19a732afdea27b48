"""Where this package keeps what it can make again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from tempfile import TemporaryFile

from musicgen_cls.errors import UsageError

CACHE_VARIABLE = "MUSICGEN_CLS_CACHE"

_LEFT_S = 6 * 3600.0  # a file being written for longer is not: its process was killed


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
    """A temporary name beside `path` to write under; renamed to `path` at the end, removed if anything goes wrong.

    What a process left under such a name when it was killed, hours ago, is cleared away.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    for leaving in path.parent.glob(f".{escape(path.stem)}.*{escape(path.suffix)}"):
        with suppress(OSError):  # another process may clear it too
            if leaving.stem.rpartition(".")[2].isdecimal() and time.time() - leaving.stat().st_mtime > _LEFT_S:
                leaving.unlink()
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
