"""What changes whenever a file is written, to notice that a file has not changed since it was checked."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct


class FileState(Struct, frozen=True):
    """The size of a file, and the times of its last change of content and status, ns."""

    size: int
    mtime_ns: int
    ctime_ns: int


def state_of(path: Path) -> FileState | None:
    """The state of a file; None if there is no such file."""
    if not path.is_file():
        return None
    stat = path.stat()
    return FileState(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
