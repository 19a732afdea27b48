"""What every datamodule shares: a collection of tracks, its split, windows, loaders."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from musicgen_cls.collection.collection import Collection, describe_problems, write_tables
from musicgen_cls.datamodules.dataset import Batch, TrackSampler, WindowDataset, Windows, WindowSampler
from musicgen_cls.errors import SourceError, SplitError, UsageError, check_not_negative, check_positive, counted
from musicgen_cls.sources import lists, splits
from musicgen_cls.sources.base import SIDES, Side, Source
from musicgen_cls.sources.lists import Listed, is_list
from musicgen_cls.sources.names import AmbiguousName, match
from musicgen_cls.specs import class_path, init_arguments

log = logging.getLogger(__name__)


class GenreDataModule(LightningDataModule, ABC):
    """Tracks with genres, split, and cut into windows; subclasses say what is in tracks and what networks are fed.

    The arguments are those of `MelSlices`. On the device `front_end` turns batches of windows into what the network
    eats.
    """

    MIN_GENRES: ClassVar[int] = 2
    """How many genres there must be."""

    INPUT_ARGUMENTS: ClassVar[tuple[str, ...]] = ()
    """Arguments that a network's input depends on: a checkpoint's cannot be changed."""

    DIVISION_ARGUMENTS: ClassVar[tuple[str, ...]] = ("split", "fractions", "fold", "split_seed")
    """Arguments that say who trains: changed, they would make training tracks test tracks."""

    front_end: nn.Module

    sample_rate: int | None = None
    """Of the audio, Hz; None where there is none."""

    target_samples: int | None = None
    """How much of a window is to be foretold, samples; None where windows are for classifying."""

    def __init__(
        self,
        source: Source | None,
        split: splits.SplitName | str,
        fractions: Sequence[float],
        fold: str | None,
        split_seed: int,
        batch_size: int,
        num_workers: int,
        genres: Sequence[str] | None,
        files: Sequence[str] | str | None,
    ) -> None:
        super().__init__()
        check_positive("--data.", batch_size=batch_size)
        check_not_negative("--data.", split_seed=split_seed, num_workers=num_workers)
        splits.check_name(split)
        fold = None if split == "external" else fold  # left over from how the checkpoint was trained
        if fold is not None and split not in ("track", "artist"):
            raise UsageError(
                f"--data.fold '{fold}': split '{Path(split).name}' has no folds; use split 'track' or 'artist'"
            )
        self.source = source
        self.split = split
        self.fractions = fractions
        self.fold = fold
        self.split_seed = split_seed
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.files = files
        self.collection: Collection | None = None
        self._opened: Collection | None = None
        self.windows: dict[Side, Windows] = {}
        self.heard: frozenset[str] = frozenset()
        """Digests of the tracks that the checkpoint was trained and selected on."""
        self.listed: Listed | None = None
        """How a list of the user's own divides the tracks; None where the split is another."""
        self.genres = list(genres) if genres else self._all_genres()
        if len(self.genres) < self.MIN_GENRES:
            where = "--data.genres" if genres else self.location
            raise SourceError(f"{where}: only one genre, {self.genres}; a classifier needs at least two")
        self.num_classes: int | None = len(self.genres)
        origin = {"_class_path": class_path(type(self)), "_instantiator": "lightning.pytorch.cli.instantiate_module"}
        self.save_hyperparameters(origin | init_arguments(self) | {"files": None}, logger=False)

    @property
    @abstractmethod
    def window_length(self) -> int:
        """Length of a window, in items of the collection."""

    @property
    def source_name(self) -> str:
        """Short name of where the tracks come from, for folders and reports."""
        return self._source().name

    @property
    def location(self) -> Path:
        """Where they lie."""
        return self._source().location

    @property
    def split_name(self) -> str:
        """Short name of the split, for reports and folders: of a list the name of its file."""
        return Path(self.split).name if is_list(self.split) else self.split

    @property
    def leaks(self) -> bool:
        """Whether tracks of the test set may have been, or were, trained on."""
        return bool(self.known_leaks or self.heard_before("test"))

    @property
    def known_leaks(self) -> list[str]:
        """What leaks by the split itself, in words."""
        if self.split in splits.LEAKY:
            return [splits.LEAK_WARNING]
        return [f"split '{self.split_name}': {leak}" for leak in self.listed.leaks] if self.listed else []

    def grouped(self, collection: Collection) -> list[str]:
        """Which tracks are tied together and why, and what a list of the user's own leaves out: for reports."""
        divided = self.split not in splits.LEAKY and self.listed is None
        artists = splits.spellings(collection.tracks) if self.split == "artist" else None
        lines = [*collection.grouped, *([artists] if artists else [])]
        said = [f"{line}; they stay on one side" if divided else line for line in lines]
        return said + (self.listed.notes if self.listed else [])

    @property
    def trains(self) -> bool:
        """Whether the next batch is one to train on."""
        return self.trainer is not None and self.trainer.training

    def heard_before(self, side: Side) -> list[str]:
        """Ids of the tracks of a side that the loaded checkpoint was trained or selected on."""
        if self.collection is None or self.known_leaks:
            return []
        rows = np.unique(self.windows[side].track)
        names = (self.collection.name(row) for row in rows if self.collection.digests[row] in self.heard)
        return list(dict.fromkeys(names))

    @abstractmethod
    def fit_front_end(self) -> None:
        """Fit what the front end takes from data, on training windows."""

    def level_offset(self) -> float | None:
        """How much louder the test windows are than the training windows were, dB; None if that is not known."""
        return None

    def prepare_data(self) -> None:
        """Fetch and decode what is missing: on one process, once."""
        if self.files is not None or self._opened is not None:
            return
        self._opened = collection = self.open_collection()
        if collection.problems:
            where = f"\n  the whole list: {write_tables(collection)[1]}" if collection.folder else ""
            log.warning("%s%s", describe_problems(collection.problems), where)

    def prepare_fit(self) -> None:
        """Find out, before a run has a folder, whether there is what to train and validate on."""
        self.prepare_data()
        self._open_once()
        self.train_dataloader()
        self.val_dataloader()

    def open_collection(self) -> Collection:
        """The collection, fetched and read where it is not yet."""
        collection = self._collect()
        return self._matched(collection)

    def setup(self, stage: str) -> None:
        """Open the store, divide the tracks, lay the windows."""
        if self.files is not None:
            return
        self._open_once()
        if stage == "fit":
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
        """Nothing, unless a subclass can read files."""
        raise UsageError(
            f"predict takes audio, and this checkpoint was trained on {type(self).__name__}; let `musiccli test` judge "
            "it, or train on MelSlices"
        )

    def prepare_predict(self) -> None:
        """Find out, before other processes are started, what there is to predict."""
        self.predict_dataloader()

    @abstractmethod
    def silent_batch(self) -> Batch:
        """A batch of one empty window, as a task gets it, to try out sizes on."""

    @abstractmethod
    def places(self, length: int, side: Side | None) -> tuple[npt.NDArray[np.int64], int]:
        """Where windows of a track lie: their first items `[windows]`, and how much later each may start.

        Args:
            length: of the track.
            side: its side; None where windows are divided afterwards.
        """

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Windows to network input, on the device."""
        if "x" in batch:
            batch["x"] = self.front_end.to(batch["x"].device)(batch["x"])
        return batch

    def state_dict(self) -> dict[str, Any]:
        """What the front end learnt from the training tracks, and which tracks those and the validation tracks are."""
        assert self.collection is not None
        rows = np.unique(np.concatenate([self.windows["train"].track, self.windows["validation"].track]))
        heard = sorted(self.collection.digests[row] for row in rows)
        division = {} if self.listed is None else {"list": self.listed.digest, "leaks": self.known_leaks}
        return {"front_end": self.front_end.state_dict(), "heard": heard, **division}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave.

        Raises:
            SplitError: training is to go on, but the collection has changed and tracks have changed sides; or the list
                that divides the tracks is another than in training.
        """
        trained = state_dict.get("list")
        if self.listed is not None and trained is not None and trained != self.listed.digest:
            raise SplitError(
                f"--data.split {self.split}: says something else than the list that the checkpoint was trained with; "
                "give that one, or train afresh, without --ckpt_path"
            )
        self.front_end.load_state_dict(state_dict["front_end"])
        self.heard = frozenset(state_dict.get("heard", ()))
        resuming = self.trainer is not None and self.trainer.state.fn == "fit" and self.trainer.training
        if resuming and (moved := self.heard_before("test")):
            raise SplitError(
                f"{self.location}: the collection has changed since the checkpoint; {len(moved)} of "
                f"its training tracks would be test tracks ({moved[0]} the first); train afresh, without --ckpt_path"
            )

    def _open_once(self) -> None:
        if self.collection is not None:
            return
        collection = self._opened or self.open_collection()  # a process that did not prepare opens it here
        known, unknown = self._known_tracks(collection)
        if unknown:
            names = ", ".join(f"{genre} ({counted(count, 'track')})" for genre, count in sorted(unknown.items()))
            log.warning("genres the checkpoint does not know are left out: %s", names)
        self.windows = self._divide(collection, known)
        self.collection = collection
        for leak in self.known_leaks:
            log.warning(leak)

    @abstractmethod
    def _collect(self) -> Collection:
        """Read the tracks."""

    def _source(self) -> Source:
        if self.source is None:
            raise UsageError("data.source is not set: name one, as --data.source Folder --data.source.root DIR")
        return self.source

    def _all_genres(self) -> list[str]:
        """The genres, in label order."""
        return list(self._source().genres)

    def _matched(self, collection: Collection) -> Collection:
        """The collection with genres written as ours, where they are written in another way.

        Raises:
            SourceError: a genre may be several of ours, or two genres one of ours.
        """
        theirs = dict.fromkeys(track.genre for track in collection.tracks)
        try:
            ours = match(theirs, self.genres)
        except AmbiguousName as error:
            raise SourceError(f"{self.location}: genre {error}; write one of them in another way") from error
        if all(genre == own for genre, own in ours.items()):
            return collection
        tracks = [replace(track, genre=ours.get(track.genre, track.genre)) for track in collection.tracks]
        return replace(collection, tracks=tracks)

    def _known_tracks(self, collection: Collection) -> tuple[list[int], Counter[str]]:
        """Rows of the tracks whose genre is one of ours, and a count of the others by genre."""
        rows = [row for row, track in enumerate(collection.tracks) if track.genre in self.genres]
        unknown = Counter(track.genre for track in collection.tracks if track.genre not in self.genres)
        if not rows or (unknown and self.split != "external"):
            raise SourceError(
                f"{self.location}: its genres ({', '.join(self._all_genres())}) are not those of the "
                f"checkpoint or of --data.genres ({', '.join(self.genres)}); --data.split external judges the ones "
                "they share"
            )
        present = {collection.tracks[row].genre for row in rows}
        missing = [genre for genre in self.genres if genre not in present]
        if missing and self.split != "external":
            first = f", the first: {collection.problems[0]}" if collection.problems else ""
            raise SourceError(
                f"{self.location}: genre '{missing[0]}' has no usable track ({len(collection.problems)} files"
                f" left out in all{first}); mend or add some, or name the other genres: --data.genres "
                f"[{', '.join(genre for genre in self.genres if genre in present)}]"
            )
        return rows, unknown

    def _divide(self, collection: Collection, rows: list[int]) -> dict[Side, Windows]:
        """Windows of each side: evenly spaced ones, or for training, if asked for, random crops."""
        if self.split == "segment":
            every = self._lay(collection, rows, None)
            sides: list[Side | None] = [*splits.segment_sides(every.genre, self.fractions, self.split_seed)]
            windows = {side: every[np.array([s == side for s in sides], dtype=bool)] for side in SIDES}
            self._check_segments(windows)
            return windows
        # All tracks are divided, not only those of our genres: networks of one genre and of all then hear the same.
        if is_list(self.split):
            return self._divide_as_listed(collection, rows)
        division = self.source, collection.tracks, self.split, self.fractions, self.fold, self.split_seed
        try:
            sides = splits.assign(*division, genres=self.genres)
        except SplitError as error:
            raise SplitError(f"{self.location}: {error}") from None
        if unsided := sum(sides[row] is None for row in rows):
            log.warning("split '%s' leaves out %d tracks: unlisted, or of unknown artists", self.split, unsided)
        return self._lay_sides(collection, rows, sides)

    def _divide_as_listed(self, collection: Collection, rows: list[int]) -> dict[Side, Windows]:
        """Windows of each side, as a list of the user's own says."""
        root = self._source().location if self.source is not None else self.location.parent
        names = [collection.name(row) for row in range(len(collection.tracks))]
        self.listed = lists.divide(self.split, collection.tracks, names, root, SIDES)
        for note in self.listed.notes:
            log.warning(note)
        return self._lay_sides(collection, rows, self.listed.sides)

    def _lay_sides(self, collection: Collection, rows: list[int], sides: Sequence[Side | None]) -> dict[Side, Windows]:
        """Windows of the tracks of each side."""
        rows_of = {side: [row for row in rows if sides[row] == side] for side in SIDES}
        return {side: self._lay(collection, self._rows_to_lay(rows_of, side), side) for side in SIDES}

    def _check_segments(self, windows: dict[Side, Windows]) -> None:
        """Every genre has windows on every side that has a share."""
        for side, share in zip(SIDES, self.fractions, strict=True):
            for label, genre in enumerate(self.genres):
                if share and not (windows[side].genre == label).any():
                    raise SplitError(
                        f"{self.location}: split 'segment' leaves genre '{genre}' without {side} windows; add tracks, "
                        "take shorter windows, or other --data.fractions"
                    )

    def _rows_to_lay(self, rows_of: dict[Side, list[int]], side: Side) -> list[int]:
        """Rows of the tracks that a side's windows are cut from."""
        return rows_of[side]

    def _lay(self, collection: Collection, rows: list[int], side: Side | None) -> Windows:
        track, start, room = [], [], []
        for row in rows:
            starts, more = self.places(int(collection.lengths[row]), side)
            track += [row] * len(starts)
            start += list(starts)
            room += [more] * len(starts)
        tracks, offsets = np.array(track, dtype=np.int64), np.array(start, dtype=np.int64)
        label = {genre: number for number, genre in enumerate(self.genres)}
        genre = np.array([label[collection.tracks[row].genre] for row in track], dtype=np.int64)
        return Windows(
            track=tracks,
            genre=genre,
            start=collection.offset[tracks] + offsets,
            room=np.array(room, dtype=np.int64),
            start_s=((collection.before[tracks] + offsets) / collection.rate).astype(np.float32),
        )

    @property
    def window_seconds(self) -> float:
        """Length of a window, s."""
        assert self.collection is not None
        return self.window_length / self.collection.rate

    def test_windows(self, index: Sequence[int] | npt.NDArray[np.int64]) -> Batch:
        """Test windows by their numbers, as the network is fed them."""
        assert self.collection is not None
        dataset = WindowDataset(self.collection, self.windows["test"], self.window_length)
        return self.on_after_batch_transfer(dataset.__getitems__([(int(row), 0.0) for row in index]), 0)

    def sample_windows(self, windows: Windows, limit: int = 512) -> Tensor:
        """Up to `limit` windows, evenly taken, `[windows, length, ...]`."""
        rows = np.unique(np.linspace(0, len(windows) - 1, min(limit, len(windows))).astype(int))
        assert self.collection is not None
        dataset = WindowDataset(self.collection, windows, self.window_length)
        items: Tensor = dataset.__getitems__([(row, 0.5) for row in rows])["x"]
        return items

    def _loader(self, side: Side, shuffle: bool = False) -> DataLoader[Any]:
        assert self.collection is not None
        dataset = WindowDataset(self.collection, self.windows[side], self.window_length)
        trainer = self.trainer
        rank, world = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
        if not len(dataset):
            raise SplitError(
                f"split '{self.split_name}': no {side} windows; give that side a share in --data.fractions"
            )
        sampler = self._sampler(dataset, shuffle=shuffle, num_replicas=world, rank=rank, seed=seed)
        if trainer is not None:
            # The first iterator after a resume is made before Lightning does this, and before `current_epoch` is right.
            sampler.set_epoch(trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]
        size = None if isinstance(sampler, TrackSampler) else self.batch_size  # a track is a batch already
        return DataLoader(
            dataset,
            batch_size=size,
            sampler=sampler,
            num_workers=self.num_workers,
            generator=torch.Generator().manual_seed(seed),  # else each iterator would draw on, and move, torch's own
            collate_fn=_as_is,  # type: ignore[arg-type]
            drop_last=size is not None and shuffle and len(sampler) % size == 1,  # a single one has no batch norm
        )

    def _sampler(self, dataset: WindowDataset, **options: Any) -> WindowSampler:
        """The order in which windows come."""
        return WindowSampler(dataset, **options)


def _as_is(batch: Batch) -> Batch:
    return batch
