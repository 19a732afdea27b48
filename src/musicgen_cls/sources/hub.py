"""Data sets of the Hugging Face hub with a column of audio and one of labels, in its own formats."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

from musicgen_cls.errors import SourceError, UsageError
from musicgen_cls.files import as_path, cache_root, check_writable, safe_name
from musicgen_cls.sources.base import Problem, Side, Source, Track
from musicgen_cls.sources.hub_files import files_of
from musicgen_cls.sources.hub_rows import Columns, Index, RowReader, read_index, write_index
from musicgen_cls.sources.lists import SIDE_NAMES

_DATA = (".parquet", ".arrow", ".csv", ".json", ".jsonl", ".tar", ".zip", ".gz")


class HubDataset(Source):
    """A data set of the Hugging Face hub, such as `marsyas/gtzan`, or a folder in one of the hub's formats.

    Parquet, audio folders and the other formats that the library `datasets` reads. Audio that lies in tables or
    archives is written once into the cache, as files; nothing is decoded on the way. `--data.split official` keeps the
    data set's own splits: train, validation (or valid, val, dev) and test. Other splits of it are left out then. The
    test report names recordings and artists that are on two sides.

    A data set that needs a Python script is not read; most have a converted form, with the revision
    `refs/convert/parquet`.

    Args:
        path: the name, `organisation/name`, or a folder.
        revision: branch, tag or commit.
        config: the name of its part, for a data set that has several.
        audio: column of the audio; found by its type if not set.
        label: column of the genres; found by its type or name if not set.
        artist: column of the artists; `artist` if there is one.
    """

    OFFICIAL_CAN_LEAK = True

    def __init__(
        self,
        path: str,
        revision: str = "main",
        config: str | None = None,
        audio: str | None = None,
        label: str | None = None,
        artist: str | None = None,
    ) -> None:
        self.path, self.revision, self.config = path, revision, config
        self.audio, self.label, self.artist = audio, label, artist

    @property
    def name(self) -> str:
        """The name of the data set without its organisation."""
        return safe_name(self.path.rstrip("/").rpartition("/")[2].lower())

    @property
    def location(self) -> Path:
        """The folder; for a data set of the hub, where its tracks are in the cache."""
        return self._local or self._cache

    @property
    def genres(self) -> tuple[str, ...]:
        """The labels, in the order of the data set, or sorted if it has none."""
        return tuple(self._index.genres)

    def tracks(self) -> list[Track]:
        """One track for each row with audio and a label; its id has the split and the number of the row."""
        return list(self._index.tracks)

    def prepare(self) -> None:
        """Fetch the data set, and write its audio into the cache."""
        assert self._index.tracks

    def problems(self) -> list[Problem]:
        """Rows without audio or label."""
        return list(self._index.problems)

    def official_split(self, name: str) -> dict[str, Side] | None:
        """The "official" split: the side of each track in the data set's own splits."""
        sides = {id: SIDE_NAMES.get(split.lower()) for id, split in self._index.split_of.items()}
        return {id: side for id, side in sides.items() if side is not None} if name == "official" else None

    @property
    def _local(self) -> Path | None:
        folder = as_path(self.path, "--data.source.path")
        return folder if folder.is_dir() else None

    @property
    def _cache(self) -> Path:
        """The folder of the cache for this data set."""
        where = str(self._local.resolve()) if self._local else f"{self.path}@{self.revision}"
        digest = hashlib.sha256(f"{where}|{self.config}".encode(errors="replace")).hexdigest()[:8]
        return cache_root() / "hub_datasets" / f"{self.name}-{digest}"

    @cached_property
    def _index(self) -> Index:
        """The index in the cache, or a new one."""
        from filelock import FileLock

        folder = self._local or self._fetched()
        place = self._cache / self._digest(folder)
        check_writable(place, "MUSICGEN_CLS_CACHE")
        with FileLock(place / "lock"):  # other processes wait for the first
            if (found := read_index(place / "index.json")) is None:
                found = self._read(folder, place)
                write_index(place / "index.json", found)
        return found

    def _read(self, folder: Path, place: Path) -> Index:
        columns = Columns(self.audio, self.label, self.artist)
        return RowReader(self.path, self.config, columns, folder, place).index()

    def _fetched(self) -> Path:
        if not self.path or self.path.count("/") != 1:
            raise SourceError(
                f"--data.source.path {self.path}: no such folder, and no name of the hub; write organisation/name"
            )
        try:
            return files_of(self.path, self.revision, ["*"], _has_data, "dataset")
        except UsageError as error:
            raise SourceError(f"--data.source.path {error}") from error

    def _digest(self, folder: Path) -> str:
        """A hash of the files of the data set, and of the settings."""
        files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        states = ((file, (folder / file).stat()) for file in files if ".cache" not in file.parts)
        stats = [(file.as_posix(), state.st_size, state.st_mtime_ns) for file, state in states]
        settings = self.config, self.audio, self.label, self.artist, stats
        return hashlib.sha256(repr(settings).encode(errors="replace")).hexdigest()[:16]


def _has_data(folder: Path) -> bool:
    return any(path.suffix in _DATA or path.suffix in HubDataset.suffixes for path in folder.rglob("*"))
