"""The tracks of a datamodule: read once, divided into sides, and what is known of leaks."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from lightning.pytorch import LightningDataModule

from musicgen_cls.collection.collection import Collection, describe_problems, write_tables
from musicgen_cls.datamodules import division
from musicgen_cls.datamodules.answers import Answers
from musicgen_cls.datamodules.dataset import Windows
from musicgen_cls.errors import SourceError, SplitError, UsageError, check_not_negative
from musicgen_cls.sources import splits
from musicgen_cls.sources.base import SIDES, Side, Source, Track
from musicgen_cls.sources.lists import Listed, is_list

log = logging.getLogger(__name__)


class TrackDataModule(Answers, LightningDataModule, ABC):
    """Tracks with genres, on three sides: training, validation and test.

    Args:
        source: the tracks: `Folder`, `GTZAN`, `FMA` or `SyntheticGenres`. Not needed to predict files.
        split: `track`, `artist`, `official` (FMA), `fault_filtered` or `fault_filtered_dev` (GTZAN), `segment` (leaks),
            `external`; or a table of your own, a CSV file with the columns `file` or `id`, and `subset` (train,
            validation, test), whose leaks the report names.
        fractions: shares of training, validation and test tracks, for `track`, `artist` and `segment`.
        fold: "i of n" instead of fractions: part i tests, the next validates, the others train.
        split_seed: random seed of the division.
        genres: names of the classes in label order; those of the source if not set.
        files: for `predict`: files, folders, patterns.
    """

    MIN_GENRES: ClassVar[int] = 2
    """The smallest number of genres."""

    DIVISION_ARGUMENTS: ClassVar[tuple[str, ...]] = ("split", "fractions", "fold", "split_seed")
    """Arguments that divide the tracks: a change would make training tracks test tracks."""

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
        fold = None if split == "external" else fold  # it may come from how the checkpoint was trained
        division.check_fold(split, fold)
        self.source, self.files = source, files
        self.split, self.fractions, self.fold, self.split_seed = split, fractions, fold, split_seed
        self.collection: Collection | None = None
        self._opened: Collection | None = None
        self.windows: dict[Side, Windows] = {}
        self.trained_on: frozenset[str] = frozenset()
        """Digests of the tracks that the loaded checkpoint was trained and selected on."""
        self.listed: Listed | None = None
        """How a list of the user's own divides the tracks; None for other splits."""
        self.genres = list(genres) if genres else self.all_genres()
        if len(self.genres) < self.MIN_GENRES:
            where = "--data.genres" if genres else self.location
            raise SourceError(f"{where}: only one genre, {self.genres}; a classifier needs at least two")
        self.num_classes: int | None = len(self.genres)

    @abstractmethod
    def read_tracks(self) -> Collection:
        """The tracks, fetched and read where they are not yet."""

    @abstractmethod
    def window_starts(self, length: int, side: Side | None) -> division.Starts:
        """Where the windows of a track start, in items, and how many items later each may start at most.

        Args:
            length: of the track, items.
            side: its side; None where windows are divided afterwards.
        """

    @property
    def source_name(self) -> str:
        """Short name of the source, for folders and reports."""
        return self._source().name

    @property
    def location(self) -> Path:
        """Where the tracks lie."""
        return self._source().location

    def all_genres(self) -> list[str]:
        """The genres of the source, in label order."""
        return list(self._source().genres)

    def usable_tracks(self, collection: Collection) -> list[int]:
        """Rows of the tracks to use."""
        return division.known_tracks(collection, self.genres, self.split, self.location)

    def lay_windows(self, collection: Collection, rows: Sequence[int], side: Side | None) -> Windows:
        """The windows of some tracks of one side."""
        return division.lay_windows(collection, rows, self.genres, partial(self.window_starts, side=side))

    def side_of_tracks(self, side: Side) -> Side:
        """The side whose tracks the windows of a side are cut from."""
        return side

    def prepare_data(self) -> None:
        """Fetch and decode what is missing: on one process, once."""
        predicting = self.trainer is None or self.trainer.state.fn == "predict"
        if (predicting and self.files is not None) or self._opened is not None:
            return
        self._opened = collection = self.open_collection()
        if collection.problems:
            where = f"\n  the whole list: {write_tables(collection)[1]}" if collection.folder else ""
            log.warning("%s%s", describe_problems(collection.problems), where)

    def open_collection(self) -> Collection:
        """The tracks, with genres spelt as the checkpoint has them."""
        return division.match_genres(self.read_tracks(), self.genres, self.location)

    @property
    def split_name(self) -> str:
        """Short name of the split, for reports and folders: of a list the name of its file."""
        return Path(self.split).name if is_list(self.split) else self.split

    @property
    def leaks(self) -> bool:
        """Whether tracks of the test set may have been, or were, trained on."""
        return bool(self.known_leaks or self.seen_in_training("test"))

    @property
    def known_leaks(self) -> list[str]:
        """The leaks of the split itself, in words."""
        if self.split in splits.LEAKY:
            return [splits.LEAK_WARNING]
        return [f"split '{self.split_name}': {leak}" for leak in self.listed.leaks] if self.listed else []

    def grouped(self, collection: Collection) -> list[str]:
        """Which tracks are kept together and why, and what a list of the user's own leaves out: for reports."""
        return division.grouping_notes(collection, self.split, self.listed)

    def seen_in_training(self, side: Side) -> list[str]:
        """Ids of the tracks of a side that the loaded checkpoint was trained or selected on."""
        if self.collection is None or self.known_leaks:
            return []
        rows = division.tracks_on(self.windows, side)
        seen = (self.collection.name(row) for row in rows if self.collection.digests[row] in self.trained_on)
        return list(dict.fromkeys(seen))

    def _source(self) -> Source:
        if self.source is None:
            raise UsageError("data.source is not set: name one, as --data.source Folder --data.source.root DIR")
        return self.source

    def _open_once(self) -> None:
        if self.collection is not None:
            return
        collection = self._opened or self.open_collection()  # a process that did not prepare opens it here
        self.windows = self._divide(collection, self.usable_tracks(collection))
        self.collection = collection
        for leak in self.known_leaks:
            log.warning(leak)

    def _divide(self, collection: Collection, rows: Sequence[int]) -> dict[Side, Windows]:
        """The windows of each side."""
        if self.split == "segment":
            every = self.lay_windows(collection, rows, None)
            return division.divide_windows(every, self.genres, self.fractions, self.split_seed, self.location)
        if is_list(self.split):
            root = self._source().location if self.source is not None else self.location.parent
            self.listed = division.divide_by_list(collection, self.split, root)
            sides = self.listed.sides
        else:
            sides = self._sides(collection.tracks)
            if left_out := sum(sides[row] is None for row in rows):
                log.warning("split '%s' leaves out %d tracks: unlisted, or of unknown artists", self.split, left_out)
        rows_of = {side: [row for row in rows if sides[row] == side] for side in SIDES}
        return {side: self.lay_windows(collection, rows_of[self.side_of_tracks(side)], side) for side in SIDES}

    def _sides(self, tracks: Sequence[Track]) -> list[Side | None]:
        """Side of every track, also of genres that are not used: their tracks change nothing for the others."""
        rule = self.split, self.fractions, self.fold, self.split_seed
        try:
            return splits.assign(self.source, tracks, *rule, genres=self.genres)
        except SplitError as error:
            raise SplitError(f"{self.location}: {error}") from None
