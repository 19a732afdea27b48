"""The audio files that the names of files, folders and patterns stand for."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from os.path import normpath
from pathlib import Path

from musicgen_cls.errors import UsageError
from musicgen_cls.files import check_regular
from musicgen_cls.remote.url import Url, as_place
from musicgen_cls.sources.base import AUDIO_SUFFIXES, COMMON_SUFFIXES, IMAGES, PROTECTED, Problem, protected_format


def find_files(
    names: Sequence[str] | str,
    option: str = "--data.files",
    suffixes: tuple[str, ...] = AUDIO_SUFFIXES,
    common: str = COMMON_SUFFIXES,
) -> list[Path]:
    """Files, the audio in folders at any depth, and the matches of patterns: each file once, in order.

    Args:
        names: of files, folders and patterns.
        option: the option that took the names, for the error.
        suffixes: suffixes of the files that count in folders, if not those of audio.
        common: these suffixes in words, for the error.

    Raises:
        UsageError: a name matches no file, or is that of a pipe or a device.
    """
    found: list[Path] = []
    for name in [names] if isinstance(names, str) else names:
        path = as_place(name, option)
        if not (matches := _matches(path, option, suffixes)):
            files, closed = walk(path)
            if closed:
                raise UsageError(f"{option} {name}: no file in it can be used; {closed[0]}; change its permissions")
            protected = sorted({f.suffix[1:].lower() for f in files if f.suffix.lower() in PROTECTED})
            more = f"; {', '.join(protected)} is copy-protected and cannot be decoded" if protected else ""
            what = "audio" if suffixes == AUDIO_SUFFIXES else "such files"
            raise UsageError(
                f"{option} {name}: no such file, no folder with {what} ({common}), and no pattern that "
                f"matches; check the name{more}"
            )
        found += matches
    once: dict[str, Path] = {}
    for path in found:
        once.setdefault(normpath(path.absolute()), path)
    return list(once.values())


def _matches(path: Path, option: str, suffixes: tuple[str, ...]) -> list[Path]:
    """The files of a name, as `find_files`."""
    if isinstance(path, Url) and path.is_file():
        return [path]
    if inside := [file for file in files_within(path) if file.suffix.lower() in suffixes]:
        return inside
    if isinstance(path, Url):
        return list(path.matches())
    if path.is_dir():
        return []
    if path.exists():
        check_regular(path, option, sys.maxsize)  # a pipe would be waited for
        return [path]
    return sorted(p for p in map(Path, glob.glob(str(path), recursive=True)) if p.is_file())  # noqa: PTH207


def skipped_files(
    names: Sequence[str] | str, option: str = "--data.files", suffixes: tuple[str, ...] = AUDIO_SUFFIXES
) -> list[Problem]:
    """The files in folders that `find_files` skips, each with the reason, and the folders that cannot be read.

    Images are not reported.
    """
    found: dict[str, Problem] = {}
    for name in [names] if isinstance(names, str) else names:
        files, closed = walk(as_place(name, option))
        found |= {normpath(problem.path.absolute()): problem for problem in closed}
        for file in files:
            suffix = file.suffix.lower()
            if suffix not in suffixes and suffix not in IMAGES:
                reason = protected_format(file) if suffix in PROTECTED else "not audio, by its suffix"
                found.setdefault(normpath(file.absolute()), Problem(file, reason))
    return list(found.values())


def files_within(folder: Path) -> list[Path]:
    """The files in a folder at any depth, as `walk`."""
    return walk(folder)[0]


def walk(folder: Path, linked: bool = False) -> tuple[list[Path], list[Problem]]:
    """The files in a folder at any depth, sorted, without hidden ones; none if the path is not a folder.

    Args:
        folder: the folder, or a `Url`.
        linked: also enter its own sub-folders that are symbolic links; links at greater depth are not entered.

    Returns:
        The files, and the folders that cannot be read.
    """
    if isinstance(folder, Url):
        depth = len(folder.parts)
        shown = (url for url in folder.below() if not any(part.startswith(".") for part in url.parts[depth:]))
        return list(shown), []
    found, closed, left = list[str](), list[Problem](), [(os.fspath(folder), linked)]
    while left:
        place, links = left.pop()
        try:
            entries = _visible(place)
        except OSError as error:
            if not os.path.isdir(place):  # noqa: PTH112  such as a pattern on Windows
                continue
            closed.append(Problem(Path(place), f"cannot be read ({error.strerror})"))
            continue
        for entry in entries:
            if _holds(partial(entry.is_dir, follow_symlinks=links)):
                left.append((entry.path, False))
            elif _holds(entry.is_file):
                found.append(entry.path)
    # The order of Path, which compares part by part: a separator comes before every character. This is faster.
    ordered = sorted(found, key=lambda path: os.path.normcase(path).replace(os.sep, "\0"))
    return [Path(path) for path in ordered], sorted(closed, key=lambda problem: problem.path)


def _visible(folder: str) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing if it is no folder any more."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _holds(test: Callable[[], bool]) -> bool:
    """The result of a test of an entry; False if it cannot be made, as for links in a circle."""
    try:
        return test()
    except OSError:
        return False
