"""Playlists of the files of each genre."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from musicgen_cls.files import safe_name, writing
from musicgen_cls.remote.url import absolute, path_of

SUFFIX = ".m3u8"


def write_playlists(folder: Path, rows: Sequence[Mapping[str, Any]], genres: Sequence[str]) -> list[Path]:
    """Write one M3U8 playlist for each genre that has files, the most probable files first.

    Paths are absolute, so that a playlist can be moved. An older playlist of a genre that has no files now is emptied.

    Args:
        folder: for the playlists.
        rows: predictions, with `file`, `seconds`, `genre` and `probability`.
        genres: names of the classes.

    Returns:
        The playlists that have files.
    """
    written = []
    for genre in genres:
        place = folder / f"{safe_name(genre)}{SUFFIX}"
        own = sorted((row for row in rows if row["genre"] == genre), key=lambda row: -row["probability"])
        if not own and not place.exists():
            continue
        with writing(place) as temporary:
            temporary.write_bytes(b"".join([b"#EXTM3U\n", *map(_entry, own)]))
        written += [place] if own else []
    return written


def _entry(row: Mapping[str, Any]) -> bytes:
    """The two lines of a file. A name with a line break or other control characters is written as an address."""
    path = path_of(absolute(row["file"]))
    line = path.as_uri().encode() if _has_control(str(path)) else os.fsencode(path)
    title = "".join(" " if _has_control(character) else character for character in path.stem)
    return b"#EXTINF:%d,%s\n%s\n" % (round(row["seconds"]), os.fsencode(title), line)


def _has_control(text: str) -> bool:
    return any(ord(character) < 32 or ord(character) == 127 for character in text)
