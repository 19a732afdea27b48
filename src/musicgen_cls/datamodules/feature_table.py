"""Tables of features, such as those that go with GTZAN on Kaggle."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from musicgen_cls.audio.features import COLUMNS, RATE
from musicgen_cls.audio.mel import Standardise
from musicgen_cls.collection.collection import Collection, join
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.datamodules.dataset import Batch, Windows
from musicgen_cls.errors import SourceError, UsageError, check_not_negative
from musicgen_cls.files import as_path
from musicgen_cls.sources.base import Problem, Side, Source, Track
from musicgen_cls.sources.names import AmbiguousName, Names, match
from musicgen_cls.sources.parts import Item, as_part, parts_of_tracks
from musicgen_cls.sources.splits import SplitName
from musicgen_cls.sources.table import read_table


class FeatureTable(GenreDataModule):
    """Rows of a table of features, each of a part of a track: `features_3_sec.csv`, or what `musiccli features` wrote.

    Columns are found by name: `filename`, the 58 of `musicgen_cls.audio.features.COLUMNS`, and `label`. Rows of one
    track (`blues.00000.0.wav`, `blues.00000.1.wav`, ..., see `musicgen_cls.sources.parts`) stay on one side of a split.
    Batches: `x` `[batch, 58]`, or
    `[batch, look_back, 58]`, z-scored with mean and spread of the training rows; `y`, `track`, `index` `[batch]` int64;
    `start_s` `[batch]` s.

    Args:
        table: the CSV file.
        source: whose tracks the rows are of; it knows artists, copies and published splits. Without one rows tell all.
        look_back: predict each row's genre from so many rows before it, as a recurrent network does; 0: from itself.
        across_tracks: let windows run on from track to track, as rows stand in the table. This leaks, and needs split
            `segment`: tables are sorted by genre, so that what precedes a row tells its genre.
        split: `track`, `artist`, `official` (FMA), `fault_filtered` or `fault_filtered_dev` (GTZAN), `segment` (leaks),
            `external`; or a table of your own, a CSV file with the columns `file` or `id`, and `subset` (train,
            validation, test), whose leaks the report names.
        fractions: shares of training, validation and test tracks, for `track`, `artist` and `segment`.
        fold: "i of n" instead of fractions: part i tests, the next validates, the others train.
        split_seed: which division of the many with these shares.
        batch_size: rows or windows in a batch.
        num_workers: loader processes; none is fastest here, since all is in memory.
        genres: names of the classes in label order; those of the source or table if not set.
        files: not read; predict takes audio.
    """

    INPUT_ARGUMENTS: ClassVar[tuple[str, ...]] = ("look_back",)
    _read: Any = None
    """The table, from when its genres are asked for until it is made a collection."""

    features: ClassVar[int] = len(COLUMNS)
    """Numbers in a row."""

    DIVISION_ARGUMENTS: ClassVar[tuple[str, ...]] = (*GenreDataModule.DIVISION_ARGUMENTS, "across_tracks")

    def __init__(
        self,
        table: str = "features_3_sec.csv",
        source: Source | None = None,
        look_back: int = 0,
        across_tracks: bool = False,
        split: SplitName | str = "track",
        fractions: Sequence[float] = (0.7, 0.15, 0.15),
        fold: str | None = None,
        split_seed: int = 0,
        batch_size: int = 32,
        num_workers: int = 0,
        genres: list[str] | None = None,
        files: list[str] | str | None = None,
    ) -> None:
        check_not_negative("--data.", look_back=look_back)
        if across_tracks and not (look_back and split == "segment"):
            raise UsageError(
                "--data.across_tracks true: windows that run over the whole table can only be divided at random; set "
                "--data.look_back and --data.split segment too"
            )
        self.table = table
        self.look_back = look_back
        self.across_tracks = across_tracks
        super().__init__(source, split, fractions, fold, split_seed, batch_size, num_workers, genres, files)
        self.front_end: Standardise = Standardise(len(COLUMNS), least=0.0)

    @property
    def window_length(self) -> int:
        """Rows that a prediction is made from."""
        return max(self.look_back, 1)

    @property
    def source_name(self) -> str:
        """Of the collection whose tracks its rows are; the table's own where none is named."""
        return self.location.stem.lower() if self.source is None else self.source.name

    @property
    def location(self) -> Path:
        """The table."""
        return as_path(self.table, "--data.table")

    def places(self, length: int, side: Side | None) -> tuple[npt.NDArray[np.int64], int]:
        """Every row; of windows, every one that has a row after it."""
        return np.arange(length - self.look_back, dtype=np.int64), 0

    def fit_front_end(self) -> None:
        """Mean and spread of each column over the rows that training predicts the genre of."""
        assert self.collection is not None
        rows = self.collection.items[self.windows["train"].start + self.look_back]
        self.front_end.fit(torch.from_numpy(rows.T[None]))

    def silent_batch(self) -> Batch:
        """A batch of one row, or window, of zeros."""
        zeros = torch.zeros(1, self.window_length, len(COLUMNS))
        return self.on_after_batch_transfer({"x": zeros, "y": torch.zeros(1, dtype=torch.int64)}, 0)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Rows to z-scores, on the device."""
        batch["x"] = batch["x"].transpose(1, 2)
        batch = super().on_after_batch_transfer(batch, dataloader_idx)
        batch["x"] = batch["x"].transpose(1, 2) if self.look_back else batch["x"][:, :, 0]
        return batch

    def _all_genres(self) -> list[str]:
        if self.source is not None:
            return super()._all_genres()
        self._read = read_table(self.location)
        return sorted(set(self._read["label"]))

    def _lay(self, collection: Collection, rows: list[int], side: Side | None) -> Windows:
        return self._lay_across(collection, rows) if self.across_tracks else super()._lay(collection, rows, side)

    def _lay_across(self, collection: Collection, rows: list[int]) -> Windows:
        """A window before every row but the first, whatever its tracks; it counts as of the track of that row."""
        track_of = np.repeat(np.arange(len(collection.tracks)), collection.lengths)
        target = np.arange(self.look_back, len(track_of))
        target = target[np.isin(track_of[target], rows)]
        track = track_of[target]
        genre = np.array([self.genres.index(collection.tracks[row].genre) for row in track], dtype=np.int64)
        start_s = (target - collection.offset[track]) / collection.rate
        return Windows(track, genre, target - self.look_back, np.zeros_like(target), start_s.astype(np.float32))

    def _collect(self) -> Collection:
        table = self._read if self._read is not None else read_table(self.location)
        self._read = None  # what is in it lives on in the collection
        seconds = (table["length"] / RATE).tolist()
        named = list(zip(table.index, table["filename"], table["label"], seconds, strict=True))
        places = self._places_by_source(named) if self.source is not None else self._places_by_rule(named)
        tracks: dict[str, Track] = {}
        rows_of: dict[str, dict[int, int]] = {}  # by track and part
        for row, (track, part) in enumerate(places):
            line, filename, label, _ = named[row]
            first = tracks.setdefault(track.id, track)
            if first.genre != track.genre:
                raise self._mislabelled(line, filename, label, first.genre)
            own = rows_of.setdefault(track.id, {})
            if part in own:
                raise SourceError(
                    f"{self.location} line {line}: {filename} is the part of its track that line "
                    f"{table.index[own[part]]} is; take one of the rows away"
                )
            own[part] = row
        if self.split not in ("segment", "external"):
            self._check_labels(tracks, {name: table.index[min(own.values())] for name, own in rows_of.items()})
        parted = [own for own in rows_of.values() if len(own) > 1]
        by = "their names" if self.source is None else self.source.name
        example = f", as {named[min(parted[0].values())][1]}" if parted else ""
        grouped = [f"{sum(map(len, parted))} rows are parts of {len(parted)} tracks by {by}{example}"] if parted else []
        problems = self._too_short(tracks, {name: len(own) for name, own in rows_of.items()})
        numbers = table[list(COLUMNS)].to_numpy(np.float32)
        ordered = {name: [row for _, row in sorted(rows_of[name].items())] for name in tracks}
        return join(
            list(tracks.values()),
            problems,
            [numbers[rows] for rows in ordered.values()],
            RATE / float(np.median(table["length"])),
            by_name=self.source is None or self.source.names_tell_parts,
            seconds=[sum(seconds[row] for row in rows) for rows in ordered.values()],
            grouped=grouped,
        )

    def _mislabelled(self, line: int, filename: str, label: str, genre: str) -> SourceError:
        return SourceError(
            f"{self.location} line {line}: {filename} has the label '{label}', but its track is '{genre}'; fix the "
            "label"
        )

    def _places_by_rule(self, named: Sequence[_Named]) -> list[tuple[Track, int]]:
        """The track of each row, and which part of it the row is, by the names of all rows."""
        unlabelled = parts_of_tracks([Item(name, "", seconds) for _, name, _, seconds in named])
        labels: dict[str, list[str]] = defaultdict(list)
        for part, (_, _, label, _) in zip(unlabelled, named, strict=True):
            if part is not None:
                labels[part.whole].append(label)
        usual = {whole: Counter(own).most_common(1)[0] for whole, own in labels.items()}
        for part, (line, name, label, _) in zip(unlabelled, named, strict=True):
            if (
                part is not None
                and label != usual[part.whole][0]
                and usual[part.whole][1] > len(labels[part.whole]) / 2
            ):
                raise self._mislabelled(line, name, label, usual[part.whole][0])
        parts = parts_of_tracks([Item(name, label, seconds) for _, name, label, seconds in named])
        stems = [name.removesuffix(_ending(name)) for _, name, _, _ in named]
        places = []
        for stem, part, (_, name, label, _) in zip(stems, parts, named, strict=True):
            whole = part.whole if part else stem
            places.append((Track(whole, Path(name), label), part.number if part else 0))
        return places

    def _places_by_source(self, named: Sequence[_Named]) -> list[tuple[Track, int]]:
        """The track of each row, and which part of it the row is, by the tracks that the source knows."""
        assert self.source is not None
        known = {track.id: track for track in self.source.described()}
        ids, labels = Names(known), dict.fromkeys(label for _, _, label, _ in named)
        places = []
        try:
            genres = match(labels, dict.fromkeys(track.genre for track in known.values()))
        except AmbiguousName as error:
            raise SourceError(f"{self.location}: label {error}; write one of them in another way") from error
        for line, filename, label, _ in named:
            ending = _ending(filename)
            stem, found = filename.removesuffix(ending), as_part(filename)
            wholes = [(stem, 0), *([(found[0].whole, found[0].number)] if found else [])]
            try:
                place = next(
                    (known[id], part)
                    for whole, part in wholes
                    for name in (whole, whole + ending)
                    if (id := ids.find(name)) is not None
                )
            except AmbiguousName as error:
                raise SourceError(f"{self.location} line {line}: {error}; write it as the collection has it") from error
            except StopIteration:
                raise SourceError(
                    f"{self.location}: {filename} is of no track of {self.source.location}; take the row away, or "
                    "leave out --data.source"
                ) from None
            if genres.get(label) != place[0].genre:
                raise self._mislabelled(line, filename, label, place[0].genre)
            places.append(place)
        return places

    def _check_labels(self, tracks: dict[str, Track], line_of: dict[str, int]) -> None:
        """A label that one track alone has may be misspelt; it could not be on three sides in any case."""
        count = Counter(track.genre for track in tracks.values())
        for name, track in tracks.items():
            if count[track.genre] == 1:
                raise SourceError(
                    f"{self.location} line {line_of[name]}: {name} is the only track with the label '{track.genre}'; "
                    "fix the label, add tracks, or take its rows away"
                )

    def _too_short(self, tracks: dict[str, Track], count_of: dict[str, int]) -> list[Problem]:
        """Take tracks out that have too few rows for a window; raises UsageError if no window is left."""
        longest = sum(count_of.values()) if self.across_tracks else max(count_of.values())
        if longest <= self.look_back:
            raise UsageError(f"--data.look_back {self.look_back}: {self._ways_on(longest)}")
        short = [] if self.across_tracks else [name for name in tracks if count_of[name] <= self.look_back]
        return [
            Problem(tracks.pop(name).path, f"too few rows for --data.look_back {self.look_back}: {count_of[name]}")
            for name in short
        ]

    def _ways_on(self, longest: int) -> str:
        if self.across_tracks:
            return f"longer than the table, which has {longest} rows; take {longest - 1} or less"
        if longest == 1:
            return (
                "tracks have one row each; give a table of their parts, as features_3_sec.csv, or take 0 and a network "
                "for single rows, as --model.network FeatureMLP"
            )
        return (
            f"longer than any track, which have up to {longest} rows; take {longest - 1} or less, or "
            "--data.across_tracks true --data.split segment, which leaks"
        )


_Named = tuple[int, str, str, float]
"""Line, filename, label and seconds of a row."""


def _ending(name: str) -> str:
    """The ending of a file's name; a number is none."""
    ending = Path(name).suffix
    return "" if ending[1:].isdigit() else ending
