import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from musicgen_cls.audio.io import PCM_SCALE
from musicgen_cls.datamodules.waveform import WaveformWindows
from musicgen_cls.errors import AudioError, SourceError, UsageError
from musicgen_cls.sources.folder import Folder

RATE = 4000


@pytest.fixture(scope="module")
def tracks(tmp_path_factory) -> Path:
    """Two genres of ten tracks of 5.5 s, each sample of which tells where it stands."""
    root = tmp_path_factory.mktemp("waveform") / "ramps"
    for genre in ("a", "b"):
        (root / genre).mkdir(parents=True)
        for n in range(10):
            y = np.arange(int(5.5 * RATE), dtype=np.int16) + (0 if genre == "a" else 100) + n
            soundfile.write(root / genre / f"{n}.wav", y, RATE, subtype="PCM_16")
    return root


def make(root: Path, **options) -> WaveformWindows:
    studys = {"sample_rate": RATE, "target_seconds": 0.1, "hop_seconds": 1.0}
    data = WaveformWindows(Folder(str(root)), **(studys | options))
    if data.files is None:
        data.prepare_data()
        data.setup("fit")
    return data


def seen(data: WaveformWindows, loader) -> list[dict[str, torch.Tensor]]:
    return [data.on_after_batch_transfer(batch, 0) for batch in loader]


class TestAsTheStudyHasIt:
    def test_context_and_target_follow_each_other(self, tracks):
        data = make(tracks, batch_size=7)
        for batch in seen(data, data.train_dataloader()):
            assert batch["context"].shape[1:] == (3600,)
            assert batch["target"].shape[1:] == (400,)
            assert batch["context"].dtype == torch.float32
            whole = torch.cat([batch["context"], batch["target"]], dim=1) * PCM_SCALE
            assert (whole.diff() == 1).all()
            assert "x" not in batch
            assert "y" not in batch
            assert batch["genre"].dtype == torch.int64

    def test_nine_of_ten_train_and_the_last_second_validates(self, tracks):
        data = make(tracks)
        train, validation, held_out = (data.windows[side] for side in ("train", "validation", "test"))
        assert len(np.unique(train.track)) == 18
        assert set(validation.track) == set(train.track)
        assert not set(held_out.track) & set(train.track)
        assert sorted(set(train.start_s.tolist())) == [0, 1, 2, 3]
        assert set(validation.start_s.tolist()) == {4}
        assert len(held_out) == 2 * 5

    def test_a_batch_is_a_track(self, tracks):
        data = make(tracks, batch="track")
        batches = seen(data, data.train_dataloader())
        assert len(batches) == 18
        for batch in batches:
            assert len(batch["track"]) == 4
            assert len(set(batch["track"].tolist())) == 1
        assert len({int(batch["track"][0]) for batch in batches}) == 18
        assert [int(batch["track"][0]) for batch in batches] != sorted(int(batch["track"][0]) for batch in batches)

    def test_overlapping_windows_keep_off_the_one_that_validates(self, tracks):
        data = make(tracks, hop_seconds=0.25)
        train, validation = data.windows["train"], data.windows["validation"]
        assert set(validation.start_s.tolist()) == {4.5}
        assert max(train.start_s) == 3.5
        assert len(train) == 18 * 15

    def test_validation_tracks_of_their_own(self, tracks):
        data = make(tracks, fractions=(0.8, 0.1, 0.1))
        sides = [set(data.windows[side].track) for side in ("train", "validation", "test")]
        assert [len(side) for side in sides] == [16, 2, 2]
        assert len(set.union(*sides)) == 20
        assert len(data.windows["validation"]) == 2 * 5


class TestGenres:
    def test_one_of_several(self, tracks):
        data = make(tracks, genres=["b"])
        assert data.num_classes == 1
        assert len(np.unique(data.windows["train"].track)) == 9
        batch = seen(data, data.test_dataloader())[0]
        assert set(batch["genre"].tolist()) == {0}
        assert {data.collection.tracks[row].genre for row in batch["track"].tolist()} == {"b"}

    def test_held_out_are_the_same_tracks_as_of_a_network_of_all(self, tracks):
        def held_out(**options):
            data = make(tracks, fractions=(0.5, 0.0, 0.5), **options)
            return {data.collection.tracks[row].id for row in data.windows["test"].track}

        assert len(held_out()) == 10
        assert held_out(genres=["a"]) | held_out(genres=["b"]) == held_out()

    def test_an_unknown_genre_is_named_with_the_nearest(self, tmp_path):
        for genre, pitch in (("reggae", 1.0), ("jazz", 0.5)):
            (tmp_path / genre).mkdir()
            soundfile.write(tmp_path / genre / "0.wav", np.sin(pitch * np.arange(9000)), RATE)
        with pytest.raises(SourceError, match=r"'regae'.*did you mean 'reggae'"):
            make(tmp_path, genres=["regae"])
        with pytest.raises(UsageError, match=r"--data.genre 'metal'.*jazz, reggae"):
            make(tmp_path, genre="metal")


class TestPrompts:
    def test_beginnings_of_held_out_tracks(self, tracks):
        data = make(tracks)
        batch = next(iter(data.predict_dataloader()))
        held_out = {data.collection.tracks[row].id for row in data.windows["test"].track}
        assert set(batch["id"]) == held_out
        assert batch["position"].tolist() == [0, 1]
        for path, context in zip(batch["file"], batch["context"], strict=True):
            want = soundfile.read(path, dtype="int16")[0][:3600]
            np.testing.assert_array_equal(context.numpy() * PCM_SCALE, want)

    def test_takes_are_numbered_beginning_after_beginning(self, tracks):
        batch = next(iter(make(tracks, samples_per_prompt=3).predict_dataloader()))
        assert batch["position"].tolist() == [0, 1, 2, 3, 4, 5]
        assert batch["file"] == sorted(batch["file"])
        assert len(set(batch["file"])) == 2
        with pytest.raises(UsageError, match=r"--data\.samples_per_prompt 0"):
            make(tracks, samples_per_prompt=0)

    def test_one_genre_of_a_network_of_several(self, tracks):
        batch = next(iter(make(tracks, genre="b").predict_dataloader()))
        assert batch["genre"].tolist() == [1]

    def test_files_of_any_rate_and_channels(self, tracks, tmp_path):
        t = np.arange(44100 * 2) / 44100
        tone = 0.5 * np.sin(2 * np.pi * 440 * t)
        soundfile.write(tmp_path / "x.wav", np.stack([tone, 0 * tone], axis=1), 44100)
        data = make(tracks, files=[str(tmp_path / "x.wav")], genre="a")
        batch = next(iter(data.predict_dataloader()))
        want = 0.25 * np.sin(2 * np.pi * 440 * np.arange(3600) / RATE)
        assert np.abs(batch["context"][0].numpy() - want)[100:-100].max() < 0.002

    def test_the_genre_of_a_file_is_its_folder_or_an_option(self, tracks, tmp_path):
        file = next((tracks / "b").glob("*.wav"))
        batch = next(iter(make(tracks, files=str(file)).predict_dataloader()))
        assert batch["genre"].tolist() == [1]
        soundfile.write(tmp_path / "x.wav", np.sin(np.arange(9000)), RATE)
        with pytest.raises(
            UsageError, match=r"x\.wav: the name of its folder is not a genre.*set --data\.genre .*, one of a, b"
        ):
            next(iter(make(tracks, files=str(tmp_path / "x.wav")).predict_dataloader()))

    @pytest.mark.parametrize(
        ("name", "samples", "match"),
        [
            ("short", np.sin(np.arange(3000)), r"short\.wav: too short, 0\.75 s.*0\.9 s"),
            ("silent", np.zeros(9000), r"silent\.wav \(its first 0\.9 s\): silent"),
            ("nan", np.full(9000, np.nan, np.float32), r"nan\.wav: .*NaN"),
        ],
    )
    def test_what_cannot_be_continued_is_named(self, tracks, tmp_path, caplog, name, samples, match):
        bad, good = tmp_path / f"{name}.wav", tmp_path / "z.wav"
        soundfile.write(bad, samples, RATE, subtype="FLOAT")
        with pytest.raises(AudioError, match=match):
            make(tracks, files=str(bad), genre="a").predict_dataloader()
        soundfile.write(good, np.sin(np.arange(9000)), RATE)
        with caplog.at_level(logging.WARNING):
            loader = make(tracks, files=[str(bad), str(good)], genre="a").predict_dataloader()
        assert next(iter(loader))["position"].tolist() == [1]
        assert f"left out: {bad}" in caplog.text


@pytest.mark.parametrize("name", ["context_seconds", "target_seconds", "hop_seconds"])
@pytest.mark.parametrize("value", [0, -1.0, 1e-6])
def test_lengths_that_make_no_sense(tracks, name, value):
    with pytest.raises(UsageError, match=name):
        make(tracks, **{name: value})


def test_a_checkpoint_can_rebuild_it(tracks):
    data = make(tracks, batch="track")
    assert data.hparams["batch"] == "track"
    assert data.hparams["genres"] == ["a", "b"]
    assert data.state_dict()["trained_on"]
