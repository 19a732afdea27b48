"""Embeddings of a collection: each track once, resumed after a kill, several networks side by side."""

from pathlib import Path

import numpy as np
import pytest

from musicgen_cls.collection import embeddings
from musicgen_cls.collection.collection import Collection, collect
from musicgen_cls.collection.embeddings import embed_collection
from musicgen_cls.sources.folder import Folder

WINDOW = 22050


def mean_and_peak(pcm: np.ndarray) -> np.ndarray:
    return np.stack([pcm.mean(1), np.abs(pcm.astype(np.float32)).max(1)], axis=1).astype(np.float32)


def counting(calls: list[int]):
    def embed(pcm: np.ndarray) -> np.ndarray:
        calls.append(len(pcm))
        return mean_and_peak(pcm)

    return embed


@pytest.fixture
def audio(music: Path, tmp_path: Path) -> Collection:
    return collect(Folder(str(music)), 22050, cache_dir=str(tmp_path / "stores"))


def rows_of(collection: Collection, row: int) -> np.ndarray:
    start = int(collection.offset[row])
    return collection.items[start : start + int(collection.lengths[row])]


def test_rows_are_those_of_consecutive_windows(audio: Collection):
    found = embed_collection(audio, WINDOW, [("net-1", 2, mean_and_peak)])
    assert found.rate == 1.0
    assert found.lengths.tolist() == [length // WINDOW for length in audio.lengths]
    for row in range(len(audio.tracks)):
        pcm = audio.items[audio.offset[row] : audio.offset[row] + found.lengths[row] * WINDOW].reshape(-1, WINDOW)
        assert np.array_equal(rows_of(found, row), mean_and_peak(pcm))
    assert found.digests == audio.digests


def test_a_short_track_is_repeated(audio: Collection):
    found = embed_collection(audio, 10 * WINDOW, [("net-1", 2, mean_and_peak)])
    assert set(found.lengths) == {1}
    start, length = int(audio.offset[3]), int(audio.lengths[3])
    expected = mean_and_peak(np.resize(audio.items[start : start + length], (1, 10 * WINDOW)))
    assert np.allclose(rows_of(found, 3), expected)


def test_every_track_once_also_after_a_kill(audio: Collection, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embeddings, "_AT_ONCE", 10)
    calls: list[int] = []

    def failing(pcm: np.ndarray) -> np.ndarray:
        if len(calls) == 3:
            raise KeyboardInterrupt
        return counting(calls)(pcm)

    monkeypatch.setattr("musicgen_cls.collection.store._SYNC_S", -1.0)  # every track is on disk at once
    with pytest.raises(KeyboardInterrupt):
        embed_collection(audio, WINDOW, [("net-1", 2, failing)])
    done = sum(calls)
    found = embed_collection(audio, WINDOW, [("net-1", 2, counting(calls))])
    assert sum(calls) - done >= found.lengths.sum() - done > 0
    assert sum(calls) <= found.lengths.sum() + 10  # a group that was not on disk yet
    again = embed_collection(audio, WINDOW, [("net-1", 2, failing)])
    assert all(np.array_equal(rows_of(again, row), rows_of(found, row)) for row in range(len(audio.tracks)))
    other: list[int] = []
    embed_collection(audio, WINDOW, [("net-2", 2, counting(other))])  # other weights
    assert sum(other) == found.lengths.sum()


def test_several_networks_side_by_side_in_stores_of_different_order(audio: Collection):
    half = embed_collection_of(audio, slice(9, None))
    embed_collection(half, WINDOW, [("one-1", 2, mean_and_peak)])  # the later tracks come first in this store
    both = embed_collection(audio, WINDOW, [("one-1", 2, mean_and_peak), ("two-1", 1, lambda pcm: pcm[:, :1] * 1.0)])
    for row in range(len(audio.tracks)):
        pcm = audio.items[audio.offset[row] : audio.offset[row] + both.lengths[row] * WINDOW].reshape(-1, WINDOW)
        assert np.array_equal(rows_of(both, row), np.concatenate([mean_and_peak(pcm), pcm[:, :1]], axis=1))


def embed_collection_of(audio: Collection, part: slice) -> Collection:
    """Some tracks of a collection."""
    from dataclasses import replace

    names = ("tracks", "offset", "lengths", "digests", "before")
    return replace(
        audio, whole=np.arange(len(audio.tracks[part])), **{name: getattr(audio, name)[part] for name in names}
    )


def test_damaged_rows_are_made_again(audio: Collection):
    calls: list[int] = []
    found = embed_collection(audio, WINDOW, [("net-1", 2, counting(calls))])
    expected = [rows_of(found, row).copy() for row in range(len(audio.tracks))]
    (file,) = audio.folder.glob("net-1-*/rows.f32")
    content = bytearray(file.read_bytes())
    content[5] ^= 255
    file.write_bytes(content)
    calls.clear()
    again = embed_collection(audio, WINDOW, [("net-1", 2, counting(calls))])
    assert sum(calls) == found.lengths[0]
    assert all(np.array_equal(rows_of(again, row), own) for row, own in enumerate(expected))


def test_parts_of_a_track_follow_one_another(audio: Collection):
    from dataclasses import replace

    whole, before = np.zeros(len(audio.tracks), np.int64), np.cumsum(audio.lengths) - audio.lengths
    found = embed_collection(replace(audio, whole=whole, before=before), WINDOW, [("net-1", 2, mean_and_peak)])
    assert found.before.tolist() == (np.cumsum(found.lengths) - found.lengths).tolist()
