"""Shards on this machine: fetched once, checked, bounded; and the order of windows that goes with it."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musicgen_cls.collection import sharded
from musicgen_cls.collection.collection import Collection, collect
from musicgen_cls.collection.sharded import ShardItems
from musicgen_cls.datamodules.dataset import TrackSampler, WindowDataset, Windows, window_sampler
from musicgen_cls.errors import StoreError, UsageError
from musicgen_cls.remote import connection
from musicgen_cls.shards.cache import VARIABLE, ShardCache
from musicgen_cls.shards.layout import Shard
from musicgen_cls.shards.storage import Bucket, digest_of
from musicgen_cls.sources.shards import Shards

RATE = 8000
SIZE = 64_000
"""Bytes of a shard of two tracks of 2 s."""


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the shards that are fetched."""
    names: list[str] = []
    fetch = Bucket.fetch

    def recorded(self: Bucket, name: str, path: Path, digest: str, patient: bool = True) -> None:
        names.append(name)
        fetch(self, name, path, digest, patient)

    monkeypatch.setattr(Bucket, "fetch", recorded)
    return names


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts without waits."""
    monkeypatch.setattr(connection, "WAITS_S", (0.0,) * 4)


@pytest.fixture
def bucket(url: str) -> tuple[Bucket, list[Shard]]:
    """Four shards of 1 kB in memory, behind a URL."""
    place = Bucket(url, "--out")
    contents = [np.full(500, n, np.int16).tobytes() for n in range(4)]
    shards = [Shard(digest_of(content), len(content)) for content in contents]
    for shard, content in zip(shards, contents, strict=True):
        place.write(shard.name, content)
    return place, shards


def test_a_slice_is_a_part_of_its_shard(bucket: tuple[Bucket, list[Shard]], tmp_path: Path, fetched: list[str]) -> None:
    place, shards = bucket
    empty = Shard(digest_of(b""), 0)
    items = ShardItems(ShardCache(place, tmp_path), [*shards[:2], empty, *shards[2:]])
    assert [items[start : start + 3].tolist() for start in (0, 497, 500, 1000, 1997)] == [
        [n] * 3 for n in (0, 0, 1, 2, 3)
    ]
    assert items.shard_of(np.array([0, 499, 500, 1000, 1999])).tolist() == [0, 0, 1, 3, 4]
    assert fetched == [shard.name for shard in shards]
    again = pickle.loads(pickle.dumps(items))
    assert again[499:500].tolist() == [0]
    assert len(fetched) == 4


def test_threads_and_processes_fetch_a_shard_once(
    bucket: tuple[Bucket, list[Shard]], tmp_path: Path, fetched: list[str]
) -> None:
    place, shards = bucket
    caches = [ShardCache(place, tmp_path) for _ in range(8)]  # as of eight processes
    with ThreadPoolExecutor(8) as pool:
        files = set(pool.map(lambda cache: cache.file(shards[0]), caches))
    assert len(files) == 1
    assert digest_of(files.pop()) == shards[0].digest
    assert fetched == [shards[0].name]
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".i16", ".json"]


def test_the_shards_used_longest_ago_leave_a_full_cache(
    bucket: tuple[Bucket, list[Shard]], tmp_path: Path, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, shards = bucket
    monkeypatch.setenv(VARIABLE, "2.5e-6")
    cache = ShardCache(place, tmp_path)
    for number in (0, 1, 0, 2):
        cache.file(shards[number])
    assert [cache.keeps(shard) for shard in shards] == [True, False, True, False]
    items = ShardItems(cache, shards)
    for start in (0, 500, 1000, 1500, 0):
        assert items[start : start + 2].tolist() == [start // 500] * 2
    assert len(items._mapped) == 2
    assert sum(path.stat().st_size for path in tmp_path.glob("*.i16")) <= 2500
    assert not items.fits
    assert items.groups(range(4)) == [[0], [1], [2], [3]]


def test_a_damaged_file_of_the_cache_is_fetched_again(
    bucket: tuple[Bucket, list[Shard]], tmp_path: Path, fetched: list[str]
) -> None:
    place, shards = bucket
    path = ShardCache(place, tmp_path).file(shards[1])
    path.write_bytes(bytes(1000))
    assert digest_of(ShardCache(place, tmp_path).file(shards[1])) == shards[1].digest
    assert len(fetched) == 2
    assert digest_of(ShardCache(place, tmp_path).file(shards[1], verify=True)) == shards[1].digest
    assert len(fetched) == 2


@pytest.mark.usefixtures("quick")
def test_a_shard_that_arrives_damaged_is_an_error(
    bucket: tuple[Bucket, list[Shard]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place, shards = bucket
    place.write(shards[2].name, bytes(1000))
    with pytest.raises(StoreError, match=rf"{place.url}/{shards[2].name}: cannot be fetched \(it arrives with another"):
        ShardCache(place, tmp_path).file(shards[2])
    assert len(caplog.records) == 4
    assert not list(tmp_path.iterdir())


class Unsteady:
    """A file system whose server fails a number of times."""

    def __init__(self, files: Any, failures: int, error: Exception) -> None:
        self.files, self.failures, self.error, self.calls = files, failures, error, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.files, name)

    def get_file(self, *args: Any) -> None:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        self.files.get_file(*args)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("failures", "error", "calls", "message"),
    [
        (4, ConnectionResetError("peer"), 5, None),
        (5, ConnectionResetError("peer"), 5, r"cannot be fetched \(peer\); check the server and the network, then run"),
        (9, TimeoutError(), 5, r"cannot be fetched \(TimeoutError\); check the server"),
        (9, PermissionError(13, "Access Denied"), 1, r"\(Access Denied\); check the permissions, or the credentials"),
        (9, OSError(28, "No space left on device"), 1, r"\(No space left on device\); free space, or set MUSICGEN_CLS"),
    ],
)
def test_a_server_that_fails(
    bucket: tuple[Bucket, list[Shard]], tmp_path: Path, failures: int, error: Exception, calls: int, message: str | None
) -> None:
    place, shards = bucket
    files, root = place.connection._files()
    unsteady = Unsteady(files, failures, error)
    place.connection._opened = os.getpid(), unsteady, root
    cache = ShardCache(place, tmp_path)
    if message is None:
        assert digest_of(cache.file(shards[0])) == shards[0].digest
    else:
        with pytest.raises(StoreError, match=message) as raised:
            cache.file(shards[0])
        assert str(raised.value).startswith(f"{place.url}/{shards[0].name}: ")
        assert not list(tmp_path.glob("*.i16"))
    assert unsteady.calls == calls


@pytest.mark.parametrize("bound", ["0", "-3", "much", "nan"])
def test_a_wrong_bound(
    bucket: tuple[Bucket, list[Shard]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setenv(VARIABLE, bound)
    with pytest.raises(UsageError, match=f"{VARIABLE}={bound}: not a number above 0"):
        ShardCache(bucket[0], tmp_path)


def windows_of(collection: Collection) -> Windows:
    """Eight windows of each track."""
    track = np.repeat(np.arange(len(collection.tracks)), 8)
    start = collection.offset[track] + np.tile(np.arange(8) * 900, len(collection.tracks))
    return Windows(track, track % 3, start, np.zeros_like(track), np.zeros(len(track), np.float32))


@pytest.fixture
def small(write: Callable[..., Shards], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WindowDataset:
    """Windows of shards, of which about four fit into the cache."""
    monkeypatch.setenv(VARIABLE, str(4.2 * SIZE / 1e9))
    collection = collect(write(url, parts=2), RATE, cache_dir=str(tmp_path / "cache"))
    return WindowDataset(collection, windows_of(collection), 700)


def epoch_of(dataset: WindowDataset, epoch: int = 0, rank: int = 0, world: int = 1) -> Iterator[int]:
    sampler = window_sampler(dataset, shuffle=True, num_replicas=world, rank=rank, seed=7)
    sampler.set_epoch(epoch)
    return (row for row, _ in sampler)


class AtOnce:
    """A thread whose work is done when it has started, so that the order of fetches is always the same."""

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...], **options: Any) -> None:
        self.start = lambda: target(*args)


def test_an_epoch_has_every_window_once_and_fetches_every_shard_once(
    small: WindowDataset, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharded, "Thread", AtOnce)
    items = small.collection.items
    assert not items.fits
    rows = []
    for row in epoch_of(small):
        rows.append(row)
        small.__getitems__([row])
    cache = items.cache
    assert sum(path.stat().st_size for path in cache.folder.glob("*.i16")) <= cache.bound
    assert sorted(rows) == list(range(len(small)))
    assert len(set(fetched)) == len(items.shards) > 5
    assert max(Counter(fetched).values()) == 1
    shards = items.shard_of(small.windows.start)[rows]
    changes = np.flatnonzero(np.diff(shards)).size
    assert changes > 2 * len(items.shards)  # windows of the shards of a group are mixed
    assert rows != list(epoch_of(small, 1))
    assert rows == list(epoch_of(small))


def test_processes_share_the_groups(small: WindowDataset) -> None:
    alone = list(epoch_of(small, 3))
    both = [list(epoch_of(small, 3, rank, 2)) for rank in (0, 1)]
    assert [row for pair in zip(*both, strict=True) for row in pair] == alone


def test_tracks_in_groups_of_shards(small: WindowDataset) -> None:
    batches = list(TrackSampler(small, shuffle=True, num_replicas=1, rank=0, seed=1))
    assert sorted(row for batch in batches for row, _ in batch) == list(range(len(small)))
    items = small.collection.items
    shards = [int(items.shard_of(small.windows.start[[batch[0][0]]])[0]) for batch in batches]
    assert len({tuple(sorted(set(shards[:4])))}) == 1
    assert len(set(shards[:4])) <= 3


def test_all_shards_are_fetched_ahead_if_they_fit(write: Callable[..., Shards], url: str, tmp_path: Path) -> None:
    collection = collect(write(url), RATE, cache_dir=str(tmp_path / "cache"))
    dataset = WindowDataset(collection, windows_of(collection), 700)
    items = collection.items
    started: list[list[int]] = []
    items.fetch_ahead = lambda numbers: started.append(list(numbers))
    rows = list(epoch_of(dataset))
    assert len(started) == 1
    assert sorted(started[0]) == list(range(len(items.shards)))
    assert started[0][0] == items.shard_of(dataset.windows.start)[rows[0]]
