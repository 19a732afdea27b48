"""The journal of changed tags: a line for each file, with the bytes that the change replaced."""

from __future__ import annotations

import base64
import hashlib
import mmap
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct, to_builtins

from musicgen_cls.errors import RecordError
from musicgen_cls.files import writing
from musicgen_cls.formats import records
from musicgen_cls.tagging.genre import TagError

JOURNAL = "tags.journal.jsonl"

_CHUNK = 1 << 10


class TagChange(Struct, kw_only=True):
    """A change of a file: the original is its first `start` bytes now, `replaced`, and its last `end` bytes now.

    `replaced` is compressed, in base64. `before` and `after` are SHA-256 sums of the whole file.
    """

    file: str
    old: list[str]
    new: str
    before: str
    after: str
    start: int
    end: int
    replaced: str
    mtime_ns: int


def difference(file: Path, changed: Path, old: Sequence[str], new: str) -> TagChange:
    """The change from a file to its changed copy."""
    with _mapped(file) as a, _mapped(changed) as b:
        start = _common_start(a, b)
        end = _common_end(a, b, min(len(a), len(b)) - start)
        replaced = base64.b64encode(zlib.compress(a[start : len(a) - end])).decode()
    return TagChange(
        file=str(file),
        old=list(old),
        new=new,
        before=digest(file),
        after=digest(changed),
        start=start,
        end=end,
        replaced=replaced,
        mtime_ns=file.stat().st_mtime_ns,
    )


def digest(path: Path) -> str:
    """The SHA-256 sum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def note(folder: Path, change: TagChange) -> None:
    """Append a change to the journal in a folder. It is on disk before the file is changed."""
    with (folder / JOURNAL).open("ab") as journal:
        journal.write(records.seal(to_builtins(change)))
        journal.flush()
        os.fsync(journal.fileno())


def changes(folder: Path) -> list[TagChange]:
    """The changes in the journal of a folder, in order. A torn last line is of a file that was not changed.

    Raises:
        RecordError: another line is damaged.
    """
    found = []
    for line in records.lines(folder / JOURNAL, TagChange, sealed=True):
        if line.value is not None:
            found.append(line.value)
        elif not line.torn:
            raise RecordError(f"{folder / JOURNAL} line {line.number}: {line.reason}; remove this line")
    return found


def keep(folder: Path, left: Sequence[TagChange]) -> None:
    """Replace the journal in a folder by the changes that are left; remove it if there are none."""
    if not left:
        (folder / JOURNAL).unlink(missing_ok=True)
        return
    with writing(folder / JOURNAL) as temporary:
        temporary.write_bytes(b"".join(records.seal(to_builtins(change)) for change in left))


def restore(change: TagChange) -> bool:
    """Give a file its original bytes and modification time; False if it has them already.

    Raises:
        TagError: the file has changed since, or is gone, or cannot be written.
    """
    path = Path(change.file)
    try:
        present = digest(path)
        if present == change.before:
            return False
        if present != change.after:
            raise TagError(f"{path}: has changed since its tag was written, and is left as it is")
        with writing(path) as temporary:
            _rebuild(path, change, temporary)
            copy_permissions(path, temporary)
            os.utime(temporary, ns=(path.stat().st_atime_ns, change.mtime_ns))
    except OSError as error:
        raise TagError(f"{path}: cannot be restored ({error.strerror})") from error
    return True


def copy_permissions(path: Path, copy: Path) -> None:
    """Give a copy the permissions of a file, and its owner where that is allowed."""
    shutil.copymode(path, copy)
    stat = path.stat()
    with suppress(OSError, AttributeError):  # only root may give a file to another user; Windows has no owner here
        os.chown(copy, stat.st_uid, stat.st_gid)


def _rebuild(path: Path, change: TagChange, place: Path) -> None:
    with _mapped(path) as now, place.open("wb") as file:
        file.write(now[: change.start])
        file.write(zlib.decompress(base64.b64decode(change.replaced)))
        file.write(now[len(now) - change.end :])
    if digest(place) != change.before:
        raise TagError(f"{path}: the journal does not give its original bytes; it is left as it is")


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _common_start(a: mmap.mmap, b: mmap.mmap) -> int:
    """The number of equal bytes at the start of both, to whole chunks."""
    at, most = 0, min(len(a), len(b))
    while at < most and a[at : at + _CHUNK] == b[at : at + _CHUNK]:
        at += _CHUNK
    return min(at, most)


def _common_end(a: mmap.mmap, b: mmap.mmap, most: int) -> int:
    """The number of equal bytes at the end of both, to whole chunks, `most` at most."""
    at = 0
    while at + _CHUNK <= most and a[len(a) - at - _CHUNK : len(a) - at] == b[len(b) - at - _CHUNK : len(b) - at]:
        at += _CHUNK
    return at
