"""FMA: the Free Music Archive's clips of 30 s, with genres, artists and a split (Defferrard et al. 2017)."""

from __future__ import annotations

import csv
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from musicgen_cls.errors import SourceError
from musicgen_cls.sources.download import fetch
from musicgen_cls.sources.track import Problem, Side, Source, Track

Subset = Literal["small", "medium", "large"]

# Addresses and sums as https://github.com/mdeff/fma gives them.
ADDRESS = "https://os.unil.cloud.switch.ch/fma/fma_{name}.zip"
SUMS = {
    "metadata": "sha1:f0df49ffe5f2a6008d7dc83c6915b31835dfe733",
    "small": "sha1:ade154f733639d52e35e32f5593efe5be76c6d70",
    "medium": "sha1:c67b69ea232021025fca9231fc1c7c1a063ab50b",
    "large": "sha1:497109f4dd721066b5ce5e5f250ec604dc78939e",
}
COLUMNS = (("set", "split"), ("set", "subset"), ("artist", "id"), ("track", "genre_top"))
SIDES: dict[str, Side] = {"training": "train", "validation": "validation", "test": "test"}


class FMA(Source):
    """The Free Music Archive's dataset in `root`: `fma_metadata/tracks.csv`, and `fma_small/000/000002.mp3` and so on.

    Genres are the top genres of the subset; tracks without one are none. Defferrard, Benzi, Vandergheynst and Bresson
    2017, "FMA: a dataset for music analysis", https://arxiv.org/abs/1612.01840.

    Args:
        root: folder that holds both; a part of the audio will do.
        subset: "small", 8000 tracks of 8 genres (7.2 GiB); "medium", 25,000 of 16 (22 GiB); or "large" (93 GiB).
        download: fetch what is not there into `root`.
    """

    def __init__(self, root: str = "data/fma", subset: Subset = "small", download: bool = False) -> None:
        if subset not in get_args(Subset):
            raise SourceError(f"subset {subset!r} of FMA is unknown: {', '.join(get_args(Subset))}")
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
        return Path(self.root).expanduser()

    @property
    def genres(self) -> tuple[str, ...]:
        """The top genres of the subset, sorted."""
        return tuple(sorted({track.genre for track in self.described()}))

    def tracks(self) -> list[Track]:
        """The tracks whose files are there, by number."""
        there = self._files
        tracks = [track for track in self.described() if track.path in there]
        if not tracks:
            raise SourceError(
                f"{self._audio} {'holds no track of' if self._audio.exists() else 'does not exist, the folder of'} "
                f"FMA {self.subset}: looked for 000/000002{self.suffixes[-1]} and so on; {self._ways_on()}"
            )
        return tracks

    def described(self) -> list[Track]:
        """The subset's tracks as `tracks.csv` has them."""
        suffix = self.suffixes[-1]
        return [
            Track(id, self._audio / id[:3] / f"{id}{suffix}", genre, artist) for id, genre, artist, _ in self._table
        ]

    def problems(self) -> list[Problem]:
        """Tracks of the subset whose files are not there."""
        there = self._files
        absent = [track.path for track in self.described() if track.path not in there]
        return [Problem(path, "in tracks.csv, but not there") for path in absent]

    def prepare(self) -> None:
        """Download metadata and audio, where `download` asks for it and they are not there."""
        if not self.download:
            return
        for name, there in (("metadata", self._metadata), (self.subset, self._audio)):
            if not there.exists():
                try:
                    fetch(f"FMA {name}", [(ADDRESS.format(name=name), SUMS[name])], self.location)
                except SourceError as error:
                    raise SourceError(f"{error}; {self._ways_on()}") from error

    def notes(self) -> dict[str, str]:
        """Notes by track id on files known to hold no or little audio; see faults.csv for sources."""
        text = resources.files("musicgen_cls").joinpath("data", "fma", "faults.csv").read_text(encoding="utf-8")
        return {row["id"]: row["note"] for row in csv.DictReader(x for x in text.splitlines() if not x.startswith("#"))}

    def official_split(self, name: str) -> dict[str, Side] | None:
        """The "official" split, which keeps artists apart: 80, 10 and 10 % of each genre's tracks."""
        return {id: SIDES[side] for id, _, _, side in self._table} if name == "official" else None

    @property
    def _metadata(self) -> Path:
        return self.location / "fma_metadata" / "tracks.csv"

    @property
    def _audio(self) -> Path:
        return self.location / f"fma_{self.subset}"

    @cached_property
    def _files(self) -> frozenset[Path]:
        return frozenset(self._audio.glob(f"[0-9][0-9][0-9]/*{self.suffixes[-1]}"))

    @cached_property
    def _table(self) -> list[tuple[str, str, str, str]]:
        """Id, genre, artist and side of every track of the subset that has a genre, by number."""
        import pandas as pd

        path = self._metadata
        if not path.is_file():
            raise SourceError(f"{path} does not exist; {self._ways_on()}")
        try:
            table: Any = pd.read_csv(path, index_col=0, header=[0, 1], low_memory=False)
        except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
            raise SourceError(f"{path}: not a table that can be read; {self._ways_on()}") from error
        if missing := [" ".join(column) for column in COLUMNS if column not in table.columns]:
            raise SourceError(
                f"{path}: no column '{missing[0]}' under its two rows of headings: not the version of May 2017; "
                f"{self._ways_on()}"
            )
        subsets = get_args(Subset)[: get_args(Subset).index(self.subset) + 1]
        table = table.loc[table["set", "subset"].isin(subsets), list(COLUMNS)].dropna(subset=[("track", "genre_top")])
        sides = set(table["set", "split"].unique())
        if not sides <= set(SIDES):
            raise SourceError(f"{path}: splits {sorted(map(str, sides))}, not {sorted(SIDES)}; {self._ways_on()}")
        return sorted(
            (f"{int(number):06d}", str(genre), str(artist), str(side))
            for number, side, _, artist, genre in table.itertuples(name=None)
        )

    def _ways_on(self) -> str:
        again = "get it by hand" if self.download else "let it download (--data.source.download true) or get it by hand"
        return f"point --data.source.root at a copy, {again} from https://github.com/mdeff/fma"
