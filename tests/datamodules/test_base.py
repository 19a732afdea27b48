import logging
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import yaml
from torch import nn

from musicgen_cls.audio.io import PCM_SCALE
from musicgen_cls.collection.store import Store
from musicgen_cls.datamodules.dataset import WindowSampler
from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.errors import SourceError, SplitError, UsageError
from musicgen_cls.sources.base import SIDES
from musicgen_cls.sources.folder import Folder

RATE = 22050


def make(root: Path, stage: str | None = "fit", **options) -> MelSlices:
    """Pictures of 1 s, set up."""
    defaults = {"seconds": 1.0, "windows_per_track": 3, "batch_size": 8, "fractions": (0.5, 0.25, 0.25)}
    data = MelSlices(source=Folder(str(root)), **(defaults | options))
    if stage:
        data.prepare_data()
        data.setup(stage)
    return data


@pytest.fixture(scope="module")
def data(music) -> MelSlices:
    """The small collection in windows of 1 s. Not to be changed."""
    return make(music)


def joined(loader) -> dict[str, torch.Tensor]:
    """All batches of a loader as one."""
    batches = list(loader)
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """Two genres of eight wav tracks of 1 to 2 s of noise at 8000 Hz."""
    root = tmp_path_factory.mktemp("small") / "small"
    rng = np.random.default_rng(0)
    for genre in ("a", "b"):
        (root / genre).mkdir(parents=True)
        for n in range(8):
            level = 10.0 ** rng.uniform(-2, -0.5)
            soundfile.write(root / genre / f"{n}.wav", level * rng.uniform(-1, 1, rng.integers(8000, 16000)), 8000)
    return root


def test_a_collection_is_opened_once(small, monkeypatch):
    opened = []
    fill = Store.fill
    monkeypatch.setattr(Store, "fill", lambda *args: opened.append(1) or fill(*args))
    data = make(small, stage=None)
    data.prepare_fit()
    data.prepare_data()
    data.setup("fit")
    assert opened == [1]
    make(small, stage=None).setup("test")  # as a process that did not prepare
    assert opened == [1, 1]


# Batches


def test_batches_keep_the_contract(data):
    batch = next(iter(data.train_dataloader()))
    assert batch["x"].shape == (8, RATE)
    assert batch["x"].dtype == torch.int16
    batch = data.on_after_batch_transfer(batch, 0)
    assert set(batch) == {"x", "y", "track", "start_s", "index"}
    assert batch["x"].shape == (8, 64, 1 + RATE // 256)
    assert batch["x"].dtype == batch["start_s"].dtype == torch.float32
    for name in ("y", "track", "index"):
        assert batch[name].dtype == torch.int64
    for name in ("y", "track", "index", "start_s"):
        assert batch[name].shape == (8,)
    assert set(batch["y"].tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("side", SIDES)
def test_the_content_of_a_batch(data, side):
    found = joined(data._loader(side))
    assert found["index"].tolist() == list(range(len(data.windows[side])))
    for x, y, track, start_s in zip(found["x"], found["y"], found["track"], found["start_s"], strict=True):
        start = int(data.collection.offset[track]) + round(float(start_s) * RATE)
        assert np.array_equal(x, data.collection.items[start : start + RATE])
        assert data.collection.tracks[track].genre == data.genres[y]


def test_training_spectrograms_are_standardised(data):
    batch = data.on_after_batch_transfer(joined(data._loader("train")), 0)
    np.testing.assert_allclose(batch["x"].mean(dim=(0, 2)), 0, atol=1e-3)
    moving = data.front_end.standardise.std.squeeze() > 1
    assert moving.sum() > 50
    np.testing.assert_allclose(batch["x"].std(dim=(0, 2))[moving], 1, atol=1e-3)


def test_worker_processes_give_the_same_batches(music, data):
    torch.testing.assert_close(joined(make(music, num_workers=1).val_dataloader()), joined(data.val_dataloader()))


def test_training_is_shuffled_in_each_epoch_reproducibly(data):
    def order(epoch: int) -> list[int]:
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        return joined(loader)["index"].tolist()

    assert order(0) == order(0)
    assert order(0) != order(1)
    assert sorted(order(0)) == sorted(order(1)) == list(range(len(data.windows["train"])))


def at_epoch(epoch):
    return SimpleNamespace(epoch_progress=SimpleNamespace(current=SimpleNamespace(processed=epoch)))


@pytest.mark.parametrize(
    ("now", "loaded", "done"),
    [
        (0, None, 0),
        (7, None, 7),
        (0, {"loops": {"fit_loop": {"epoch_progress": {"current": {"processed": 2}}}}}, 2),
        (7, {"state_dict": {}}, 7),
    ],
)
def test_a_resumed_run_continues_its_epoch(data, monkeypatch, now, loaded, done):
    """With a schedule of the learning rate the loader is made before Lightning restores its loops."""
    connector = SimpleNamespace(_loaded_checkpoint=loaded)
    trainer = SimpleNamespace(global_rank=0, world_size=1, fit_loop=at_epoch(now), _checkpoint_connector=connector)
    monkeypatch.setattr(data, "trainer", trainer)
    assert data.train_dataloader().sampler.epoch == done


@pytest.mark.parametrize("batch_size", [1, 4, 7, 26, 100])
def test_only_a_left_over_single_window_is_dropped_in_training(music, batch_size):
    data = make(music, batch_size=batch_size, windows_per_track=3)
    windows = len(data.windows["train"])
    assert windows == 27
    seen = len(joined(data.train_dataloader())["index"])
    assert seen == (windows - 1 if batch_size > 1 and windows % batch_size == 1 else windows)
    assert len(joined(data.val_dataloader())["index"]) == len(data.windows["validation"])


# Sides


@pytest.mark.parametrize("options", [{}, {"split": "artist"}, {"fold": "2 of 3"}, {"crops_per_track": 2}])
def test_windows_of_a_track_are_on_one_side(music, options):
    data = make(music, **options)
    tracks = [set(data.windows[side].track.tolist()) for side in SIDES]
    assert sum(map(len, tracks)) == len(set.union(*tracks)) == 18
    if options.get("split") == "artist":
        artists = [{data.collection.tracks[row].artist for row in rows} for rows in tracks]
        assert sum(map(len, artists)) == len(set.union(*artists)) == 9
    for side in SIDES:
        counts = Counter(data.windows[side].track.tolist())
        assert set(counts.values()) == {2 if side == "train" and data.crops_per_track else 3}
        assert set(data.windows[side].genre.tolist()) == {0, 1, 2}


def test_windows_do_not_overlap_and_stay_in_their_track(data):
    for windows in data.windows.values():
        for track in np.unique(windows.track):
            starts = windows.start[windows.track == track] - data.collection.offset[track]
            assert starts.min() >= 0
            assert starts.max() + RATE <= data.collection.lengths[track]
            assert (np.diff(starts) >= RATE).all()


def test_segment_leaks_and_warns(music, caplog):
    with caplog.at_level(logging.WARNING):
        data = make(music, split="segment")
    assert data.leaks
    assert "figures leak" in caplog.text
    rows = [set(zip(w.track.tolist(), w.start.tolist(), strict=True)) for w in data.windows.values()]
    assert sum(map(len, rows)) == len(set.union(*rows)) == 54
    assert set(data.windows["train"].track.tolist()) & set(data.windows["test"].track.tolist())
    assert not make(music).leaks


def test_a_split_the_source_does_not_have(music):
    with pytest.raises(SplitError, match="has no published lists"):
        make(music, split="fault_filtered")


def test_external_leaves_unknown_genres_out_by_name(music, caplog):
    with caplog.at_level(logging.WARNING):
        data = make(music, "test", split="external", genres=["metal", "disco", "jazz"])
    assert "left out: blues (6 tracks)" in caplog.text
    assert len(data.windows["test"]) == 2 * 6 * 3
    assert len(data.windows["train"]) == len(data.windows["validation"]) == 0
    found = joined(data.test_dataloader())
    for y, track in zip(found["y"], found["track"], strict=True):
        assert data.collection.tracks[track].genre == ["metal", "disco", "jazz"][y]
    with pytest.raises(SplitError, match="split 'external': no train windows"):
        data.train_dataloader()


@pytest.mark.parametrize(
    "options",
    [{"genres": ["jazz", "metal"]}, {"genres": ["rock", "pop"]}, {"genres": ["rock", "pop"], "split": "external"}],
)
def test_genres_that_are_not_those_of_the_checkpoint(music, options):
    with pytest.raises(SourceError, match=r"has the genres blues, jazz, metal, but the checkpoint or"):
        make(music, **options)


# Crops


def crops(data: MelSlices, epoch: int) -> dict[str, torch.Tensor]:
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    found = joined(loader)
    order = found["index"].argsort()
    return {name: values[order] for name, values in found.items()}


@pytest.fixture(scope="module")
def cropped(music) -> MelSlices:
    return make(music, crops_per_track=6)


def test_crops_stay_in_their_track(cropped):
    for epoch in range(4):
        found = crops(cropped, epoch)
        assert Counter(found["track"].tolist()) == dict.fromkeys(set(cropped.windows["train"].track.tolist()), 6)
        for x, track, start_s in zip(found["x"], found["track"], found["start_s"], strict=True):
            start = round(float(start_s) * RATE)
            assert 0 <= start <= cropped.collection.lengths[track] - RATE
            start += int(cropped.collection.offset[track])
            assert np.array_equal(x, cropped.collection.items[start : start + RATE])


def test_crops_differ_by_epoch_and_seed_and_are_reproducible(cropped, monkeypatch):
    first = crops(cropped, 0)
    assert all(torch.equal(first[name], again) for name, again in crops(cropped, 0).items())
    assert (crops(cropped, 1)["start_s"] != first["start_s"]).float().mean() > 0.9
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    assert (crops(cropped, 0)["start_s"] != first["start_s"]).float().mean() > 0.9


def test_crops_reach_both_ends(small):
    data = make(small, sample_rate=8000, seconds=0.5, crops_per_track=500)
    found = crops(data, 0)
    for row in np.unique(data.windows["train"].track):
        starts = found["start_s"][found["track"] == row]
        slack = (data.collection.lengths[row] - 4000) / 8000
        assert starts.min() < 0.05 * slack
        assert starts.max() > 0.95 * slack


def test_a_crop_may_be_the_whole_track(small):
    data = make(small, sample_rate=8000, seconds=1.0, crops_per_track=3)
    rows = data.windows["train"]
    assert (rows.slack == data.collection.lengths[rows.track] - 8000).all()
    shortest = [row for row in range(len(rows)) if rows.slack[row] == rows.slack.min()]
    x = data._loader("train").dataset.__getitems__([(row, 1 - 1e-12) for row in shortest])["x"]
    assert x.shape == (len(shortest), 8000)


def test_judged_windows_are_never_crops(cropped, data):
    for side in ("validation", "test"):
        assert np.array_equal(cropped.windows[side].start, data.windows[side].start)
        assert (cropped.windows[side].slack == 0).all()


# Ranks


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("windows", [2, 26, 27])
def test_two_ranks_cover_everything(windows, shuffle):
    samplers = [WindowSampler(range(windows), num_replicas=2, rank=rank, shuffle=shuffle, seed=3) for rank in (0, 1)]
    seen = [[row for row, _ in sampler] for sampler in samplers]
    assert len(seen[0]) == len(seen[1])
    assert sorted(set(seen[0] + seen[1])) == list(range(windows))
    assert len(seen[0] + seen[1]) - windows in (0, 1)
    places = [[place for _, place in sampler] for sampler in samplers]
    assert all(0 <= place < 1 for rank in places for place in rank)
    assert places[0] != places[1]


def test_ranks_take_their_share_from_the_trainer(data, monkeypatch):
    seen = []
    new = {"fit_loop": at_epoch(0), "_checkpoint_connector": SimpleNamespace(_loaded_checkpoint=None)}
    for rank in range(3):
        monkeypatch.setattr(data, "trainer", SimpleNamespace(global_rank=rank, world_size=3, **new))
        seen += joined(data.test_dataloader())["index"].tolist()
    assert sorted(set(seen)) == list(range(len(data.windows["test"])))


# The front end


def test_the_front_end_is_fitted_on_training_windows_only(small, tmp_path):
    options = {"sample_rate": 8000, "seconds": 0.5, "cache_dir": str(tmp_path / "stores")}
    data = make(small, **options)
    fitted = data.front_end.standardise.mean, data.front_end.standardise.std
    assert fitted[0].abs().max() > 1
    for side in SIDES:
        copy = tmp_path / side / "small"
        shutil.copytree(small, copy)
        for row in np.unique(data.windows[side].track):
            path = copy / data.collection.tracks[row].id
            soundfile.write(path, np.random.default_rng(row).normal(0, 0.2, soundfile.info(path).frames), 8000)
        other = make(copy, **options)
        assert [len(w) for w in other.windows.values()] == [len(w) for w in data.windows.values()]
        assert torch.equal(other.front_end.standardise.mean, fitted[0]) == (side != "train")
        assert torch.equal(other.front_end.standardise.std, fitted[1]) == (side != "train")


def test_the_front_end_is_not_fitted_to_what_is_judged(music):
    data = make(music, "test")
    assert (data.front_end.standardise.mean == 0).all()
    assert (data.front_end.standardise.std == 1).all()


@pytest.mark.parametrize("before", ["validate", "test"])
def test_judging_before_training_does_not_hinder_the_fit(music, data, before):
    other = make(music, before)
    other.setup("fit")
    assert torch.equal(other.front_end.standardise.mean, data.front_end.standardise.mean)


def test_state_survives(music, data):
    state = data.state_dict()
    fresh = make(music, "test")
    batch = joined(data.test_dataloader())
    want = data.on_after_batch_transfer(dict(batch), 0)["x"]
    assert not torch.equal(fresh.on_after_batch_transfer(dict(batch), 0)["x"], want)
    fresh.load_state_dict(state)
    assert torch.equal(fresh.on_after_batch_transfer(dict(batch), 0)["x"], want)


def test_a_state_with_the_older_key(music, data):
    state = data.state_dict()
    older = {"heard": state.pop("trained_on"), **state}
    fresh = make(music, "test", split="external")
    fresh.load_state_dict(older)
    trained = data.windows["train"].track.tolist() + data.windows["validation"].track.tolist()
    assert set(fresh.seen_in_training("test")) == {data.collection.name(row) for row in trained}
    assert fresh.leaks


class Gain(nn.Module):
    """Augmentation that can be told: everything 20 dB softer."""

    def __init__(self, factor: float = 0.1) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


@pytest.mark.parametrize(("training", "change"), [(True, -20.0), (False, 0.0)])
def test_augmentation_in_training_only(music, data, training, change):
    other = make(music, augment=Gain())
    other.trainer = SimpleNamespace(training=training, state=SimpleNamespace(fn="validate"))
    batch = joined(data._loader("train"))
    got, want = (module.on_after_batch_transfer(dict(batch), 0)["x"] for module in (other, data))
    difference = (data.front_end.to_db(got) - data.front_end.to_db(want)).numpy()
    np.testing.assert_allclose(np.median(difference), change, atol=1e-2)
    assert other.hparams["augment"]["init_args"] == {"factor": 0.1}


@pytest.mark.parametrize("training", [True, False])
def test_spectrograms_are_masked_in_training_only(music, data, training):
    from torchaudio.transforms import SpecAugment

    torch.manual_seed(0)
    mask = SpecAugment(n_time_masks=1, time_mask_param=20, n_freq_masks=1, freq_mask_param=20, zero_masking=True)
    other = make(music, mask=mask)
    other.trainer = SimpleNamespace(training=training, state=SimpleNamespace(fn="validate"))
    batch = joined(data._loader("train"))
    got, want = (module.on_after_batch_transfer(dict(batch), 0)["x"] for module in (other, data))
    if training:
        masked = got == 0
        assert 0 < masked.float().mean() < 0.6
        assert torch.equal(got, torch.where(masked, 0.0, want))
        columns = masked.all(dim=1).sum(dim=1)
        assert len(set(columns.tolist())) > 1  # of each window its own
    else:
        assert torch.equal(got, want)


def test_batches_without_input_are_unchanged(data):
    batch = {"file": "a.wav", "error": "a.wav: no such file", "last": True}
    assert data.on_after_batch_transfer(dict(batch), 0) == batch


# What is left out, and files of one's own


def test_unusable_files_are_logged_and_listed(small, tmp_path, caplog):
    root = tmp_path / "small"
    shutil.copytree(small, root)
    (root / "a" / "bad.wav").write_text("no audio")
    soundfile.write(root / "b" / "short.wav", np.random.default_rng(0).normal(0, 0.1, 800), 8000)
    with caplog.at_level(logging.WARNING):
        data = make(root, sample_rate=8000, seconds=0.5)
    assert "2 files left out" in caplog.text
    assert "too short: 0.10 s, but 0.5 s are needed" in caplog.text
    table = pd.read_csv(data.collection.folder / "integrity.csv")
    assert {Path(path).name for path in table["path"]} == {"bad.wav", "short.wav"}
    with pytest.raises(SourceError, match=r"--data\.strict false"):
        make(root, sample_rate=8000, seconds=0.5, strict=True)


def test_files_need_no_source(music):
    data = MelSlices(files=str(music / "jazz" / "3.mp3"), genres=["a", "b"], seconds=2.0, batch_size=2)
    data.prepare_data()
    data.setup("predict")
    assert data.collection is None
    batches = list(data.predict_dataloader())
    assert sum(len(batch["x"]) for batch in batches) in (3, 4)
    assert [batch["last"] for batch in batches] == [False] * (len(batches) - 1) + [True]
    assert data.on_after_batch_transfer(batches[0], 0)["x"].shape == (2, 64, 173)


def test_predicting_needs_files(data):
    with pytest.raises(UsageError, match=r"--data\.files: not set, and predict needs files"):
        data.predict_dataloader()


# Arguments


@pytest.mark.parametrize(
    "name",
    ["sample_rate", "seconds", "windows_per_track", "batch_size", "crops_per_track", "n_fft", "hop_length", "n_mels"],
)
@pytest.mark.parametrize("value", [0, -1, 10**9])
def test_what_must_be_positive_and_within_reason(music, name, value):
    with pytest.raises(UsageError, match=rf"--data.{name} {value}: must be (more than 0, and at most|from 1000 to)"):
        make(music, None, **{name: value})


def test_a_window_of_no_samples(music):
    with pytest.raises(UsageError, match="seconds"):
        make(music, seconds=1e-6)


def test_a_window_longer_than_every_track(music):
    with pytest.raises(
        SourceError, match=r"none of 18 tracks can be used; the first: .*too short.*lower --data.seconds"
    ):
        make(music, seconds=60.0)


def test_no_source():
    with pytest.raises(UsageError, match=r"--data\.source: not set"):
        MelSlices()


def test_one_genre(small, tmp_path):
    shutil.copytree(small / "a", tmp_path / "one" / "a")
    with pytest.raises(SourceError, match="only one genre"):
        make(tmp_path / "one", None)


def test_classes_are_known_before_setup(music):
    data = make(music, None)
    assert data.genres == ["blues", "jazz", "metal"]
    assert data.num_classes == 3
    assert data.collection is None


def test_hyper_parameters_are_plain_and_rebuild(music):
    data = make(music, None, n_mels=32, fold="1 of 3", files=["x.wav"])
    kept = dict(data.hparams)
    assert yaml.safe_load(yaml.safe_dump(kept)) == kept
    assert kept["source"] == {"class_path": "musicgen_cls.sources.Folder", "init_args": {"root": str(music)}}
    assert kept["genres"] == ["blues", "jazz", "metal"]
    assert kept["files"] is None
    arguments = {name: value for name, value in kept.items() if not name.startswith("_")}
    again = MelSlices(**(arguments | {"source": data.source}))
    assert dict(again.hparams) == kept


def test_a_collection_that_moved_away_does_not_hinder_a_checkpoint(tmp_path):
    data = MelSlices(source=Folder(str(tmp_path / "gone")), genres=["a", "b"])
    assert data.num_classes == 2


def test_scale_is_that_of_the_files(data):
    """A batch, seen as waveforms, is full scale 1."""
    waveforms = data.front_end.scale(data.sample_windows(data.windows["train"], limit=5))
    assert waveforms.shape == (5, RATE)
    batch = data._loader("train").dataset.__getitems__([(0, 0.0)])
    assert torch.equal(waveforms[0], batch["x"][0] / PCM_SCALE)
    assert 0.01 < waveforms.abs().max() <= 1
