"""A collection read from shards is the collection read from its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from musicgen_cls.collection.collection import Collection, collect
from musicgen_cls.collection.embeddings import embed_collection
from musicgen_cls.datamodules import WaveformSlices, WaveformWindows
from musicgen_cls.errors import SourceError, StoreError
from musicgen_cls.sources.base import SIDES
from musicgen_cls.sources.folder import Folder
from musicgen_cls.sources.shards import Shards

RATE = 8000


def facts(collection: Collection) -> list[object]:
    """What a division into sides and windows depends on."""
    tracks = [(track.id, track.genre, track.artist, track.seconds, track.group) for track in collection.tracks]
    reasons = [(problem.path.name, problem.reason) for problem in collection.problems]
    arrays = [array.tolist() for array in (collection.lengths, collection.whole, collection.before)]
    return [tracks, collection.digests, collection.grouped, collection.near, collection.rate, reasons, arrays]


@pytest.mark.parametrize("duplicates", ["drop", "near"])
@pytest.mark.parametrize("place", ["folder", "url"])
def test_tracks_groups_and_samples(
    mixed: Path, write: Callable[..., Shards], url: str, place: str, duplicates: str
) -> None:
    source = write(url if place == "url" else "", parts=3)
    files = collect(Folder(str(mixed)), RATE, duplicates=duplicates)  # type: ignore[arg-type]
    shards = collect(source, RATE, duplicates=duplicates)  # type: ignore[arg-type]
    wanted, found = facts(files), facts(shards)
    for problem in ("exact copy of",):  # the only reason that names the place of a file
        wanted, found = ([str(fact).replace(str(root), "") for fact in own] for own, root in
                         ((wanted, mixed), (found, source.location)))  # fmt: skip
        assert (problem in str(found)) == (duplicates == "drop")
    assert found == wanted
    assert "bad.wav" in str(found)
    assert "notes.txt" in str(found)
    assert len(source.note.shards) > 5
    assert bool(shards.near) == (duplicates == "near")
    for row in range(len(shards.tracks)):
        np.testing.assert_array_equal(shards.waveform(row), files.waveform(row))


@pytest.mark.parametrize("split", ["track", "artist", "segment"])
def test_sides_windows_and_batches(mixed: Path, write: Callable[..., Shards], url: str, split: str) -> None:
    options = {"sample_rate": RATE, "seconds": 0.3, "split": split, "batch_size": 5, "crops_per_track": 4,
               "fractions": (0.5, 0.25, 0.25)}  # fmt: skip
    modules = [WaveformSlices(source, **options) for source in (Folder(str(mixed)), write(url, parts=2))]
    for data in modules:
        data.prepare_fit()
    files, shards = modules
    for side in SIDES:
        loaders = [data._loader(side, shuffle=side == "train") for data in modules]
        for epoch in range(2):
            for loader in loaders:
                loader.sampler.set_epoch(epoch)
            for wanted, found in zip(*loaders, strict=True):
                assert wanted.keys() == found.keys()
                assert all(torch.equal(wanted[key], found[key]) for key in wanted)
    assert files.state_dict()["trained_on"] == shards.state_dict()["trained_on"]


def test_batches_of_whole_tracks(mixed: Path, write: Callable[..., Shards]) -> None:
    options = {"sample_rate": RATE, "context_seconds": 0.2, "target_seconds": 0.2, "batch": "track"}
    modules = [WaveformWindows(source, **options) for source in (Folder(str(mixed)), write())]
    for data in modules:
        data.prepare_fit()
    for wanted, found in zip(*(data.train_dataloader() for data in modules), strict=True):
        assert torch.equal(wanted["x"], found["x"])


def test_embeddings_are_kept_beside_the_cache(mixed: Path, write: Callable[..., Shards], url: str) -> None:
    def embed(pcm: np.ndarray) -> np.ndarray:
        return np.stack([pcm.mean(1), pcm.std(1)], axis=1).astype(np.float32)

    found = [embed_collection(collect(source, RATE), RATE, [("mean-1", 2, embed)])
             for source in (Folder(str(mixed)), write(url))]  # fmt: skip
    assert found[1].folder is not None
    assert (found[1].folder / "mean-1-8000" / "rows.f32").is_file()
    for start, length in zip(found[0].offset, found[0].lengths, strict=True):
        rows = [own.items[start : start + length] for own in found]
        np.testing.assert_array_equal(*rows)


def test_another_sample_rate_is_refused(write: Callable[..., Shards]) -> None:
    with pytest.raises(StoreError, match=r"has audio of 8000 Hz, but 16000 Hz are needed; set --data.sample_rate 8000"):
        collect(write(), 16000)


def test_spectrograms_need_files(write: Callable[..., Shards]) -> None:
    with pytest.raises(SourceError, match="use Folder"):
        write().with_suffixes((".png",))
