"""A split of your own: a table with the side of each track, training, validation or test."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import get_args

from musicgen_cls.errors import SourceError, SplitError
from musicgen_cls.files import as_path, check_regular, shown
from musicgen_cls.sources.base import SIDES, Side, Source, Track
from musicgen_cls.sources.names import AmbiguousName, Names, folded
from musicgen_cls.sources.parts import as_part
from musicgen_cls.tables import read_csv

SUFFIX = ".csv"
COLUMNS = "it needs the columns subset, and file or id"
SIDE_NAMES: dict[str, Side] = {
    **{side: side for side in get_args(Side)},
    **{"training": "train", "valid": "validation", "val": "validation", "dev": "validation", "testing": "test"},
}
"""Names of the sides in lists and data sets."""
_SHOWN = 3
_LIST_BYTES = 100_000_000  # a million rows


@dataclass(frozen=True)
class Listed:
    """How a list divides a collection.

    `sides` has the side of every track; None if no row names the track. `notes` are the rows without a track and the
    tracks without a row; `leaks` are the recordings and artists on two sides. `digest` is a hash of the list.
    """

    sides: list[Side | None]
    notes: list[str]
    leaks: list[str]
    digest: str


def is_list(split: str) -> bool:
    """Whether the name of a split is the name of a list."""
    return split.lower().endswith(SUFFIX)


def divide(split: str, tracks: Sequence[Track], names: Sequence[str], root: Path, needed: Sequence[Side]) -> Listed:
    """Divide tracks by a list, even if it leaks.

    Args:
        split: the CSV file, with the columns `subset` (train, validation or test) and `file` or `id`. Files have an
            absolute path, a path relative to `root`, or only their name if it is unique.
        tracks: the tracks.
        names: the name of the whole track of each file; several files can share one.
        root: folder of the collection.
        needed: sides that must have tracks.

    Raises:
        SourceError: the file cannot be read, has other columns, or names an unknown subset.
        SplitError: the file puts a track on two sides; or a needed side has no track.
    """
    path = as_path(split, "--data.split")
    check_regular(path, "--data.split", _LIST_BYTES)
    rows = list(_rows(path))
    index = _Index(tracks, names, root)
    sides: list[Side | None] = [None] * len(tracks)
    line_of: dict[int, int] = {}
    unmatched: list[str] = []
    for line, name, side in rows:
        try:
            found = index.find(name)
        except AmbiguousName as error:
            raise SplitError(f"{path} line {line}: {error}; write its path relative to {shown(root)}") from error
        if not found:
            unmatched.append(name)
        for row in found:
            if sides[row] not in (None, side):
                raise SplitError(
                    f"{path} line {line}: {name} is in {side} here and in {sides[row]} in line {line_of[row]}; "
                    "delete one of the rows"
                )
            sides[row] = side
            line_of[row] = line
    for side in needed:
        if side not in sides:
            more = f"; {len(unmatched)} of {len(rows)} rows match no track, first {unmatched[0]}" if unmatched else ""
            raise SplitError(f"{path}: no {side} tracks of {shown(root)}; add rows with the subset {side}{more}")
    digest = hashlib.sha256(repr(sorted((name, side) for _, name, side in rows)).encode(errors="replace")).hexdigest()
    return Listed(sides, _unmatched(path, len(rows), unmatched, sides), list(_leaks(tracks, names, sides)), digest)


def official(source: Source, tracks: Sequence[Track], names: Sequence[str], sides: Sequence[Side | None]) -> Listed:
    """The splits that a data set comes with, as a list, even if they leak.

    Args:
        source: the data set.
        tracks: the tracks.
        names: the name of the whole track of each file.
        sides: the side of each track; None for a track of another split.
    """
    content = sorted((track.id, side) for track, side in zip(tracks, sides, strict=True) if side)
    left = sides.count(None)
    notes = [f"{left} of {len(sides)} tracks are in other splits of {source.name} and are left out"] if left else []
    digest = hashlib.sha256(repr(content).encode(errors="replace")).hexdigest()
    return Listed(list(sides), notes, list(_leaks(tracks, names, sides)), digest)


def _rows(path: Path) -> Iterator[tuple[int, str, Side]]:
    """Line, name and side of each row."""
    for line, row in read_csv(path, ("subset",), COLUMNS):
        if "file" not in row and "id" not in row:
            raise SourceError(f"{path}: no column file, and no column id; {COLUMNS}")
        name = (row.get("file") or row.get("id") or "").strip()
        if not name:
            raise SourceError(f"{path} line {line}: no file and no id; fill one in, or delete the row")
        side = SIDE_NAMES.get(row["subset"].strip().casefold())
        if side is None:
            raise SourceError(
                f"{path} line {line}: the subset '{row['subset']}' is not one of {', '.join(SIDES)}; write one of these"
            )
        yield line, name, side


class _Index:
    """Finds tracks by name: first by id and path, then by file name, then by file name without its suffix."""

    def __init__(self, tracks: Sequence[Track], names: Sequence[str], root: Path) -> None:
        self._root = root
        self._tiers: list[dict[str, list[int]]] = [defaultdict(list) for _ in range(3)]
        for row, (track, whole) in enumerate(zip(tracks, names, strict=True)):
            path = shown(track.path)
            keys = (
                {track.id, whole, path, _absolute(track.path)},
                {path.rpartition("/")[2]},
                {_bare(track.id), _bare(path.rpartition("/")[2]), whole.rpartition("/")[2], _number(track.id)},
            )
            for tier, own in zip(self._tiers, keys, strict=True):
                for key in own:
                    tier[key].append(row)
        self._whole = names
        self._names = [Names(tier) for tier in self._tiers]

    def find(self, name: str) -> list[int]:
        """The rows of all files of the track with a name.

        Raises:
            AmbiguousName: several tracks match the name.
        """
        path = name.replace(os.sep, "/").removeprefix("./")
        part = as_part(path)
        spellings = (
            name,
            path,
            path.replace("\\", "/").removeprefix("./"),  # of a list that was written on Windows
            _absolute(self._root / path),
            _number(path),
            _bare(path),
            part[0].whole if part else path,
        )
        for spelling in dict.fromkeys(spellings):
            for tier, known in zip(self._tiers, self._names, strict=True):
                if (key := known.find(spelling)) is not None:
                    rows = tier[key]
                    wholes = list(dict.fromkeys(self._whole[row] for row in rows))
                    if len(wholes) > 1:
                        raise AmbiguousName(f"'{name}' can be '{wholes[0]}' or '{wholes[1]}'")
                    return rows
        return []


def _bare(name: str) -> str:
    """A name without its suffix."""
    return name.removesuffix(PurePosixPath(name).suffix)


def _number(name: str) -> str:
    """A number without leading zeros, since spreadsheets remove them; another name unchanged."""
    return (name.lstrip("0") or "0") if name.isdecimal() else name


def _absolute(path: Path) -> str:
    return shown(Path(os.path.normpath(path.absolute())))


def _unmatched(path: Path, rows: int, unmatched: Sequence[str], sides: Sequence[Side | None]) -> list[str]:
    """Notes on rows without a track, and tracks without a row."""
    notes = []
    if unmatched:
        notes.append(f"{len(unmatched)} of {rows} rows of {path.name} match no track: {_first(unmatched)}")
    if left := sides.count(None):
        notes.append(f"{left} of {len(sides)} tracks are in no row of {path.name} and are left out")
    return notes


def _leaks(tracks: Sequence[Track], names: Sequence[str], sides: Sequence[Side | None]) -> Iterator[str]:
    """Sentences on tracks, recordings and artists that are on two sides."""
    artists = [None if track.artist is None else folded(track.artist) for track in tracks]
    several = Counter(group for group, _ in {(track.group, name) for track, name in zip(tracks, names, strict=True)})
    copies = [track.group if several[track.group] > 1 else None for track in tracks]
    for what, keys, titles in (
        ("tracks have parts", names, names),
        ("recordings have copies", copies, [track.id for track in tracks]),
        ("artists have tracks", artists, [track.artist for track in tracks]),
    ):
        found: dict[str, set[Side]] = defaultdict(set)
        title: dict[str, str] = {}
        for key, side, own in zip(keys, sides, titles, strict=True):
            if key is not None and side is not None:
                found[key].add(side)
                title.setdefault(key, str(own))
        if split := [title[key] for key, own in found.items() if len(own) > 1]:
            yield f"{len(split)} {what} on more than one side: {_first(split)}"


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
