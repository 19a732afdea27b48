"""A list of tracks in a Parquet or CSV file, for collections of up to millions of tracks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, overload

from musicgen_cls.remote.url import as_place, within
from musicgen_cls.sources.base import Side, Source, Track, TrackColumns
from musicgen_cls.sources.lists import SIDE_NAMES
from musicgen_cls.sources.manifest_table import read_manifest

_AT_ONCE = 10_000  # tracks


class Manifest(Source):
    """A list of tracks: a Parquet or CSV file with the columns `path` and `genre`.

    Paths are absolute, relative to the folder of the file, or URLs such as `s3://bucket/song.mp3`. The columns `id`
    (otherwise the path), `artist`, `seconds` and `group` are optional; tracks with the same `group` are the same
    recording. `--data.split official` divides by the optional column `split`: train (or training), validation (or
    valid, val, dev), test (or testing). Tracks without a side are left out then. The test report names recordings and
    artists that are on two sides. `musiccli prepare` writes such a file, `tracks.csv`.

    Args:
        path: the file, `.parquet` or `.csv`, or its URL.
    """

    OFFICIAL_CAN_LEAK = True
    parts_by_name = True

    def __init__(self, path: str) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The name of the folder of the file."""
        return self.location.resolve().name.lower()

    @property
    def location(self) -> Path:
        """The folder of the file. Manifests in one folder share a store."""
        return self._file.parent

    @property
    def lists(self) -> tuple[Path, ...]:
        """The file."""
        return (self._file,)

    @property
    def genres(self) -> tuple[str, ...]:
        """The genres in the file, sorted."""
        return tuple(sorted(self._tracks.distinct("genre")))

    def tracks(self) -> Sequence[Track]:
        """One track for each row, in order."""
        return self._tracks

    def official_split(self, name: str) -> dict[str, Side] | None:
        """The "official" split: the side of each track in the column `split`."""
        if name != "official" or not self._tracks.has("split"):
            return None
        sides = [None if split is None else SIDE_NAMES[split.casefold()] for split in self._tracks.column("split")]
        return {id: side for id, side in zip(self._tracks.column("id"), sides, strict=True) if side is not None}

    @property
    def _file(self) -> Path:
        return as_place(self.path, "--data.source.path")

    @cached_property
    def _tracks(self) -> ManifestTracks:
        return ManifestTracks(read_manifest(self._file), self.location)


class ManifestTracks(TrackColumns):
    """The tracks of a manifest, as columns of Arrow.

    Args:
        table: the columns that `read_manifest` returns.
        folder: the folder that relative paths begin in.
    """

    def __init__(self, table: dict[str, Any], folder: Path) -> None:
        self._table, self._folder = table, folder

    def __len__(self) -> int:
        return len(self._table["path"])

    @overload
    def __getitem__(self, row: int) -> Track: ...
    @overload
    def __getitem__(self, row: slice) -> list[Track]: ...
    def __getitem__(self, row: int | slice) -> Track | list[Track]:
        rows = range(len(self))[row]
        return [self[one] for one in rows] if isinstance(rows, range) else next(self._tracks_from(rows, 1))

    def __iter__(self) -> Iterator[Track]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self._tracks_from(start, _AT_ONCE)

    def has(self, name: Literal["artist", "group", "id", "seconds", "split"]) -> bool:
        """Whether the manifest has a column."""
        return name in self._table

    def distinct(self, name: Literal["genre", "artist", "group", "split"]) -> list[str]:
        """The different values of a column of names."""
        values: list[str] = self._table[name].dictionary.to_pylist()
        return values

    def column(self, name: str) -> list[Any]:
        """The field `name` of all tracks, or the column `split`; equal names are one object."""
        if name == "path":
            return [within(self._folder, text) for text in self._values("path", 0, len(self))]
        return self._values(name, 0, len(self))

    def _values(self, name: str, start: int, count: int) -> list[Any]:
        """The values of a column from a row on."""
        stored = self._table.get("path" if name == "id" and "id" not in self._table else name)
        if stored is None:
            return [None] * len(range(len(self))[start : start + count])
        part = stored.slice(start, count)
        if not hasattr(part, "dictionary"):
            values: list[Any] = part.to_pylist()
            return values
        names = [*part.dictionary.to_pylist(), None]
        return [names[code] for code in part.indices.fill_null(-1).to_numpy(zero_copy_only=False).tolist()]

    def _tracks_from(self, start: int, count: int) -> Iterator[Track]:
        names = ("id", "path", "genre", "artist", "seconds", "group")
        for id, path, *others in zip(*(self._values(name, start, count) for name in names), strict=True):
            yield Track(id, within(self._folder, path), *others)
