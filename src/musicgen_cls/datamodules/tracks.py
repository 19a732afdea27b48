"""The tracks of a datamodule: they are read once and divided into sides; the known leaks."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from lightning.pytorch import LightningDataModule

from musicgen_cls.collection.collection import Collection, describe_problems, write_tables
from musicgen_cls.datamodules import division
from musicgen_cls.datamodules.dataset import Windows
from musicgen_cls.datamodules.interface import DataModuleInterface
from musicgen_cls.errors import SourceError, SplitError, UsageError, check_not_negative
from musicgen_cls.files import as_path
from musicgen_cls.sources import splits
from musicgen_cls.sources.base import SIDES, Side, Source, Track
from musicgen_cls.sources.lists import Listed, is_list

log = logging.getLogger(__name__)


class TrackDataModule(DataModuleInterface, LightningDataModule, ABC):
    """Tracks with genres on three sides: training, validation and test.

    Args:
        source: the tracks: `Folder`, `GTZAN`, `FMA`, `HubDataset`, `Manifest`, `Shards` or `SyntheticGenres`.
            Not needed to predict files.
        split: `track`, `artist`, `official` (FMA, HubDataset, Manifest), `fault_filtered` or `fault_filtered_dev`
            (GTZAN), `segment` (leaks), `external`; or your own table, a CSV file with the columns `file` or `id`, and
            `subset` (train, validation, test). The report names the leaks of your table and of a HubDataset's splits.
        fractions: shares of training, validation and test tracks, for `track`, `artist` and `segment`.
        fold: "i of n" instead of fractions: part i is the test set, the next part validates, the others train.
        split_seed: random seed of the division.
        genres: names of the classes in label order; the genres of the source if not set.
        files: files, folders and patterns for `predict`.
    """

    MIN_GENRES: ClassVar[int] = 2
    """Minimum number of genres."""

    DIVISION_ARGUMENTS: ClassVar[tuple[str, ...]] = ("split", "fractions", "fold", "split_seed")
    """Arguments that divide the tracks; with other values, training tracks would become test tracks."""

    def __init__(
        self,
        source: Source | None = None,
        split: splits.SplitName | str = "track",
        fractions: Sequence[float] = (0.7, 0.15, 0.15),
        fold: str | None = None,
        split_seed: int = 0,
        genres: list[str] | None = None,
        files: list[str] | str | None = None,
    ) -> None:
        super().__init__()
        check_not_negative("--data.", split_seed=split_seed)
        splits.check_name(split)
        fold = None if split == "external" else fold  # the fold can come from a checkpoint's training
        division.check_fold(split, fold)
        self.source, self.files = source, files
        self.split, self.fractions, self.fold, self.split_seed = split, fractions, fold, split_seed
        self.collection: Collection | None = None
        self._opened: Collection | None = None
        self.windows: dict[Side, Windows] = {}
        self.trained_on: frozenset[str] = frozenset()
        """Digests of the tracks that trained and validated the loaded checkpoint."""
        self.listed: Listed | None = None
        """The division by a user's list; None for other splits."""
        self.genres = list(genres) if genres else self.all_genres()
        if twice := [genre for genre, number in Counter(self.genres).items() if number > 1]:
            raise UsageError(f"--data.genres {self.genres}: {twice[0]} is there twice; name each genre once")
        if len(self.genres) < self.MIN_GENRES:
            lists = () if self.source is None else self.source.lists
            where = "--data.genres" if genres else next(iter(lists), self.location)
            raise SourceError(f"{where}: only one genre, {self.genres}; a classifier needs at least two, add one")
        self.num_classes: int | None = len(self.genres)

    @abstractmethod
    def read_tracks(self) -> Collection:
        """Fetch and read the tracks, if they are not read yet."""

    @abstractmethod
    def window_starts(self, length: int, side: Side | None) -> division.Starts:
        """The starts of the windows of a track, in items, and the slack: by how many items each can start later.

        Args:
            length: length of the track, items.
            side: side of the track; None if windows are divided afterwards.
        """

    @property
    def source_name(self) -> str:
        """Short name of the source, for folders and reports."""
        return self._source().name

    @property
    def lists(self) -> list[Path]:
        """The tables that name or divide the tracks. Results do not replace them."""
        divides = [as_path(self.split, "--data.split")] if is_list(self.split) else []
        tables = [self.location] if self.location.is_file() else []
        return [*divides, *tables, *(self.source.lists if self.source is not None else ())]

    @property
    def location(self) -> Path:
        """The folder or file of the tracks."""
        return self._source().location

    def all_genres(self) -> list[str]:
        """The genres of the source, in label order."""
        return list(self._source().genres)

    def usable_tracks(self, collection: Collection) -> list[int]:
        """Rows of the tracks to use."""
        return division.known_tracks(collection, self.genres, self.split, self.location)

    def lay_windows(self, collection: Collection, rows: Sequence[int], side: Side | None) -> Windows:
        """The windows of the tracks in `rows`, which are on one side."""
        return division.lay_windows(collection, rows, self.genres, partial(self.window_starts, side=side))

    def side_of_tracks(self, side: Side) -> Side:
        """The side of the tracks from which the windows of a side are cut."""
        return side

    def prepare_data(self) -> None:
        """Fetch and decode missing tracks, once, on one process."""
        predicting = self.trainer is None or self.trainer.state.fn == "predict"
        if (predicting and self.files is not None) or self._opened is not None:
            return
        self._opened = collection = self.open_collection()
        if collection.problems:
            where = f"\n  the whole list: {write_tables(collection)[1]}" if collection.folder else ""
            log.warning("%s%s", describe_problems(collection.problems), where)

    def open_collection(self) -> Collection:
        """The tracks, with the spelling of genres in `genres`."""
        return division.match_genres(self.read_tracks(), self.genres, self.location)

    @property
    def split_name(self) -> str:
        """Short name of the split, for reports and folders; for a list, its file name."""
        return Path(self.split).name if is_list(self.split) else self.split

    @property
    def leaks(self) -> bool:
        """Whether the network was trained on tracks of the test set, or can have been."""
        return bool(self.known_leaks or self.seen_in_training("test"))

    @property
    def known_leaks(self) -> list[str]:
        """Sentences on the leaks of the split itself."""
        if self.split in splits.LEAKY:
            return [splits.LEAK_WARNING]
        return [f"split '{self.split_name}': {leak}" for leak in self.listed.leaks] if self.listed else []

    def grouped(self, collection: Collection) -> list[str]:
        """For reports: sentences on tracks that are kept together, with the reasons, and on what a list leaves out."""
        return division.grouping_notes(collection, self.split, self.listed)

    def seen_in_training(self, side: Side) -> list[str]:
        """Ids of the tracks of a side that trained or validated the loaded checkpoint."""
        if self.collection is None or self.known_leaks:
            return []
        rows = division.tracks_on(self.windows, side)
        seen = (self.collection.name(row) for row in rows if self.collection.digests[row] in self.trained_on)
        return list(dict.fromkeys(seen))

    def _source(self) -> Source:
        if self.source is None:
            raise UsageError("--data.source: not set; name one, such as --data.source Folder --data.source.root DIR")
        return self.source

    def _open_once(self) -> None:
        if self.collection is not None:
            return
        collection = self._opened or self.open_collection()  # None in a process that did not prepare the data
        self.windows = self._divide(collection, self.usable_tracks(collection))
        self.collection = collection
        for leak in self.known_leaks:
            log.warning(leak)

    def _divide(self, collection: Collection, rows: Sequence[int]) -> dict[Side, Windows]:
        """The windows of each side."""
        if self.split == "segment":
            every = self.lay_windows(collection, rows, None)
            return division.divide_windows(every, self.genres, self.fractions, self.split_seed, self.location)
        sides = self.sides_of(collection)
        if self.listed is None and (left_out := sum(sides[row] is None for row in rows)):
            log.warning("split '%s' leaves out %d tracks: not listed, or of unknown artists", self.split, left_out)
        rows_of = {side: [row for row in rows if sides[row] == side] for side in SIDES}
        return {side: self.lay_windows(collection, rows_of[self.side_of_tracks(side)], side) for side in SIDES}

    def sides_of(self, collection: Collection) -> Sequence[Side | None]:
        """Side of every track; None for those that a list, or an unknown artist, leaves out. Not for split 'segment'.

        Raises:
            SplitError: the tracks cannot be divided so.
        """
        if is_list(self.split):
            root = self._source().location if self.source is not None else self.location.parent
            self.listed = division.divide_by_list(collection, self.split, root)
        elif self.split == "official" and self.source is not None and self.source.OFFICIAL_CAN_LEAK:
            rule = self.fractions, self.split_seed
            self.listed = division.divide_officially(collection, self.source, *rule, self.location)
        else:
            return self._sides(collection.tracks)
        return self.listed.sides

    def _sides(self, tracks: Sequence[Track]) -> list[Side | None]:
        """Side of every track, including those of unused genres, so that the sides do not depend on `genres`."""
        rule = self.split, self.fractions, self.fold, self.split_seed
        try:
            return splits.assign(self.source, tracks, *rule, genres=self.genres)
        except SplitError as error:
            raise SplitError(f"{self.location}: {error}") from None
