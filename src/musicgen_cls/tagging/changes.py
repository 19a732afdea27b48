"""Which files get another genre tag, and how one is changed safely."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from musicgen_cls.audio.containers import packets_digest
from musicgen_cls.audio.io import stream
from musicgen_cls.errors import MusicClsError
from musicgen_cls.files import writing
from musicgen_cls.remote.url import Url, path_of
from musicgen_cls.tagging.genre import TagError, read_genre, write_genre
from musicgen_cls.tagging.undo import copy_permissions, difference, note

_RATE = 22050  # Hz, to decode the start of a changed file


@dataclass(frozen=True)
class Change:
    """A file that gets another genre; `file` as it was named, `path` without links."""

    file: str
    path: Path
    old: tuple[str, ...]
    new: str
    probability: float
    version: tuple[int, int]


@dataclass
class Plan:
    """What a run would change, and what it would not."""

    changes: list[Change] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Lines on files whose tags cannot be written."""
    unsure: int = 0
    unchanged: int = 0
    """Files that have the predicted genre already; upper and lower case count as equal."""


def plan(rows: Iterable[Mapping[str, Any]], threshold: float) -> Plan:
    """The changes for predictions whose probability is at or above the threshold; each file once."""
    found, seen = Plan(), set[Path]()
    for row in rows:
        path = path_of(row["file"]).resolve()
        if path in seen:
            continue
        seen.add(path)
        if row["probability"] < threshold:
            found.unsure += 1
            continue
        try:
            if isinstance(path, Url):
                raise TagError(f"{path}: not a file on this machine; copy it here to tag it")
            old = read_genre(path)
            if [genre.casefold() for genre in old] == [row["genre"].casefold()]:
                found.unchanged += 1
                continue
            _check_writable(path)
            change = Change(row["file"], path, old, row["genre"], row["probability"], _version(path))
        except (MusicClsError, OSError) as error:
            found.refused.append(_line(row["file"], error, path))
        else:
            found.changes.append(change)
    return found


def apply(change: Change, folder: Path) -> str | None:
    """Write the genre into a copy of a file, check the copy, note the change in a folder's journal, rename the copy.

    Returns:
        The reason why the file is left as it is, in a line that names it; None if it was changed.
    """
    path = copy = change.path
    try:
        with writing(path) as copy:
            shutil.copyfile(path, copy)
            write_genre(copy, change.new)
            _check_audio(path, copy)
            copy_permissions(path, copy)
            difference_to_copy = difference(path, copy, change.old, change.new)
            if _version(path) != change.version:
                raise TagError(f"{path}: has changed since it was predicted, and is left as it is")
            note(folder, difference_to_copy)
    except (MusicClsError, OSError) as error:
        return _line(change.file, error, path, copy)
    return None


def _check_writable(path: Path) -> None:
    mode = path.stat().st_mode
    if not mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(path, os.W_OK):
        raise TagError(f"{path}: read-only; allow writing to it")
    if not os.access(path.parent, os.W_OK):
        raise TagError(f"{path}: its folder is read-only; allow writing to it")


def _check_audio(path: Path, copy: Path) -> None:
    """Raise `TagError` unless a copy has the same audio, byte for byte, and its start can be decoded.

    The packets of some formats end with the tags, as those of ape do; then all decoded samples are compared.
    """
    try:
        next(stream(copy, _RATE))
        same = packets_digest(path) == packets_digest(copy) or _samples_digest(path) == _samples_digest(copy)
    except (MusicClsError, StopIteration) as error:
        raise TagError(f"{path}: with another tag it cannot be decoded; it is left as it is") from error
    if not same:
        raise TagError(f"{path}: another tag would change its audio; it is left as it is")


def _samples_digest(path: Path) -> str:
    total = hashlib.sha256()
    for block in stream(path, _RATE):
        total.update(block.tobytes())
    return total.hexdigest()


def _version(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _line(file: str, error: Exception, *paths: Path) -> str:
    """The reason in one line, with the file as it was named in place of its path or that of its copy."""
    if isinstance(error, OSError):
        return f"{file}: cannot be read or written ({error.strerror})"
    reason = str(error)
    for path in paths:
        reason = reason.removeprefix(f"{path}: ")
    return f"{file}: {reason}"
