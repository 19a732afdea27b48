"""What users mean by the names of files, folders and patterns that they give."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from os.path import normpath
from pathlib import Path

from musicgen_cls.errors import UsageError
from musicgen_cls.paths import as_path
from musicgen_cls.sources.track import AUDIO_SUFFIXES


def find_files(names: Sequence[str] | str, option: str = "--data.files") -> list[Path]:
    """Files, the audio in folders at any depth, and the matches of patterns, each once, in order.

    Args:
        names: of files, folders and patterns.
        option: what the names were given to, for the error.

    Raises:
        UsageError: a name that stands for nothing.
    """
    found: list[Path] = []
    for name in [names] if isinstance(names, str) else names:
        path = as_path(name, option)
        if path.is_dir():
            matches = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in AUDIO_SUFFIXES)
            matches = [p for p in matches if not any(part.startswith(".") for part in p.relative_to(path).parts)]
        elif path.exists():
            matches = [path]
        else:
            matches = sorted(p for p in map(Path, glob.glob(str(path), recursive=True)) if p.is_file())  # noqa: PTH207
        if not matches:
            wanted = ", ".join(suffix[1:] for suffix in AUDIO_SUFFIXES)
            raise UsageError(f"{option} {name}: no such file, no folder with audio ({wanted}), and no match as pattern")
        found += matches
    once: dict[str, Path] = {}
    for path in found:
        once.setdefault(normpath(path.absolute()), path)
    return list(once.values())
