"""What every datamodule shares: tracks, their division into sides, windows, loaders, and what goes into checkpoints."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from musicgen_cls.collection.collection import Collection, describe_problems, write_tables
from musicgen_cls.datamodules import division
from musicgen_cls.datamodules.answers import Answers
from musicgen_cls.datamodules.dataset import Batch, WindowDataset, Windows, WindowSampler, make_loader, rank_of
from musicgen_cls.datamodules.front_end import FrontEnd
from musicgen_cls.errors import SourceError, SplitError, UsageError, check_not_negative, check_positive
from musicgen_cls.sources import splits
from musicgen_cls.sources.base import SIDES, Side, Source
from musicgen_cls.sources.lists import Listed, is_list
from musicgen_cls.specs import class_path, init_arguments

log = logging.getLogger(__name__)


class GenreDataModule(Answers, LightningDataModule, ABC):
    """Tracks with genres, divided into training, validation and test, and cut into windows.

    A subclass reads the tracks (`read_tracks`) and has a `window_length`, a `blank_window` and a `front_end`; see
    `Answers` for what else it can know. It keeps each of its arguments as an attribute of the same name before it calls
    `super().__init__`, so that checkpoints can rebuild it.

    Args:
        source: the tracks: `Folder`, `GTZAN`, `FMA` or `SyntheticGenres`. Not needed to predict files.
        split: `track`, `artist`, `official` (FMA), `fault_filtered` or `fault_filtered_dev` (GTZAN), `segment` (leaks),
            `external`; or a table of your own, a CSV file with the columns `file` or `id`, and `subset` (train,
            validation, test), whose leaks the report names.
        fractions: shares of training, validation and test tracks, for `track`, `artist` and `segment`.
        fold: "i of n" instead of fractions: part i tests, the next validates, the others train.
        split_seed: random seed of the division.
        batch_size: windows in a batch.
        num_workers: loader processes; 0 is fastest here, since a batch is a few slices of an array.
        genres: names of the classes in label order; those of the source if not set.
        files: for `predict`: files, folders, patterns.
    """

    MIN_GENRES: ClassVar[int] = 2
    """The smallest number of genres."""

    INPUT_ARGUMENTS: ClassVar[tuple[str, ...]] = ()
    """Arguments that a network's input depends on: those of a checkpoint cannot be changed."""

    DIVISION_ARGUMENTS: ClassVar[tuple[str, ...]] = ("split", "fractions", "fold", "split_seed")
    """Arguments that divide the tracks: a change would make training tracks test tracks."""

    front_end: FrontEnd
    """Turns windows into the input of the network, on the device."""

    windows_per_track: int | None = None
    """The largest number of evenly spaced windows of a track; all that fit if None."""

    crops_per_track: int | None = None
    """Number of windows of a training track at random places; None for evenly spaced ones."""

    def __init__(
        self,
        source: Source | None = None,
        split: splits.SplitName | str = "track",
        fractions: Sequence[float] = (0.7, 0.15, 0.15),
        fold: str | None = None,
        split_seed: int = 0,
        batch_size: int = 64,
        num_workers: int = 0,
        genres: list[str] | None = None,
        files: list[str] | str | None = None,
    ) -> None:
        super().__init__()
        check_positive("--data.", batch_size=batch_size)
        check_not_negative("--data.", split_seed=split_seed, num_workers=num_workers)
        splits.check_name(split)
        fold = None if split == "external" else fold  # it may come from how the checkpoint was trained
        division.check_fold(split, fold)
        self.source, self.files = source, files
        self.split, self.fractions, self.fold, self.split_seed = split, fractions, fold, split_seed
        self.batch_size, self.num_workers = batch_size, num_workers
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
        origin = {"_class_path": class_path(type(self)), "_instantiator": "lightning.pytorch.cli.instantiate_module"}
        self.save_hyperparameters(origin | init_arguments(self) | {"files": None}, logger=False)

    # What a subclass must have

    @property
    @abstractmethod
    def window_length(self) -> int:
        """Length of a window, in items of the collection."""

    @abstractmethod
    def read_tracks(self) -> Collection:
        """The tracks, fetched and read where they are not yet."""

    @abstractmethod
    def blank_window(self) -> Tensor:
        """One window of zeros, as the collection stores it, `[1, length, ...]`."""

    # What a subclass may do otherwise

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

    def window_starts(self, length: int, side: Side | None) -> division.Starts:
        """Where the windows of a track start, in items, and how many items later each may start at most.

        Args:
            length: of the track, items.
            side: its side; None where windows are divided afterwards.
        """
        crops = self.crops_per_track if side == "train" else None
        return division.window_starts(length, self.window_length, self.windows_per_track, crops)

    def lay_windows(self, collection: Collection, rows: Sequence[int], side: Side | None) -> Windows:
        """The windows of some tracks of one side."""
        return division.lay_windows(collection, rows, self.genres, partial(self.window_starts, side=side))

    def side_of_tracks(self, side: Side) -> Side:
        """The side whose tracks the windows of a side are cut from."""
        return side

    def usable_tracks(self, collection: Collection) -> list[int]:
        """Rows of the tracks to use."""
        return division.known_tracks(collection, self.genres, self.split, self.location)

    def fit_front_end(self) -> None:
        """Fit the front end on training windows."""
        self.front_end.fit(self.sample_windows(self.windows["train"]))

    # Lightning's steps

    def prepare_data(self) -> None:
        """Fetch and decode what is missing: on one process, once."""
        if self.files is not None or self._opened is not None:
            return
        self._opened = collection = self.open_collection()
        if collection.problems:
            where = f"\n  the whole list: {write_tables(collection)[1]}" if collection.folder else ""
            log.warning("%s%s", describe_problems(collection.problems), where)

    def prepare_fit(self) -> None:
        """Check, before a run has a folder, that there are tracks to train and validate on."""
        self.prepare_data()
        self._open_once()
        self.train_dataloader()
        self.val_dataloader()

    def prepare_predict(self) -> None:
        """Check, before other processes are started, that there is something to predict."""
        self.predict_dataloader()

    def open_collection(self) -> Collection:
        """The tracks, with genres spelt as the checkpoint has them."""
        return division.match_genres(self.read_tracks(), self.genres, self.location)

    def setup(self, stage: str) -> None:
        """Open the collection, divide the tracks, lay the windows."""
        if self.files is not None:
            return
        self._open_once()
        if stage == "fit" and self.front_end.learns:
            self.fit_front_end()

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled training windows."""
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        """Validation windows, in order."""
        return self._loader("validation")

    def test_dataloader(self) -> DataLoader[Any]:
        """Test windows, in order."""
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader[Any]:
        """Windows of `files`, for subclasses that read audio."""
        raise UsageError(
            f"predict takes audio, and this checkpoint was trained on {type(self).__name__}; use `musiccli test`, or "
            "train on MelSlices"
        )

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Windows to the input of the network, on the device; the front end augments and masks in training only."""
        if "x" in batch:
            training = self.trainer is not None and self.trainer.training
            batch["x"] = self.front_end.to(batch["x"].device).train(training)(batch["x"])
        return batch

    def network_input(self, items: Tensor) -> Tensor:
        """Windows as the collection stores them to the input of the network, never augmented or masked."""
        x: Tensor = self.front_end.to(items.device).eval()(items)
        return x

    def silent_batch(self) -> Batch:
        """A batch of one blank window, as a task gets it, to try sizes with."""
        return self.on_after_batch_transfer({"x": self.blank_window(), "y": torch.zeros(1, dtype=torch.int64)}, 0)

    # Windows by their numbers

    @property
    def window_seconds(self) -> float:
        """Length of a window, s."""
        assert self.collection is not None
        return self.window_length / self.collection.rate

    def test_windows(self, index: Sequence[int] | npt.NDArray[np.int64]) -> Batch:
        """Test windows by their numbers, as the network takes them."""
        return self.on_after_batch_transfer(self._dataset("test").__getitems__([(int(row), 0.0) for row in index]), 0)

    def sample_windows(self, windows: Windows, limit: int = 512) -> Tensor:
        """Up to `limit` windows, evenly taken, as the collection stores them `[windows, length, ...]`."""
        assert self.collection is not None
        rows = np.unique(np.linspace(0, len(windows) - 1, min(limit, len(windows))).astype(int))
        dataset = WindowDataset(self.collection, windows, self.window_length)
        items: Tensor = dataset.__getitems__([(row, 0.5) for row in rows])["x"]
        return items

    # Leaks and checkpoints

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

    def state_dict(self) -> dict[str, Any]:
        """What the front end learned, and digests of the tracks that train and validate."""
        assert self.collection is not None
        rows = division.tracks_on(self.windows, "train", "validation")
        trained_on = sorted(self.collection.digests[row] for row in rows)
        listed = {} if self.listed is None else {"list": self.listed.digest, "leaks": self.known_leaks}
        return {"front_end": self.front_end.standardise.state_dict(), "trained_on": trained_on, **listed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state that `state_dict` returned.

        Raises:
            SplitError: training is resumed, but the collection has changed and tracks have changed sides; or the list
                that divides the tracks is not the one used in training.
        """
        trained = state_dict.get("list")
        if self.listed is not None and trained is not None and trained != self.listed.digest:
            raise SplitError(
                f"--data.split {self.split}: differs from the list that the checkpoint was trained with; give that "
                "list, or train afresh, without --ckpt_path"
            )
        self.front_end.standardise.load_state_dict(state_dict["front_end"])
        self.trained_on = frozenset(state_dict.get("trained_on", state_dict.get("heard", ())))  # the older key
        resuming = self.trainer is not None and self.trainer.state.fn == "fit" and self.trainer.training
        if resuming and (moved := self.seen_in_training("test")):
            raise SplitError(
                f"{self.location}: the collection has changed since the checkpoint; {len(moved)} of "
                f"its training tracks would be test tracks ({moved[0]} the first); train afresh, without --ckpt_path"
            )

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
        sides: Sequence[Side | None]
        if is_list(self.split):
            root = self._source().location if self.source is not None else self.location.parent
            self.listed = division.divide_by_list(collection, self.split, root)
            sides = self.listed.sides
        else:
            rule = self.split, self.fractions, self.fold, self.split_seed
            sides = division.divide_tracks(collection, rows, self.source, self.genres, *rule, self.location)
        rows_of = {side: [row for row in rows if sides[row] == side] for side in SIDES}
        return {side: self.lay_windows(collection, rows_of[self.side_of_tracks(side)], side) for side in SIDES}

    def _dataset(self, side: Side) -> WindowDataset:
        assert self.collection is not None
        return WindowDataset(self.collection, self.windows[side], self.window_length)

    def _loader(self, side: Side, shuffle: bool = False) -> DataLoader[Any]:
        dataset = self._dataset(side)
        if not len(dataset):
            raise SplitError(
                f"split '{self.split_name}': no {side} windows; give that side a share in --data.fractions"
            )
        (rank, world), seed = rank_of(self.trainer), int(os.environ.get("PL_GLOBAL_SEED", 0))
        sampler = self._sampler(dataset, shuffle=shuffle, num_replicas=world, rank=rank, seed=seed)
        if self.trainer is not None:
            # The first iterator after a resume is made before Lightning does this, and before `current_epoch` is right.
            sampler.set_epoch(self.trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]
        return make_loader(dataset, sampler, self.batch_size, self.num_workers, seed, training=shuffle)

    def _sampler(self, dataset: WindowDataset, **options: Any) -> WindowSampler:
        """The order in which windows come."""
        return WindowSampler(dataset, **options)
