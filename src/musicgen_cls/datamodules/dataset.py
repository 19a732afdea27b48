"""Windows of a collection: where they lie, batches of them, and the order in which they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, DistributedSampler

from musicgen_cls.collection.collection import Collection

Batch = dict[str, Any]


@dataclass(frozen=True)
class Windows:
    """Where windows lie in a collection: one row a window, of one side of a split.

    `start` is the first of the collection's items, `room` how many items later it may start at most (0 where windows
    are fixed), `start_s` its time in the track, s.
    """

    track: npt.NDArray[np.int64]
    genre: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    room: npt.NDArray[np.int64]
    start_s: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.track)

    def __getitem__(self, rows: npt.NDArray[Any]) -> Windows:
        return Windows(self.track[rows], self.genre[rows], self.start[rows], self.room[rows], self.start_s[rows])


class WindowDataset(Dataset[Batch]):
    """Windows as batches cut straight out of a collection.

    A key is (row, where in its room, 0 to 1), or a row alone: Lightning puts a sampler of its own in place of ours for
    `--trainer.overfit_batches`.
    """

    def __init__(self, collection: Collection, windows: Windows, length: int) -> None:
        self.collection = collection
        self.windows = windows
        self.length = length

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, keys: Sequence[tuple[int, float] | int] | int) -> Batch:
        """What `__getitems__` gives: for samplers that yield whole batches."""
        return self.__getitems__([keys] if isinstance(keys, int) else keys)

    def __getitems__(self, keys: Sequence[tuple[int, float] | int]) -> Batch:
        """A batch: `x` `[batch, length, ...]`; and `y`, `track`, `index` int64, `start_s` float32, all `[batch]`.

        `track` is the row of the first part of a window's track, so that the parts of a track are one track in figures.
        """
        pairs = [(key, 0.0) if isinstance(key, int) else key for key in keys]
        rows = np.array([row for row, _ in pairs])
        shift = (np.array([place for _, place in pairs]) * (self.windows.room[rows] + 1)).astype(np.int64)
        starts = self.windows.start[rows] + shift
        x = np.stack([self.collection.items[start : start + self.length] for start in starts])
        return {
            "x": torch.from_numpy(x),
            "y": torch.from_numpy(self.windows.genre[rows]),
            "track": torch.from_numpy(self.collection.whole[self.windows.track[rows]]),
            "start_s": torch.from_numpy(self.windows.start_s[rows] + (shift / self.collection.rate).astype("f4")),
            "index": torch.from_numpy(rows),
        }


class WindowSampler(DistributedSampler[Any]):
    """Which windows, in which order, and where in its room each starts: a function of seed and epoch alone."""

    def __iter__(self) -> Iterator[tuple[int, float]]:
        rows = list(super().__iter__())
        places = np.random.default_rng((self.seed, self.epoch, self.rank)).random(len(rows))
        return zip(rows, places.tolist(), strict=True)


class TrackSampler(WindowSampler):
    """Batches of keys: all windows of one track, tracks in any order."""

    def __init__(self, windows: Windows, **options: Any) -> None:
        self.rows = [np.flatnonzero(windows.track == track).tolist() for track in np.unique(windows.track)]
        super().__init__(self.rows, **options)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        for track, place in super().__iter__():
            yield [(row, place) for row in self.rows[track]]
