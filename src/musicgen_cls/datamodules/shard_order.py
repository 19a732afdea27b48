"""The order of windows that are in shards, with the shards fetched before they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from musicgen_cls.collection.sharded import ShardItems


class ShardOrder:
    """Orders of windows.

    Args:
        items: the shards.
        starts: the first item of each window, `[windows]`.
    """

    def __init__(self, items: ShardItems, starts: npt.NDArray[np.int64]) -> None:
        self.items, self.shard = items, items.shard_of(starts)

    def as_given(self, rows: Sequence[int]) -> Iterator[int]:
        """The windows in the given order; if all shards fit into the cache, they are fetched from now on."""
        if self.items.fits:
            self.items.fetch_ahead(list(dict.fromkeys(self.shard[rows].tolist())))
        yield from rows

    def by_group(self, places: Sequence[int], seed: tuple[int, int]) -> Iterator[int]:
        """The windows at some places of a random order.

        The shards are shuffled and put into groups that fit into half of the cache. The order has the windows of one
        group after those of another, shuffled within the group. While a group is read, the next one is fetched.

        Args:
            places: places in the order of all windows, ascending; those of one process.
            seed: random seed and epoch.
        """
        random = np.random.default_rng(seed)
        groups = self.items.groups(random.permutation(np.unique(self.shard)).tolist())
        group_of = np.zeros(len(self.items.shards), dtype=np.int64)
        for number, shards in enumerate(groups):
            group_of[shards] = number
        group = group_of[self.shard]
        order = np.lexsort((random.random(len(group)), group))
        present = -1
        for row in order[places].tolist():
            if group[row] > present:
                self.items.fetch_ahead([shard for shards in groups[present + 1 : group[row] + 2] for shard in shards])
                present = group[row]
            yield row
