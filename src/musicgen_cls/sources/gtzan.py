"""GTZAN: 1000 excerpts of 30 s in 10 genres (Tzanetakis and Cook 2002), with known artists, copies and faults."""

from __future__ import annotations

import csv
import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal, cast, get_args

from musicgen_cls.errors import SourceError
from musicgen_cls.files import as_path
from musicgen_cls.sources.base import (
    PROTECTED,
    Problem,
    Side,
    Source,
    Track,
    protected_format,
)
from musicgen_cls.sources.download import fetch, unpack

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")

Subset = Literal["full", "mini"]

# Where the genre folders are in common copies: marsyas, its "mini" set, Kaggle's, and the genre folders alone.
LAYOUTS = ("genres", "gtzan_mini-main/genres", "gtzan_mini-main", "Data/genres_original", "genres_original", ".")

# Addresses and checksums from torchaudio 2.11 and mirdata.
ADDRESSES: dict[Subset, tuple[tuple[str, str], ...]] = {
    "full": (
        (
            "https://huggingface.co/datasets/marsyas/gtzan/resolve/main/data/genres.tar.gz",
            "sha256:24347e0223d2ba798e0a558c4c172d9d4a19c00bb7963fe055d183dadb4ef2c6",
        ),
        ("http://opihi.cs.uvic.ca/sound/genres.tar.gz", "md5:5b3d6dddb579ab49814ab86dba69e7c7"),
    ),
    "mini": (
        (
            "https://github.com/TempoBeatDownbeat/gtzan_mini/archive/refs/heads/main.zip",
            "md5:44f7f23af8363d96c59663a987f29a4c",
        ),
    ),
}
PAGES: dict[Subset, str] = {
    "full": "https://huggingface.co/datasets/marsyas/gtzan",
    "mini": "https://github.com/TempoBeatDownbeat/gtzan_mini",
}


class GTZAN(Source):
    """The GTZAN genre collection in `root`, in any of the common folder layouts.

    Args:
        root: folder of the collection; a part of it is enough, and the ten labels stay the same.
        subset: what `download` fetches: "full", 1000 tracks (1.2 GB), or "mini", 10 of each genre.
        download: fetch the collection into `root` if it is missing.

    """

    def __init__(self, root: str = "data/gtzan", subset: Subset = "full", download: bool = False) -> None:
        if subset not in get_args(Subset):
            raise SourceError(f"--data.source.subset {subset!r}: GTZAN has full and mini; use one of these")
        self.root = root
        self.subset = subset
        self.download = download

    @property
    def location(self) -> Path:
        """The folder `root`."""
        return as_path(self.root, "--data.source.root")

    @property
    def genres(self) -> tuple[str, ...]:
        """The ten genres in alphabetical order, even if some have no track here."""
        return GENRES

    def tracks(self) -> list[Track]:
        """The tracks in `root`, by id; if there are two formats, the first in the order of `suffixes`."""
        paths = self._paths()
        if not paths:
            raise SourceError(f"{self._absence()}; {self._remedies()}")
        return [self._track(id, path) for id, path in sorted(paths.items())]

    def all_tracks(self) -> list[Track]:
        """All 1000 tracks."""
        ids = [f"{genre}.{number:05d}" for genre in GENRES for number in range(100)]
        return [self._track(id, self.location / id.split(".")[0] / f"{id}.wav") for id in ids]

    def prepare(self) -> None:
        """Download the collection, if `download` is set and there is no track."""
        if not self.download or self._paths():
            return
        try:
            fetch(f"GTZAN {self.subset}", ADDRESSES[self.subset], self.location, _unpack_nested)
        except SourceError as error:
            raise SourceError(f"{error}; {self._remedies()}") from error

    def problems(self) -> list[Problem]:
        """Audio in the genres' folders that is not a track: its format cannot be decoded, or its name is another."""
        paths = self._paths()
        folders = sorted({path.parent for path in paths.values()})
        others = [file for folder in folders for file in sorted(folder.iterdir()) if not file.name.startswith(".")]
        problems = []
        for file in others:
            suffix, known = file.suffix.lower(), file.name.removesuffix(file.suffix) in paths
            if suffix in PROTECTED and not known:
                problems.append(Problem(file, protected_format(file)))
            elif suffix in self.suffixes and not known:
                problems.append(Problem(file, "not a name of a GTZAN track, such as blues.00000.wav"))
        return problems

    def notes(self) -> dict[str, str]:
        """Notes by track id on files that are damaged in some copies, or distorted; faults.csv names the sources."""
        return dict(_column("faults", "note"))

    def official_split(self, name: str) -> dict[str, Side] | None:
        """The published "fault_filtered" lists of Kereliuk et al. 2015: 443, 197 and 290 tracks, 70 left out.

        Their "stratified" lists are not available here, since 42 known repetitions are on two of their sides.
        """
        if name != "fault_filtered":
            return None
        return cast("dict[str, Side]", dict(_column(name, "side")))

    @staticmethod
    def _track(id: str, path: Path) -> Track:
        artist, group = _column("artists", "artist").get(id), _column("duplicates", "group").get(id)
        return Track(id, path, genre=id.split(".")[0], artist=artist, group=group)

    def _paths(self) -> dict[str, Path]:
        """The file of each track id, in the first of the layouts that holds any."""
        for layout in LAYOUTS:
            if paths := _paths_in(self.location / layout, self.suffixes):
                return paths
        return {}

    def _absence(self) -> str:
        root = self.location
        first, *others = self.suffixes
        return (
            f"{root}: {'no GTZAN in it' if root.exists() else 'no such folder'} (expected files like "
            f"GENRE/GENRE.00000{first}, or {' '.join(others[:6])}, in it or its folder genres, genres_original or "
            "Data/genres_original)"
        )

    def _remedies(self) -> str:
        fetch = "" if self.download else "set --data.source.download true, "
        return (
            f"set --data.source.root to a copy, {fetch}download it yourself from {PAGES[self.subset]}, or use the "
            "synthetic set (--data.source SyntheticGenres)"
        )


def _paths_in(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Track ids and files of `folder`/GENRE/GENRE.NNNNN.SUFFIX; others, such as macOS's `._` files, are skipped."""
    paths: dict[str, Path] = {}
    for genre in GENRES:
        file_name = re.compile(rf"({genre}\.\d{{5}})(\.\w+)")
        matches = [m for path in folder.glob(f"{genre}/{genre}.*") if (m := file_name.fullmatch(path.name))]
        for suffix in suffixes:
            for match in matches:
                if match[2].lower() == suffix:
                    paths.setdefault(match[1], folder / genre / match[0])
    return paths


def _unpack_nested(archive: Path, folder: Path) -> None:
    """Unpack, and unpack a genres.zip in the archive: the mini set has one."""
    unpack(archive, folder)
    for inner in list(folder.rglob("genres.zip")):
        unpack(inner, inner.parent)
        inner.unlink()


@cache
def _column(table: str, column: str) -> dict[str, str]:
    """One column, by track id, of a table in data/gtzan; the `#` lines at its top name its origin."""
    text = resources.files("musicgen_cls").joinpath("data", "gtzan", f"{table}.csv").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return {row["id"]: row[column] for row in csv.DictReader(lines)}
