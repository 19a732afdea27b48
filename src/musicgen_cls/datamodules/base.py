"""Base class of all datamodules: batches of windows, and the state in checkpoints."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from musicgen_cls.datamodules import division
from musicgen_cls.datamodules.dataset import (
    Batch,
    WindowDataset,
    Windows,
    WindowSampler,
    make_loader,
    rank_of,
    window_sampler,
)
from musicgen_cls.datamodules.front_end import FrontEnd
from musicgen_cls.datamodules.tracks import TrackDataModule
from musicgen_cls.errors import CheckpointError, SplitError, UsageError, check_not_negative, check_positive, one_line
from musicgen_cls.sources.base import Side
from musicgen_cls.specs import class_path, init_arguments


class GenreDataModule(TrackDataModule):
    """Tracks with genres, divided into training, validation and test, as batches of windows.

    A subclass reads the tracks (`read_tracks`) and has a `window_length`, a `blank_window` and a `front_end`. It can
    define more, see `DataModuleInterface`. It stores each of its arguments as an attribute of the same name before it
    calls `super().__init__`, so that checkpoints can rebuild it.

    Further arguments are those of `TrackDataModule`.

    Args:
        batch_size: windows in a batch.
        num_workers: loader processes; 0 is fastest, since a batch is a few slices of an array.
    """

    INPUT_ARGUMENTS: ClassVar[tuple[str, ...]] = ()
    """Arguments that the input of a network depends on; they cannot differ from those in a checkpoint."""

    front_end: FrontEnd
    """Turns windows into the input of the network, on the device."""

    windows_per_track: int | None = None
    """Maximum number of evenly spaced windows of a track; all that fit if None."""

    crops_per_track: int | None = None
    """Number of windows of a training track at random positions; None for evenly spaced windows."""

    def __init__(self, batch_size: int = 64, num_workers: int = 0, **kwargs: Any) -> None:
        check_positive("--data.", batch_size=batch_size)
        check_not_negative("--data.", num_workers=num_workers)
        self.batch_size, self.num_workers = batch_size, num_workers
        super().__init__(**kwargs)
        origin = {"_class_path": class_path(type(self)), "_instantiator": "lightning.pytorch.cli.instantiate_module"}
        self.save_hyperparameters(origin | init_arguments(self) | {"files": None}, logger=False)

    # A subclass must define these

    @property
    @abstractmethod
    def window_length(self) -> int:
        """Length of a window, items of the collection."""

    @abstractmethod
    def blank_window(self) -> Tensor:
        """One window of zeros, as the collection stores it, `[1, length, ...]`."""

    # A subclass can override these

    def window_starts(self, length: int, side: Side | None) -> division.Starts:
        """Evenly spaced windows without overlap; for training, random crops if `crops_per_track` is set."""
        crops = self.crops_per_track if side == "train" else None
        return division.window_starts(length, self.window_length, self.windows_per_track, crops)

    def fit_front_end(self) -> None:
        """Fit the front end on training windows."""
        self.front_end.fit(self.sample_windows(self.windows["train"]))

    # Lightning's steps

    def prepare_fit(self) -> None:
        """Check that there are tracks to train and validate on, before the run gets a folder."""
        self.prepare_data()
        self._open_once()
        self.train_dataloader()
        self.val_dataloader()

    def prepare_predict(self) -> None:
        """Check that there are files to predict, before other processes start."""
        self.predict_dataloader()

    def setup(self, stage: str) -> None:
        """Open the collection, divide the tracks, and place the windows."""
        if stage == "predict" and self.files is not None:
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
        """Windows of `files`, in subclasses that read audio."""
        raise UsageError(
            f"predict: takes audio files, but this checkpoint was trained on {type(self).__name__}; use "
            "`musiccli test`, or train on MelSlices"
        )

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Turn windows into the input of the network, on the device; augment and mask only in training."""
        if "x" in batch:
            batch["x"] = self.network_input(batch["x"], self.trainer is not None and self.trainer.training)
        return batch

    def level_offset(self) -> float | None:
        """Mean level of the test windows relative to the training windows, dB; None if windows are not in dB."""
        if not self.IN_DECIBELS:
            return None
        return self._front_end_on("cpu").level_offset(self.sample_windows(self.windows["test"], 64))

    def network_input(self, items: Tensor, training: bool = False) -> Tensor:
        """The input of the network from windows as the collection stores them; augmented and masked for training."""
        front_end = self._front_end_on(items.device)
        if front_end.training != training:
            front_end.train(training)
        x: Tensor = front_end(items)
        return x

    def _front_end_on(self, device: torch.device | str) -> FrontEnd:
        """The front end, moved to a device.

        Lightning validates in inference mode. What is moved there cannot be changed later, as when a checkpoint is
        loaded, so that mode is off meanwhile.
        """
        with torch.inference_mode(False):
            return self.front_end.to(device)

    def exported_front_end(self) -> nn.Module:
        """What turns the windows of an exported file into the input of the network."""
        return self.front_end.fixed()

    def silent_batch(self) -> Batch:
        """A batch of one blank window, as a task gets it, to check sizes."""
        return self.on_after_batch_transfer({"x": self.blank_window(), "y": torch.zeros(1, dtype=torch.int64)}, 0)

    def state_dict(self) -> dict[str, Any]:
        """The state of the front end, and the digests of the training and validation tracks."""
        assert self.collection is not None
        rows = division.tracks_on(self.windows, "train", "validation")
        trained_on = sorted(self.collection.digests[row] for row in rows)
        listed = {} if self.listed is None else {"list": self.listed.digest, "leaks": self.known_leaks}
        return {"front_end": self.front_end.standardise.state_dict(), "trained_on": trained_on, **listed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state that `state_dict` returned.

        Raises:
            CheckpointError: the state of the front end does not fit.
            SplitError: training resumes, but the collection has changed and training tracks would be test tracks; or
                the list that divides the tracks is not the list of the training.
        """
        trained = state_dict.get("list")
        if self.listed is not None and trained is not None and trained != self.listed.digest:
            raise SplitError(
                f"--data.split {self.split}: differs from the list that the checkpoint was trained with; give that "
                "list, or train from the start, without --ckpt_path"
            )
        try:
            self.front_end.standardise.load_state_dict(state_dict["front_end"])
        except RuntimeError as error:
            raise CheckpointError(f"the checkpoint's front end is damaged: {one_line(error)}; use another") from None
        older = state_dict.get("heard", ())  # an older key; words: ignore
        self.trained_on = frozenset(state_dict.get("trained_on", older))
        resuming = self.trainer is not None and self.trainer.state.fn == "fit" and self.trainer.training
        if resuming and (moved := self.seen_in_training("test")):
            raise SplitError(
                f"{self.location}: the collection has changed since the checkpoint was written: {len(moved)} training "
                f"tracks would be test tracks, the first is {moved[0]}; train from the start, without --ckpt_path"
            )

    # Windows by number

    @property
    def window_seconds(self) -> float:
        """Length of a window, s."""
        assert self.collection is not None
        return self.window_length / self.collection.rate

    def test_windows(self, index: Sequence[int] | npt.NDArray[np.int64]) -> Batch:
        """Test windows by number, as input of the network."""
        return self.on_after_batch_transfer(self._dataset("test").__getitems__([(int(row), 0.0) for row in index]), 0)

    def sample_windows(self, windows: Windows, limit: int = 512) -> Tensor:
        """At most `limit` windows, evenly spread, as the collection stores them, `[windows, length, ...]`."""
        assert self.collection is not None
        rows = np.unique(np.linspace(0, len(windows) - 1, min(limit, len(windows))).astype(int))
        dataset = WindowDataset(self.collection, windows, self.window_length)
        items: Tensor = dataset.__getitems__([(row, 0.5) for row in rows])["x"]
        return items

    def _dataset(self, side: Side) -> WindowDataset:
        assert self.collection is not None
        return WindowDataset(self.collection, self.windows[side], self.window_length)

    def _loader(self, side: Side, shuffle: bool = False) -> DataLoader[Any]:
        dataset = self._dataset(side)
        if not len(dataset):
            raise SplitError(
                f"--data.split '{self.split_name}': no {side} windows; give that side a share in --data.fractions"
            )
        (rank, world), seed = rank_of(self.trainer), int(os.environ.get("PL_GLOBAL_SEED", 0))
        sampler = self._sampler(dataset, shuffle=shuffle, num_replicas=world, rank=rank, seed=seed)
        if self.trainer is not None:
            sampler.set_epoch(_epochs_done(self.trainer))
        return make_loader(dataset, sampler, self.batch_size, self.num_workers, seed, training=shuffle)

    def _sampler(self, dataset: WindowDataset, **options: Any) -> WindowSampler:
        """The order of the windows."""
        return window_sampler(dataset, **options)


def _epochs_done(trainer: Any) -> int:
    """The number of training epochs that are done, also while a training is resumed.

    The first iterator is created before Lightning sets the epoch and before `current_epoch` is right. With a schedule
    of the learning rate it is created before the loops are restored; the checkpoint has the number then.
    """
    loaded = trainer._checkpoint_connector._loaded_checkpoint or {}
    restored = loaded.get("loops", {}).get("fit_loop", {}).get("epoch_progress", {}).get("current", {})
    return int(max(trainer.fit_loop.epoch_progress.current.processed, restored.get("processed", 0)))
