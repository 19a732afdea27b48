"""The audio files that the names of files, folders and patterns stand for."""

from __future__ import annotations

import glob
import sys
from collections.abc import Sequence
from os.path import normpath
from pathlib import Path

from musicgen_cls.errors import UsageError
from musicgen_cls.files import as_path, check_regular
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
        path = as_path(name, option)
        if path.is_dir():
            matches = [file for file in _within(path) if file.suffix.lower() in suffixes]
        elif path.exists():
            check_regular(path, option, sys.maxsize)  # a pipe would be waited for
            matches = [path]
        else:
            matches = sorted(p for p in map(Path, glob.glob(str(path), recursive=True)) if p.is_file())  # noqa: PTH207
        if not matches:
            closed = sorted({f.suffix[1:].lower() for f in _within(path) if f.suffix.lower() in PROTECTED})
            more = f"; {', '.join(closed)} is copy-protected and cannot be decoded" if closed else ""
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


def skipped_files(
    names: Sequence[str] | str, option: str = "--data.files", suffixes: tuple[str, ...] = AUDIO_SUFFIXES
) -> list[Problem]:
    """The files in folders that `find_files` skips, each with the reason. Images are not reported."""
    found: dict[str, Problem] = {}
    for name in [names] if isinstance(names, str) else names:
        for file in _within(as_path(name, option)):
            suffix = file.suffix.lower()
            if suffix not in suffixes and suffix not in IMAGES:
                reason = protected_format(file) if suffix in PROTECTED else "not audio, by its suffix"
                found.setdefault(normpath(file.absolute()), Problem(file, reason))
    return list(found.values())


def _within(folder: Path) -> list[Path]:
    """The files in a folder at any depth, sorted, without hidden ones; none if the path is not a folder."""
    if not folder.is_dir():
        return []
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
