"""Ready spectrograms: what networks are fed, and what is refused."""

import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from musicgen_cls.datamodules.spectrograms import Spectrograms
from musicgen_cls.errors import SourceError, UsageError
from musicgen_cls.sources.folder import Folder
from musicgen_cls.sources.gtzan import GTZAN

N_MELS, FRAMES = 16, 40


def decibels(seed: int, level: float = -40.0) -> np.ndarray:
    """`[n_mels, frames]`, low bands louder."""
    rng = np.random.default_rng(seed)
    return (level - np.arange(N_MELS)[:, None] + rng.normal(size=(N_MELS, FRAMES))).astype("f4")


def picture(path: Path, db: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(np.round((db[::-1] + 80) / 80 * 255), 0, 255).astype("u1")).save(path)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Two genres of eight pictures."""
    root = tmp_path_factory.mktemp("pictures") / "Pictures"
    for label, genre in enumerate(("a", "b")):
        for n in range(8):
            picture(root / genre / f"{n}.png", decibels(8 * label + n))
    return root


def make(root: Path, **options) -> Spectrograms:
    defaults = {"n_mels": N_MELS, "frames": 16, "fractions": (0.5, 0.25, 0.25), "batch_size": 8}
    data = Spectrograms(Folder(str(root)), **(defaults | options))
    data.prepare_data()
    data.setup("fit")
    return data


def test_an_image_becomes_decibels_with_the_lowest_band_first(pictures):
    data = make(pictures, frames=FRAMES)
    batch = next(iter(data.val_dataloader()))
    assert batch["x"].dtype == torch.uint8
    fed = data.on_after_batch_transfer(batch, 0)["x"]
    back = fed * data.front_end.standardise.std + data.front_end.standardise.mean
    for x, row in zip(back, batch["track"].tolist(), strict=True):
        genre, n = data.collection.tracks[row].id.removesuffix(".png").split("/")
        np.testing.assert_allclose(x, decibels(8 * "ab".index(genre) + int(n)), atol=0.5 * 80 / 255 + 1e-4)


def test_arrays_are_decibels_as_they_are(tmp_path):
    for label, genre in enumerate(("a", "b")):
        (tmp_path / genre).mkdir()
        for n in range(4):
            np.save(tmp_path / genre / f"{n}.npy", decibels(4 * label + n).astype("f8"))
    data = make(tmp_path, frames=FRAMES)
    batch = data.on_after_batch_transfer(next(iter(data.val_dataloader())), 0)
    genre, n = data.collection.tracks[int(batch["track"][0])].id.removesuffix(".npy").split("/")
    back = batch["x"][0] * data.front_end.standardise.std + data.front_end.standardise.mean
    np.testing.assert_allclose(back, decibels(4 * "ab".index(genre) + int(n)), atol=1e-4)


def test_the_front_end_is_fitted_on_training_tracks_alone(pictures):
    data = make(pictures, frames=FRAMES)
    own = [decibels(8 * "ab".index(t.genre) + int(t.path.stem)) for t in data.collection.tracks]
    training = np.unique(data.windows["train"].track)
    mean = np.mean([own[row].mean(axis=1) for row in training], axis=0)
    np.testing.assert_allclose(data.front_end.standardise.mean[:, 0], mean, atol=0.05)
    assert data.level_offset() == pytest.approx(0, abs=1.0)


def test_crops_in_training_and_evenly_spaced_windows_in_evaluation(pictures):
    data = make(pictures, crops_per_track=5)
    assert len(data.windows["train"]) == 8 * 5
    assert (data.windows["train"].slack == FRAMES - 16).all()
    test = data.windows["test"]
    assert (test.slack == 0).all()
    assert sorted(set(test.start_s.tolist())) == pytest.approx([0, 24 * 512 / 22050])


def test_no_track_is_on_two_sides_and_copies_stay_together(tmp_path):
    for label, genre in enumerate(("a", "b")):
        for n in range(8):
            picture(tmp_path / genre / f"{n}.png", decibels(8 * label + n // 4 * 4))  # four copies of two
    data = make(tmp_path, fractions=(0.5, 0.0, 0.5))
    sides = {side: {data.collection.digests[row] for row in windows.track} for side, windows in data.windows.items()}
    assert not sides["train"] & sides["test"]


def test_gtzans_lists_apply_to_images(tmp_path):
    for number, track in enumerate(GTZAN(str(tmp_path)).all_tracks()[::2]):
        picture(tmp_path / track.genre / f"{track.id}.png", decibels(number))
    data = Spectrograms(GTZAN(str(tmp_path)), n_mels=N_MELS, frames=16, split="fault_filtered_dev")
    data.setup("fit")
    listed = GTZAN(str(tmp_path)).official_split("fault_filtered")
    for side, lists in (("train", {"train"}), ("validation", {"train"}), ("test", {"validation"})):
        ids = {data.collection.tracks[row].id for row in data.windows[side].track}
        assert ids
        assert {listed[id] for id in ids} == lists


def test_masks_are_for_training_only(pictures):
    class Zero(torch.nn.Module):
        def __init__(self):
            super().__init__()

        def forward(self, x):
            return 0 * x

    data = make(pictures, mask=Zero())
    for training in (False, True):
        data.trainer = SimpleNamespace(training=training, global_rank=0, world_size=1)
        batch = {"x": torch.full((1, 16, N_MELS), 200, dtype=torch.uint8)}
        assert bool(data.on_after_batch_transfer(batch, 0)["x"].any()) is not training


def other_height(path):
    Image.fromarray(np.zeros((N_MELS + 1, FRAMES), "u1")).save(path)


def colour(path):
    Image.fromarray(np.zeros((N_MELS, FRAMES, 3), "u1")).save(path)


def cut_short(path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def chunk(kind, content):
    """Puts a chunk behind the head of a PNG, or in place of it, with its check sum right."""

    def spoil(path):
        whole = path.read_bytes()
        start, end = (8, 33) if kind == b"IHDR" else (33, 33)
        made = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        path.write_bytes(whole[:start] + made + whole[end:])

    return spoil


BAD = [
    (chunk(b"IHDR", b"short"), "not a readable image"),
    (chunk(b"pHYs", b"short"), "not a readable image"),
    (chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(5_000_000))), "not a readable image"),
    (other_height, "17 bands, but --data.n_mels is 16"),
    (colour, "an image of mode RGB, not 8-bit grey"),
    (cut_short, "not a readable image"),
    (lambda path: path.write_text("no"), "not a readable image"),
    (lambda path: Image.fromarray(np.zeros((N_MELS, 15), "u1")).save(path), "15 frames, but --data.frames is 16"),
]


@pytest.mark.parametrize(("spoil", "said"), BAD)
def test_a_file_that_is_no_spectrogram(tmp_path, spoil, said):
    for label, genre in enumerate(("a", "b")):
        for n in range(5):
            picture(tmp_path / genre / f"{n}.png", decibels(5 * label + n))
    spoil(tmp_path / "a" / "2.png")
    data = make(tmp_path)
    assert [str(problem) for problem in data.collection.problems] == [f"{tmp_path}/a/2.png: {said}"]
    assert len(data.collection.tracks) == 9
    with pytest.raises(SourceError, match=rf"a/2\.png: {said}.*--data.strict false leaves it out"):
        make(tmp_path, strict=True)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((N_MELS, FRAMES), "i8"), r"an array of int64 with shape \[16, 40\], not of dB"),
        (np.zeros(N_MELS), "an array of float64 with shape"),
        (np.full((N_MELS, FRAMES), np.nan), "has values that are not finite"),
        (np.full((N_MELS, FRAMES), 1e300), "has values that are not finite"),
        (np.zeros((N_MELS, FRAMES), [("a", "f4")]), "an array of .* not of dB"),
    ],
)
def test_an_array_that_is_no_spectrogram(tmp_path, array, said):
    for genre in ("a", "b"):
        (tmp_path / genre).mkdir()
        np.save(tmp_path / genre / "0.npy", array)
    with pytest.raises(SourceError, match=rf"a/0\.npy: {said}.*none of 2 files can be used"):
        make(tmp_path)


def test_an_image_with_too_many_pixels(pictures, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", N_MELS * FRAMES // 2 - 1)
    with pytest.raises(SourceError, match=r"a/0\.png: an image with too many pixels for a spectrogram"):
        make(pictures)


@pytest.mark.parametrize(
    ("true", "false"),
    [(b"(16, 40), }", b"(16, 40,    "), (b"(16, 40), }        ", b"(16, 4000000000000)}"), (b"'<f8'", b"'|O' ")],
)
def test_an_array_whose_head_is_damaged(tmp_path, true, false):
    for genre in ("a", "b"):
        for n in range(5):
            path = tmp_path / genre / f"{n}.npy"
            path.parent.mkdir(exist_ok=True)
            np.save(path, decibels(n).astype(float))
    whole = path.read_bytes()
    assert true in whole
    path.write_bytes(whole.replace(true, false))
    data = make(tmp_path)
    assert [str(problem) for problem in data.collection.problems] == [f"{path}: not a readable array"]


def test_an_archive_named_as_an_array(tmp_path):
    for genre in ("a", "b"):
        (tmp_path / genre).mkdir()
        with (tmp_path / genre / "0.npy").open("wb") as file:
            np.savez(file, bands=np.zeros((N_MELS, FRAMES)))
    with pytest.raises(SourceError, match=r"a/0\.npy: not a readable array"):
        make(tmp_path)


def test_a_window_longer_than_every_track(pictures):
    with pytest.raises(SourceError, match=r"40 frames, but --data.frames is 41; none of 16 files can be used"):
        make(pictures, frames=41)


def test_kinds_do_not_mix(tmp_path):
    picture(tmp_path / "a" / "0.png", decibels(0))
    (tmp_path / "b").mkdir()
    np.save(tmp_path / "b" / "0.npy", decibels(1))
    with pytest.raises(SourceError, match="has images and arrays"):
        make(tmp_path)


def test_a_folder_of_something_else(music):
    with pytest.raises(SourceError, match=r"no \.npy or \.png in sub-folders"):
        Spectrograms(Folder(str(music)))


@pytest.mark.parametrize("name", ["frames", "n_mels", "range_db", "frame_seconds", "windows_per_track"])
def test_what_must_be_positive(pictures, name):
    with pytest.raises(UsageError, match=rf"--data.{name} 0: must be more than 0"):
        make(pictures, **{name: 0})


def test_real_ones(shared_data):
    data = Spectrograms(
        GTZAN(str(shared_data / "gtzan_logmel")), frames=387, frame_seconds=0.0775, split="fault_filtered_dev"
    )
    data.setup("fit")
    assert len(data.collection.tracks) == 639
    assert len(data.windows["test"]) == 197
    assert len(data.windows["train"]) + len(data.windows["validation"]) == 442
