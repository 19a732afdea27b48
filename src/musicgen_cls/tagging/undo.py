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


class Piece(Struct, array_like=True):
    """`size` bytes of the original: those of the file now from `at`, or else `replaced`, compressed and in base64."""

    size: int
    at: int = 0
    replaced: str | None = None


class TagChange(Struct, kw_only=True):
    """A change of a file; its pieces make the original. `before` and `after` are SHA-256 sums of the whole file."""

    file: str
    old: list[str]
    new: str
    before: str
    after: str
    mtime_ns: int
    pieces: list[Piece]


def difference(file: Path, changed: Path, old: Sequence[str], new: str) -> TagChange:
    """The change from a file to its changed copy."""
    with _mapped(file) as original, _mapped(changed) as now:
        pieces = list(_pieces(original, now))
    return TagChange(
        file=str(file),
        old=list(old),
        new=new,
        before=digest(file),
        after=digest(changed),
        mtime_ns=file.stat().st_mtime_ns,
        pieces=pieces,
    )


def _pieces(original: mmap.mmap, now: mmap.mmap) -> Iterator[Piece]:
    """The original in terms of what is there now.

    Most bytes are at the same distance from the start, or from the end, as they were.
    """
    shifts = (0, len(now) - len(original))
    at, size, shift = 0, 0, None  # the present piece, and by how much it has moved; None: it was replaced
    for start in range(0, len(original), _CHUNK):
        chunk = original[start : start + _CHUNK]
        found = next((s for s in shifts if start + s >= 0 and now[start + s : start + s + len(chunk)] == chunk), None)
        if size and found != shift:
            yield _piece(original, at, size, shift)
            at, size = start, 0
        size, shift = size + len(chunk), found
    yield _piece(original, at, size, shift)


def _piece(original: mmap.mmap, at: int, size: int, shift: int | None) -> Piece:
    if shift is not None:
        return Piece(size, at + shift)
    return Piece(size, replaced=base64.b64encode(zlib.compress(original[at : at + size])).decode())


def digest(path: Path) -> str:
    """The SHA-256 sum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def note(folder: Path, change: TagChange) -> None:
    """Append a change to the journal in a folder, in place of a torn line. It is on disk before the file is changed."""
    with (folder / JOURNAL).open("a+b") as journal:
        journal.seek(max(0, journal.tell() - 1))
        if journal.read() not in (b"", b"\n"):  # a killed process has left a part of a line
            journal.seek(0)
            journal.truncate(journal.read().rfind(b"\n") + 1)
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
        for piece in change.pieces:
            if piece.replaced is None:
                file.write(now[piece.at : piece.at + piece.size])
            else:
                file.write(zlib.decompress(base64.b64decode(piece.replaced)))
    if digest(place) != change.before:
        raise TagError(f"{path}: the journal does not give its original bytes; it is left as it is")


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data
