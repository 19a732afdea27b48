"""A split of one's own: a table that says which tracks train, validate and test."""

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
from musicgen_cls.sources.base import SIDES, Side, Track
from musicgen_cls.sources.names import AmbiguousName, Names, folded
from musicgen_cls.sources.parts import as_part
from musicgen_cls.tables import read_csv

SUFFIX = ".csv"
COLUMNS = "it needs subset, and file or id"
_SUBSETS: dict[str, Side] = {
    **{side: side for side in get_args(Side)},
    **{"training": "train", "valid": "validation", "val": "validation", "dev": "validation", "testing": "test"},
}
_SHOWN = 3
_LIST_BYTES = 100_000_000  # a million rows


@dataclass(frozen=True)
class Listed:
    """A collection as a list divides it.

    `sides` has the side of every track, None for one in no row; `notes` say what did not fit, `leaks` what stands on
    two sides. `digest` is a hash of what the list says.
    """

    sides: list[Side | None]
    notes: list[str]
    leaks: list[str]
    digest: str


def is_list(split: str) -> bool:
    """Whether a split is the name of a list."""
    return split.lower().endswith(SUFFIX)


def divide(split: str, tracks: Sequence[Track], names: Sequence[str], root: Path, needed: Sequence[Side]) -> Listed:
    """Divide tracks as a list says, whatever leaks by it.

    Args:
        split: the CSV file, with the columns `subset` (train, validation or test) and `file` or `id`. Files are given
            absolutely, relative to `root`, or by their names alone where those are unique.
        tracks: the tracks.
        names: of each track the one it has as a whole, which may be that of several files.
        root: folder of the collection.
        needed: sides that must have tracks.

    Raises:
        SourceError: the file cannot be read, has other columns, or names an unknown subset.
        SplitError: it names a track twice, for different sides; or a side that is needed has no track.
    """
    path = as_path(split, "--data.split")
    check_regular(path, "--data.split", _LIST_BYTES)
    rows = list(_rows(path))
    index = _Index(tracks, names, root)
    sides: list[Side | None] = [None] * len(tracks)
    line_of: dict[int, int] = {}
    lost: list[str] = []
    for line, name, side in rows:
        try:
            found = index.find(name)
        except AmbiguousName as error:
            raise SplitError(f"{path} line {line}: {error}; write its path below {shown(root)}") from error
        if not found:
            lost.append(name)
        for row in found:
            if sides[row] not in (None, side):
                raise SplitError(
                    f"{path} line {line}: {name} is in {side} here and in {sides[row]} in line {line_of[row]}; "
                    "take one of the rows away"
                )
            sides[row] = side
            line_of[row] = line
    for side in needed:
        if side not in sides:
            few = f"; {len(lost)} of {len(rows)} rows match no track, {lost[0]} the first" if lost else ""
            raise SplitError(f"{path}: no {side} tracks of {shown(root)}; give rows the subset {side}{few}")
    digest = hashlib.sha256(repr(sorted((name, side) for _, name, side in rows)).encode(errors="replace")).hexdigest()
    return Listed(sides, _misfits(path, len(rows), lost, sides), list(_leaks(tracks, names, sides)), digest)


def _rows(path: Path) -> Iterator[tuple[int, str, Side]]:
    """Line, name and side of each row."""
    for line, row in read_csv(path, ("subset",), COLUMNS):
        if "file" not in row and "id" not in row:
            raise SourceError(f"{path}: no column file or id; {COLUMNS}")
        name = (row.get("file") or row.get("id") or "").strip()
        if not name:
            raise SourceError(f"{path} line {line}: no file and no id; fill one in, or take the row away")
        side = _SUBSETS.get(row["subset"].strip().casefold())
        if side is None:
            raise SourceError(
                f"{path} line {line}: the subset '{row['subset']}' is none of {', '.join(SIDES)}; write one of these"
            )
        yield line, name, side


class _Index:
    """Finds the tracks that names mean: ids and paths first, then names of files, then those without their ending."""

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
        """The rows of the track that a name means; of a name of a whole those of all its files.

        Raises:
            AmbiguousName: it means several tracks.
        """
        path = name.replace("\\", "/") if os.sep == "\\" else name
        path = path.removeprefix("./")
        part = as_part(path)
        spellings = (
            name,
            path,
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
                        raise AmbiguousName(f"'{name}' may be '{wholes[0]}' or '{wholes[1]}'")
                    return rows
        return []


def _bare(name: str) -> str:
    """A name without its ending."""
    return name.removesuffix(PurePosixPath(name).suffix)


def _number(name: str) -> str:
    """A number without leading zeros, which spreadsheets take away; another name as it is."""
    return (name.lstrip("0") or "0") if name.isdecimal() else name


def _absolute(path: Path) -> str:
    return shown(Path(os.path.normpath(path.absolute())))


def _misfits(path: Path, rows: int, lost: Sequence[str], sides: Sequence[Side | None]) -> list[str]:
    """What does not fit: rows without a track, and tracks without a row."""
    notes = []
    if lost:
        notes.append(f"{len(lost)} of {rows} rows of {path.name} match no track: {_first(lost)}")
    if left := sides.count(None):
        notes.append(f"{left} of {len(sides)} tracks are in no row of {path.name} and are left out")
    return notes


def _leaks(tracks: Sequence[Track], names: Sequence[str], sides: Sequence[Side | None]) -> Iterator[str]:
    """What stands on two sides."""
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
