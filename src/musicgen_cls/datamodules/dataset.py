"""Windows of a collection: their positions, batches, order, and loader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from musicgen_cls.collection.collection import Collection
from musicgen_cls.collection.sharded import ShardItems
from musicgen_cls.datamodules.shard_order import ShardOrder

Batch = dict[str, Any]


@dataclass(frozen=True)
class Windows:
    """The positions of the windows of one side of a split in a collection, one row for each window.

    `track` is the row of the track in the collection, `genre` the label, and `start` the first item in the collection.
    `slack` is the largest number of items by which the window can start later (0 for a fixed window). `start_s` is the
    time in the track, s. All have the shape `[windows]`.
    """

    track: npt.NDArray[np.int64]
    genre: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    slack: npt.NDArray[np.int64]
    start_s: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.track)

    def __getitem__(self, rows: npt.NDArray[Any]) -> Windows:
        return Windows(self.track[rows], self.genre[rows], self.start[rows], self.slack[rows], self.start_s[rows])


class WindowDataset(Dataset[Batch]):
    """Batches of windows, cut directly out of a collection.

    A key is (row, fraction of the slack, 0 to 1), or only a row, since Lightning uses its own sampler with
    `--trainer.overfit_batches`.

    Args:
        collection: the tracks.
        windows: the positions of the windows.
        length: length of a window, items.
        first: number of the first window in a table of the inputs that are kept, see `kept`; None without a table.
    """

    def __init__(self, collection: Collection, windows: Windows, length: int, first: int | None = None) -> None:
        self.collection = collection
        self.windows = windows
        self.length = length
        self.first = first

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, keys: Sequence[tuple[int, float] | int] | int) -> Batch:
        """The same as `__getitems__`, for samplers that yield whole batches."""
        return self.__getitems__([keys] if isinstance(keys, int) else keys)

    def __getitems__(self, keys: Sequence[tuple[int, float] | int]) -> Batch:
        """A batch: `x` `[batch, length, ...]`; `y`, `track`, `index` int64 and `start_s` float32, all `[batch]`.

        `track` is the row of the first part of a track, so that the parts of a track count as one track.
        """
        pairs = [(key, 0.0) if isinstance(key, int) else key for key in keys]
        rows = np.array([row for row, _ in pairs])
        shift = (np.array([place for _, place in pairs]) * (self.windows.slack[rows] + 1)).astype(np.int64)
        starts = self.windows.start[rows] + shift
        x = np.stack([self.collection.items[start : start + self.length] for start in starts])
        kept = {} if self.first is None else {"kept": torch.from_numpy(self.first + rows)}
        return kept | {
            "x": torch.from_numpy(x),
            "y": torch.from_numpy(self.windows.genre[rows]),
            "track": torch.from_numpy(self.collection.whole[self.windows.track[rows]]),
            "start_s": torch.from_numpy(self.windows.start_s[rows] + (shift / self.collection.rate).astype("f4")),
            "index": torch.from_numpy(rows),
        }


class WindowSampler(DistributedSampler[Any]):
    """The order of the windows, and the fraction of its slack for each. Both depend only on seed and epoch.

    If the windows are in shards that do not all fit into the cache, the order goes from one group of shards to the
    next, and depends on the size of the cache too.

    Args:
        dataset: the windows, or what is in the same order.
        shards: where the windows are; None if they are not in shards.
        shuffle: whether the order is random.
    """

    def __init__(self, dataset: Any, shards: ShardOrder | None = None, shuffle: bool = True, **options: Any) -> None:
        self.shards = shards
        self.grouped = shuffle and shards is not None and not shards.items.fits
        super().__init__(dataset, shuffle=shuffle and not self.grouped, **options)

    def __iter__(self) -> Iterator[tuple[int, float]]:
        rows = list(super().__iter__())
        places = np.random.default_rng((self.seed, self.epoch, self.rank)).random(len(rows))
        if self.shards is not None and self.grouped:
            ordered: Iterable[int] = self.shards.by_group(rows, (self.seed, self.epoch))
        elif self.shards is not None:
            ordered = self.shards.as_given(rows)
        else:
            ordered = rows
        return zip(ordered, places.tolist(), strict=True)


class TrackSampler(WindowSampler):
    """Batches of keys: all windows of one track, with the tracks in random order."""

    def __init__(self, dataset: WindowDataset, **options: Any) -> None:
        track = dataset.windows.track
        order = np.argsort(track, kind="stable")
        starts = np.unique(track[order], return_index=True)[1]
        self.rows = [rows.tolist() for rows in np.split(order, starts[1:])]
        first = [rows[0] for rows in self.rows]
        super().__init__(self.rows, shards=shard_order(dataset, np.array(first)), **options)

    def __iter__(self) -> Iterator[Any]:
        for track, place in super().__iter__():
            yield [(row, place) for row in self.rows[track]]


def window_sampler(dataset: WindowDataset, **options: Any) -> WindowSampler:
    """The order of the windows of a dataset."""
    return WindowSampler(dataset, shards=shard_order(dataset, np.arange(len(dataset))), **options)


def shard_order(dataset: WindowDataset, rows: npt.NDArray[np.int64]) -> ShardOrder | None:
    """Where windows are, if they are in shards."""
    items = dataset.collection.items
    return ShardOrder(items, dataset.windows.start[rows]) if isinstance(items, ShardItems) else None


def make_loader(
    dataset: WindowDataset, sampler: WindowSampler, batch_size: int, num_workers: int, seed: int, training: bool
) -> DataLoader[Any]:
    """A loader of batches.

    Args:
        dataset: the windows.
        sampler: their order; a `TrackSampler` yields whole batches, and `batch_size` is not used.
        batch_size: windows in a batch.
        num_workers: loader processes.
        seed: random seed of the loader.
        training: leave out a last batch of a single window, since batch norm needs two.
    """
    size = None if isinstance(sampler, TrackSampler) else batch_size
    return DataLoader(
        dataset,
        batch_size=size,
        sampler=sampler,
        num_workers=num_workers,
        generator=torch.Generator().manual_seed(seed),  # else each iterator draws from torch's global generator
        collate_fn=_as_is,  # type: ignore[arg-type]
        drop_last=size is not None and training and len(sampler) % size == 1,
    )


def _as_is(batch: Batch) -> Batch:
    return batch


def rank_of(trainer: Any) -> tuple[int, int]:
    """The number of this process, and the number of processes; (0, 1) without a trainer."""
    return (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
