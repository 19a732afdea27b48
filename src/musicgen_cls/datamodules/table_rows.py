"""The tracks of the rows of a table of features."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from musicgen_cls.errors import SourceError
from musicgen_cls.sources.base import Source, Track
from musicgen_cls.sources.names import AmbiguousName, Names, match
from musicgen_cls.sources.parts import Item, as_part, parts_of_tracks

Place = tuple[Track, int]
"""The track of a row, and the number of the row's part in it."""


@dataclass(frozen=True)
class Row:
    """A row of a table: its line in the file, file name, label, and length in s."""

    line: int
    filename: str
    label: str
    seconds: float


def group_rows(rows: Sequence[Row], source: Source | None, table: Path) -> dict[Track, list[int]]:
    """The numbers of the rows of each track, in the order of its parts.

    Args:
        rows: rows of the table.
        source: has the tracks; without a source, the names of the rows tell the tracks.
        table: the file, for errors.

    Raises:
        SourceError: a label differs from the track's genre, a part appears twice, or the source lacks a track.
    """
    places = _places_by_name(rows, table) if source is None else _places_by_source(rows, source, table)
    track_of: dict[str, Track] = {}
    rows_of: dict[str, dict[int, int]] = {}  # by track and part
    for number, (row, (track, part)) in enumerate(zip(rows, places, strict=True)):
        first = track_of.setdefault(track.id, track)
        if first.genre != track.genre:
            raise _mislabelled(table, row, first.genre)
        own = rows_of.setdefault(track.id, {})
        if part in own:
            raise SourceError(
                f"{table} line {row.line}: {row.filename} is the same part of its track as line "
                f"{rows[own[part]].line}; delete one of the rows"
            )
        own[part] = number
    return {track: [own for _, own in sorted(rows_of[name].items())] for name, track in track_of.items()}


def check_labels(rows: Sequence[Row], rows_of: dict[Track, list[int]], table: Path) -> None:
    """Raise `SourceError` for a label with a single track: it can be a misspelling, and cannot be on three sides."""
    count = Counter(track.genre for track in rows_of)
    for track, own in rows_of.items():
        if count[track.genre] == 1:
            raise SourceError(
                f"{table} line {rows[min(own)].line}: {track.id} is the only track with the label '{track.genre}'; fix "
                "the label, add tracks, or delete its rows"
            )


def _mislabelled(table: Path, row: Row, genre: str) -> SourceError:
    return SourceError(
        f"{table} line {row.line}: {row.filename} has the label '{row.label}', but its track has '{genre}'; fix the "
        "label"
    )


def _places_by_name(rows: Sequence[Row], table: Path) -> list[Place]:
    """The places of all rows, from their names."""
    unlabelled = parts_of_tracks([Item(row.filename, "", row.seconds) for row in rows])
    labels: dict[str, list[str]] = defaultdict(list)
    for row, part in zip(rows, unlabelled, strict=True):
        if part is not None:
            labels[part.whole].append(row.label)
    usual = {whole: Counter(own).most_common(1)[0] for whole, own in labels.items()}
    for row, part in zip(rows, unlabelled, strict=True):
        if part is not None:
            label, count = usual[part.whole]
            if row.label != label and count > len(labels[part.whole]) / 2:
                raise _mislabelled(table, row, label)
    places = []
    for row, part in zip(
        rows, parts_of_tracks([Item(row.filename, row.label, row.seconds) for row in rows]), strict=True
    ):
        whole = part.whole if part else row.filename.removesuffix(_ending(row.filename))
        places.append((Track(whole, Path(row.filename), row.label), part.number if part else 0))
    return places


def _places_by_source(rows: Sequence[Row], source: Source, table: Path) -> list[Place]:
    """The places of all rows, from the tracks of the source."""
    known = {track.id: track for track in source.all_tracks()}
    ids = Names(known)
    try:
        genres = match(dict.fromkeys(row.label for row in rows), dict.fromkeys(track.genre for track in known.values()))
    except AmbiguousName as error:
        raise SourceError(f"{table}: label {error}; rename one of them") from error
    places = []
    for row in rows:
        try:
            found = _find(row.filename, ids)
        except AmbiguousName as error:
            raise SourceError(f"{table} line {row.line}: {error}; write the exact id of the track") from error
        if found is None:
            raise SourceError(
                f"{table} line {row.line}: {row.filename} is not a track of {source.location}; delete the row, or "
                "leave out --data.source"
            )
        track, part = known[found[0]], found[1]
        if genres.get(row.label) != track.genre:
            raise _mislabelled(table, row, track.genre)
        places.append((track, part))
    return places


def _find(filename: str, ids: Names) -> tuple[str, int] | None:
    """The id of the track of a file name, with or without a suffix, and the number of the part."""
    ending = _ending(filename)
    part = as_part(filename)
    wholes = [(filename.removesuffix(ending), 0), *([(part[0].whole, part[0].number)] if part else [])]
    names = ((name, number) for whole, number in wholes for name in (whole, whole + ending))
    return next(((id, number) for name, number in names if (id := ids.find(name)) is not None), None)


def _ending(name: str) -> str:
    """The suffix of a file name; a number is not a suffix."""
    ending = Path(name).suffix
    return "" if ending[1:].isdigit() else ending
