"""FMA: the Free Music Archive's clips of 30 s, with genres, artists and a split (Defferrard et al. 2017)."""

from __future__ import annotations

import csv
from functools import cached_property
from importlib import resources
from operator import itemgetter
from os import SEEK_END
from pathlib import Path
from typing import Any, Literal, get_args

from musicgen_cls.errors import SourceError
from musicgen_cls.files import as_path
from musicgen_cls.sources.base import Problem, Side, Source, Track
from musicgen_cls.sources.download import fetch

Subset = Literal["small", "medium", "large"]

# Addresses and checksums from https://github.com/mdeff/fma.
ADDRESS = "https://os.unil.cloud.switch.ch/fma/fma_{name}.zip"
SUMS = {
    "metadata": "sha1:f0df49ffe5f2a6008d7dc83c6915b31835dfe733",
    "small": "sha1:ade154f733639d52e35e32f5593efe5be76c6d70",
    "medium": "sha1:c67b69ea232021025fca9231fc1c7c1a063ab50b",
    "large": "sha1:497109f4dd721066b5ce5e5f250ec604dc78939e",
}
GENRES = (
    *("Blues", "Classical", "Country", "Easy Listening", "Electronic", "Experimental", "Folk", "Hip-Hop"),
    *("Instrumental", "International", "Jazz", "Old-Time / Historic", "Pop", "Rock", "Soul-RnB", "Spoken"),
)
SMALL = ("Electronic", "Experimental", "Folk", "Hip-Hop", "Instrumental", "International", "Pop", "Rock")
COLUMNS = (("set", "split"), ("set", "subset"), ("artist", "id"), ("track", "genre_top"))
SIDES: dict[str, Side] = {"training": "train", "validation": "validation", "test": "test"}


class FMA(Source):
    """The Free Music Archive's dataset in `root`: `fma_metadata/tracks.csv`, and `fma_small/000/000002.mp3` and so on.

    Genres are the top genres of the subset; tracks without a top genre are left out. Defferrard, Benzi, Vandergheynst
    and Bresson 2017, "FMA: a dataset for music analysis", https://arxiv.org/abs/1612.01840.

    Args:
        root: folder that holds both; a part of the audio is enough.
        subset: "small", 8000 tracks of 8 genres (7.2 GiB); "medium", 25,000 of 16 (22 GiB); or "large" (93 GiB).
        download: fetch missing parts into `root`.
    """

    def __init__(self, root: str = "data/fma", subset: Subset = "small", download: bool = False) -> None:
        if subset not in get_args(Subset):
            raise SourceError(
                f"--data.source.subset {subset!r}: FMA has {', '.join(get_args(Subset))}; use one of these"
            )
        self.root = root
        self.subset = subset
        self.download = download

    @property
    def name(self) -> str:
        """`fma_small` and so on."""
        return f"fma_{self.subset}"

    @property
    def location(self) -> Path:
        """The folder `root`."""
        return as_path(self.root, "--data.source.root")

    @property
    def genres(self) -> tuple[str, ...]:
        """The top genres of the subset, sorted; the published ones if the metadata is not downloaded yet."""
        if self.download and not self._metadata.exists():
            return SMALL if self.subset == "small" else GENRES
        return tuple(sorted({genre for _, genre, _, _ in self._table}))

    def tracks(self) -> list[Track]:
        """The tracks whose files exist, by number."""
        tracks = [track for track in self.all_tracks() if track.id in self._files]
        if not tracks:
            raise SourceError(
                f"{self._audio}: {f'no track of FMA {self.subset} in it' if self._audio.exists() else 'no such folder'}"
                f" (expected files like 000/000002{self._usual_suffix}); {self._remedies()}"
            )
        return tracks

    def all_tracks(self) -> list[Track]:
        """The subset's tracks in `tracks.csv`."""
        return [
            Track(id, self._files.get(id, self._audio / id[:3] / f"{id}{self._usual_suffix}"), genre, artist)
            for id, genre, artist, _ in self._table
        ]

    def problems(self) -> list[Problem]:
        """Tracks of the subset whose files are missing."""
        absent = [track.path for track in self.all_tracks() if track.id not in self._files]
        return [Problem(path, "in tracks.csv, but the file is missing") for path in absent]

    def prepare(self) -> None:
        """Download metadata and audio, if `download` is set and they are missing."""
        if not self.download:
            return
        for name, there in (("metadata", self._metadata), (self.subset, self._audio)):
            if not there.exists():
                try:
                    fetch(f"FMA {name}", [(ADDRESS.format(name=name), SUMS[name])], self.location)
                except SourceError as error:
                    raise SourceError(f"{error}; {self._remedies()}") from error

    def notes(self) -> dict[str, str]:
        """Notes by track id on files that are known to hold little or no audio; faults.csv names the sources."""
        text = resources.files("musicgen_cls").joinpath("data", "fma", "faults.csv").read_text(encoding="utf-8")
        return {row["id"]: row["note"] for row in csv.DictReader(x for x in text.splitlines() if not x.startswith("#"))}

    def official_split(self, name: str) -> dict[str, Side] | None:
        """The "official" split: 80, 10 and 10 % of each genre's tracks, with every artist on one side."""
        return {id: SIDES[side] for id, _, _, side in self._table} if name == "official" else None

    @property
    def _metadata(self) -> Path:
        return self.location / "fma_metadata" / "tracks.csv"

    @property
    def _audio(self) -> Path:
        return self.location / f"fma_{self.subset}"

    @property
    def _usual_suffix(self) -> str:
        """The suffix of the published files, or the first suffix that this source accepts."""
        return ".mp3" if ".mp3" in self.suffixes else self.suffixes[0]

    @cached_property
    def _files(self) -> dict[str, Path]:
        """The file of each track id; if there are two formats, the first in the order of `suffixes`."""
        found: dict[str, Path] = {}
        for suffix in self.suffixes:
            for path in self._audio.glob(f"[0-9][0-9][0-9]/*{suffix}"):
                found.setdefault(path.stem, path)
        return found

    @cached_property
    def _table(self) -> list[tuple[str, str, str | None, str]]:
        """Id, genre, artist (None if unknown) and side of every track of the subset that has a genre, by number."""
        import pandas as pd

        path = self._metadata
        if not path.is_file():
            raise SourceError(f"{path}: no such file; {self._remedies()}")
        try:
            with path.open("rb") as file:
                file.seek(-1, SEEK_END)
                if file.read() != b"\n":
                    raise SourceError(f"{path}: incomplete, it ends in the middle of a line; {self._remedies()}")
            table: Any = pd.read_csv(path, index_col=0, header=[0, 1], low_memory=False)
        except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
            raise SourceError(f"{path}: not a readable table; {self._remedies()}") from error
        if missing := [" ".join(column) for column in COLUMNS if column not in table.columns]:
            raise SourceError(
                f"{path}: no column '{missing[0]}' in its two header rows: not the version of May 2017; "
                f"{self._remedies()}"
            )
        subsets = get_args(Subset)[: get_args(Subset).index(self.subset) + 1]
        table = table.loc[table["set", "subset"].isin(subsets), list(COLUMNS)]
        table = table[table["track", "genre_top"].fillna("").astype(str).str.strip() != ""]
        sides = set(table["set", "split"].unique())
        if not sides <= set(SIDES):
            raise SourceError(f"{path}: splits {sorted(map(str, sides))}, not {sorted(SIDES)}; {self._remedies()}")
        if odd := [number for number in table.index if not str(number).isdecimal()]:
            raise SourceError(
                f"{path}: track_id '{odd[0]}' is not a number: not the version of May 2017; {self._remedies()}"
            )
        if (twice := table.index[table.index.duplicated()]).size:
            raise SourceError(f"{path}: track_id {twice[0]} twice: not the version of May 2017; {self._remedies()}")
        if table.empty:
            raise SourceError(
                f"{path}: no track of the subset '{self.subset}' has a genre; name another with "
                f"--data.source.subset, or {self._remedies()}"
            )
        rows = [
            (f"{int(number):06d}", str(genre), None if pd.isna(artist) else str(artist), str(side))
            for number, side, _, artist, genre in table.itertuples(name=None)
        ]
        return sorted(rows, key=itemgetter(0))

    def _remedies(self) -> str:
        fetch = "" if self.download else "set --data.source.download true, or "
        return f"set --data.source.root to a copy, {fetch}download it yourself from https://github.com/mdeff/fma"
