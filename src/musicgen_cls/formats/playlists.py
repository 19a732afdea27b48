"""Playlists of the files of each genre."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from musicgen_cls.errors import UsageError
from musicgen_cls.files import safe_name, writing
from musicgen_cls.remote.url import absolute, path_of

SUFFIX = ".m3u8"

_HEAD = b"#EXTM3U\n#musicgen_cls\n"
"""Lines with another word after `#` are comments of the format. This one marks the playlists that can be replaced."""


def write_playlists(folder: Path, rows: Sequence[Mapping[str, Any]], genres: Sequence[str]) -> list[Path]:
    """Write one M3U8 playlist for each genre that has files, the most probable files first.

    Paths are absolute, so that a playlist can be moved. An older playlist of a genre that has no files now is emptied.

    Args:
        folder: for the playlists.
        rows: predictions, with `file`, `seconds`, `genre` and `probability`.
        genres: names of the classes.

    Returns:
        The playlists that have files.

    Raises:
        UsageError: as `check_playlists`; nothing is written then.
    """
    check_playlists(folder, genres)
    written = []
    for genre in genres:
        place = _place(folder, genre)
        own = sorted((row for row in rows if row["genre"] == genre), key=lambda row: -row["probability"])
        if not own and not place.exists():
            continue
        with writing(place) as temporary:
            temporary.write_bytes(b"".join([_HEAD, *map(_entry, own)]))
        written += [place] if own else []
    return written


def check_playlists(folder: Path, genres: Sequence[str]) -> None:
    """Raise `UsageError` if a playlist would replace one that `write_playlists` did not write."""
    for place in (_place(folder, genre) for genre in genres):
        if place.exists() and not (place.is_file() and place.read_bytes().startswith(_HEAD)):
            raise UsageError(
                f"{place}: a playlist of your own, or of an older version; move it, or give another folder with "
                "--out DIR"
            )


def _place(folder: Path, genre: str) -> Path:
    return folder / f"{safe_name(genre)}{SUFFIX}"


def _entry(row: Mapping[str, Any]) -> bytes:
    """The two lines of a file. A name with a line break or other control characters is written as an address."""
    path = path_of(absolute(row["file"]))
    line = path.as_uri().encode() if _has_control(str(path)) else os.fsencode(path)
    title = "".join(" " if _has_control(character) else character for character in path.stem)
    return b"#EXTINF:%d,%s\n%s\n" % (round(row["seconds"]), os.fsencode(title), line)


def _has_control(text: str) -> bool:
    return any(ord(character) < 32 or ord(character) == 127 for character in text)
