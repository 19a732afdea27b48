"""What users get wrong: one line that names it and the remedy, exit status 2, no traceback, nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pytest
import soundfile
import torch

import musicgen_cls
from forks import Fork
from musicgen_cls.__main__ import main
from musicgen_cls.audio.features import COLUMNS
from musicgen_cls.commands.shards import shards
from musicgen_cls.files import _host
from musicgen_cls.sources import Folder
from musicgen_cls.synth.render import render

CONFIG = str(Path(musicgen_cls.__file__).parent / "configs" / "vgg.yaml")
RATE = 22050
SMALL = ["--data.windows_per_track", "2", "--data.fractions", "[0.5, 0.25, 0.25]", "--model.network.width", "2"]
QUIET = ["--trainer.enable_progress_bar", "false", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"]
MASK = ["--data.mask", "torchaudio.transforms.SpecAugment"]
for _size in ("n_time_masks", "time_mask_param", "n_freq_masks", "freq_mask_param"):
    MASK += [f"--data.mask.{_size}", "4"]
Fails = Callable[..., str]


@pytest.fixture
def fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fails:
    """Runs a command line that must fail; gives its one line, after checking that it is one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musiccli"])

    def call(*args: object) -> str:
        capsys.readouterr()
        status = main([str(arg) for arg in args])
        err = capsys.readouterr().err
        assert status == 2, err
        assert "Traceback" not in err
        errors = [line for line in err.splitlines() if line.startswith("musiccli: error: ")]
        assert len(errors) == 1, err
        assert err.rstrip().endswith(errors[0]), "the error is the last thing said"
        return errors[0].removeprefix("musiccli: error: ")

    return call


def fit(*args: object) -> list[object]:
    return ["fit", "--config", CONFIG, *SMALL, *QUIET, *args]


def from_folder(root: Path, *args: object) -> list[object]:
    return fit("--data.source", "Folder", "--data.source.root", root, *args)


@pytest.fixture(scope="module")
def whole_songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two genres of four short tracks."""
    root = tmp_path_factory.mktemp("whole") / "songs"
    for genre in ("blues", "metal"):
        (root / genre).mkdir(parents=True)
        for index in range(4):
            soundfile.write(root / genre / f"{index}.wav", render(genre, index, seconds=4.5), RATE)
    return root


@pytest.fixture
def songs(whole_songs: Path, tmp_path: Path) -> Path:
    """A copy of the tracks, to spoil."""
    return Path(shutil.copytree(whole_songs, tmp_path / "songs"))


@pytest.fixture(scope="module")
def checkpoint(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained checkpoint."""
    home = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(sys, "argv", ["musiccli"])
        assert main([str(a) for a in from_folder(music, "--test_after_fit", "false")]) == 0
    return home / "lightning_logs/vgg/version_0/checkpoints/best.ckpt"


class TestCollections:
    def test_no_such_root(self, fails: Fails) -> None:
        said = fails(*from_folder(Path("nowhere")))
        assert "nowhere: no such folder" in said
        assert "--data.source.root" in said

    def test_no_gtzan_names_three_remedies(self, fails: Fails) -> None:
        said = fails(*fit())
        assert all(way in said for way in ("data/gtzan", "--data.source.root", "download true", "SyntheticGenres"))

    def test_empty_folder(self, fails: Fails, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        assert "empty: no audio in sub-folders" in fails(*from_folder(tmp_path / "empty"))

    def test_one_genre(self, fails: Fails, songs: Path) -> None:
        shutil.rmtree(songs / "metal")
        assert "only one genre, ['blues']" in fails(*from_folder(songs))

    def test_nothing_but_text_named_wav(self, fails: Fails, songs: Path) -> None:
        for file in songs.glob("*/*.wav"):
            file.write_text("these are words")
        said = fails(*from_folder(songs))
        assert "none of 8 tracks can be used" in said
        assert "not audio that can be read" in said

    def test_a_genre_of_broken_files(self, fails: Fails, songs: Path) -> None:
        for file in (songs / "metal").iterdir():
            file.write_bytes(b"")
        assert "metal" in fails(*from_folder(songs))

    def test_strict_stops_at_the_first_bad_file(self, fails: Fails, songs: Path) -> None:
        (songs / "blues" / "0.wav").write_text("words")
        said = fails(*from_folder(songs, "--data.strict", "true"))
        assert "0.wav: not audio" in said
        assert "strict" in said

    def test_every_track_shorter_than_a_window(self, fails: Fails, songs: Path) -> None:
        said = fails(*from_folder(songs, "--data.seconds", "5"))
        assert "too short: 4.50 s, but 5 s are needed" in said

    def test_artist_split_without_artists(self, fails: Fails, songs: Path) -> None:
        assert "no artist is known for any of 8 tracks" in fails(*from_folder(songs, "--data.split", "artist"))

    def test_a_genre_without_test_tracks(self, fails: Fails, songs: Path) -> None:
        for index in (1, 2, 3):
            (songs / "metal" / f"{index}.wav").unlink()
        said = fails(*from_folder(songs))
        assert f"{songs}: split 'track' leaves genre 'metal' without" in said
        assert "1 in all" in said

    def test_published_split_of_another_collection(self, fails: Fails, songs: Path) -> None:
        assert "songs has no published lists" in fails(*from_folder(songs, "--data.split", "fault_filtered"))

    @pytest.mark.parametrize("fold", ["0 of 5", "6 of 5", "1 of 2", "first"])
    def test_folds_that_are_none(self, fails: Fails, songs: Path, fold: str) -> None:
        assert f"fold '{fold}': write it like '1 of 5'" in fails(*from_folder(songs, "--data.fold", fold))

    @pytest.mark.parametrize("fractions", ["[0.5, 0.5]", "[0.9, 0.2, 0.1]", "[1.0, 0.0, 0.0]"])
    def test_fractions_that_are_none(self, fails: Fails, songs: Path, fractions: str) -> None:
        assert "add up to 1" in fails(*from_folder(songs, "--data.fractions", fractions))


class TestFiles:
    def predict(self, fails: Fails, checkpoint: Path, file: Path) -> str:
        said = fails("predict", "--ckpt_path", checkpoint, "--data.files", file, *QUIET)
        assert str(file) in said
        assert not Path("predictions/predictions.csv").exists()
        return said

    def test_a_damaged_m4a(self, fails: Fails, checkpoint: Path, tmp_path: Path, encode: Callable[..., Path]) -> None:
        path = encode(tmp_path / "cut.m4a", np.ones((22050, 1)) * 0.1, 22050, "aac")
        path.write_bytes(path.read_bytes()[:1000])
        assert "damaged, cut short, or of another format" in self.predict(fails, checkpoint, path)

    def test_a_misspelt_option(self, fails: Fails, checkpoint: Path) -> None:
        said = fails("predict", "--ckpt_path", checkpoint, "--playlist", "a.wav", *QUIET)
        assert "playlists" in said  # the option's name is suggested

    def test_none_named(self, fails: Fails, checkpoint: Path) -> None:
        assert "--data.files" in fails("predict", "--ckpt_path", checkpoint, *QUIET)

    def test_no_such_file(self, fails: Fails, checkpoint: Path, tmp_path: Path) -> None:
        assert "no such file" in self.predict(fails, checkpoint, tmp_path / "gone.mp3")

    def test_text_named_wav(self, fails: Fails, checkpoint: Path, tmp_path: Path) -> None:
        (tmp_path / "text.wav").write_text("words")
        assert "not audio that can be read" in self.predict(fails, checkpoint, tmp_path / "text.wav")

    def test_empty_file(self, fails: Fails, checkpoint: Path, tmp_path: Path) -> None:
        (tmp_path / "empty.mp3").touch()
        assert "empty file (0 bytes)" in self.predict(fails, checkpoint, tmp_path / "empty.mp3")

    def test_truncated_mp3(self, fails: Fails, checkpoint: Path, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "cut.mp3", render("pop", 0, seconds=10), RATE)
        whole = (tmp_path / "cut.mp3").read_bytes()
        (tmp_path / "cut.mp3").write_bytes(whole[: len(whole) // 2])
        assert "s in its header" in self.predict(fails, checkpoint, tmp_path / "cut.mp3")

    @pytest.mark.parametrize(
        ("samples", "reason"),
        [
            (np.zeros(0), "holds no audio"),
            (np.zeros(3 * RATE), "silent throughout"),
            (np.full(3 * RATE, np.nan), "not finite"),
            (np.full(3 * RATE, 0.25), "constant"),
        ],
        ids=["no samples", "silent", "NaN", "all equal"],
    )
    def test_sound_that_is_none(
        self, fails: Fails, checkpoint: Path, tmp_path: Path, samples: np.ndarray, reason: str
    ) -> None:
        soundfile.write(tmp_path / "odd.wav", samples.astype(np.float32), RATE, subtype="FLOAT")
        assert reason in self.predict(fails, checkpoint, tmp_path / "odd.wav")


class TestWords:
    @pytest.mark.parametrize(
        ("args", "wrong", "meant"),
        [
            (["--data.source", "Foldr"], "'Foldr'", "'Folder'"),
            (["--model.network", "VGGG"], "'VGGG'", "'VGG'"),
            (["--data.bach_size", "3"], "'--data.bach_size'", "'batch_size'"),
            (["--model.network.widht", "3"], "'--model.network.widht'", "'width'"),
            (["--data.split", "artists"], "'artists'", "'artist'"),
            (["--confg", "x.yaml"], "'--confg'", "'config'"),
            (["--model.network", "vgg"], "'vgg'", "'VGG'"),
            (["--trainer.epochs", "3"], "'--trainer.epochs'", "'max_epochs'"),
        ],
    )
    def test_misspelt(self, fails: Fails, args: list[str], wrong: str, meant: str) -> None:
        said = fails(*fit(*args))
        assert wrong in said
        assert f"did you mean {meant}?" in said

    def test_unknown_command(self, fails: Fails) -> None:
        assert "no command 'fti'; did you mean 'fit'?" in fails("fti")

    def test_words_without_an_option(self, fails: Fails, checkpoint: Path) -> None:
        assert "song.mp3: no such file" in fails("predict", "--ckpt_path", checkpoint, "song.mp3")
        assert "song.mp3: no such file" in fails("predict", checkpoint, "song.mp3")
        assert "'song.mp3': fit takes no such argument" in fails("fit", "--config", CONFIG, "song.mp3")
        assert "did you mean --config vgg?" in fails("fit", "vgg")
        assert "--data.fold: has no value" in fails("fit", "--config", CONFIG, "--data.fold", "--data.seconds", "2")
        assert "'b.ckpt': test takes no such argument" in fails("test", checkpoint, "b.ckpt")
        assert "'c': judge takes no such argument" in fails("judge", "a", "b", "c")
        assert "did you mean --config my.yaml?" in fails("sweep", "my.yaml")

    def test_trust_without_a_module(self, fails: Fails, checkpoint: Path) -> None:
        for args in (["--trust"], ["--trust", "--data.files", "song.mp3"]):
            assert "--trust: has no value" in fails("predict", "--ckpt_path", checkpoint, *args)

    def test_no_config(self, fails: Fails) -> None:
        assert "--config quickstart" in fails("fit")

    @pytest.mark.parametrize(
        ("args", "said"),
        [
            (["--model.network.width", "0"], "network.width 0: must be 1 or more"),
            (["--model.network.dropout", "2"], "dropout probability"),
            (["--data.hop_length", "22050"], "VGG cannot take input of 64 x 3"),
            (["--data.n_mels", "-1"], "--data.n_mels -1: must be more than 0"),
            (["--trainer.max_epochs", "many"], "--trainer.max_epochs: 'many' is none of int, null"),
            (["--trainer.precision", "bf16-mix"], "did you mean 'bf16-mixed'?"),
            (["--data.batch_size", "many"], "--data.batch_size: 'many' is not a whole number"),
            (["--data.batch_sizes", "0"], "no option '--data.batch_sizes'; did you mean 'batch_size'?"),
            (["--model.network.lr", "0"], "no option '--model.network.lr' here: the class or command does not take it"),
            (["--data.batch_size", "0"], "--data.batch_size 0: must be more than 0"),
            (["--data.seconds", "-2"], "--data.seconds -2.0: must be more than 0"),
            (["--model.lr", "-1"], "--model.lr -1.0: must be more than 0"),
            (["--model.lr", ".inf"], "--model.lr inf: must be more than 0, and finite"),
            (["--data.seconds", ".inf"], "--data.seconds inf: must be more than 0, and at most 86,400"),
            (["--trainer.accelerator", "gpu"], "accelerator"),
            (["--data.n_fft", "1"], "--data.n_fft 1: must be 128 or more, twice --data.n_mels, and at most 44100"),
            (["--data.n_fft", "1000000"], "--data.n_fft 1000000: must be 128 or more"),
            (["--data.split_seed", "-1"], "--data.split_seed -1: must be 0 or more"),
            (["--data.num_workers", "-1"], "--data.num_workers -1: must be 0 or more"),
            (["--model.weight_decay", "-1"], "--model.weight_decay -1.0: must be 0 or more"),
            (["--model.weight_decay", ".nan"], "--model.weight_decay nan: must be 0 or more"),
            (["--seed_everything", "-1"], "--seed_everything -1: must be from 0 to 4294967295"),
            (["--data.genres", "[blues]"], "--data.genres: only one genre, ['blues']"),
            (["--data.genres", "[blues, blues]"], "--data.genres ['blues', 'blues']: blues is there twice; name each"),
            (["--model.lr", "null"], "--model.lr null: must be more than 0"),
            (["--model.weight_decay", "null"], "--model.weight_decay null: must be 0 or more"),
            (["--data.seconds", "null"], "--data.seconds null: must be more than 0"),
            (["--data.sample_rate", "null"], "--data.sample_rate null: must be from 1000 to 768000 Hz"),
            (["--data.num_workers", "null"], "--data.num_workers null: must be 0 or more"),
            (["--data.split", "null"], "--data.split null: not one of track, artist"),
            (["--data.fractions", "null"], "--data.fractions null: give three positive numbers"),
            (["--data.mask", "torch.nn.Flatten"], "--data.mask Flatten: changes 2 x 64 x 173 to 2 x 11072; use"),
            (["--data.augment", "torch.nn.AvgPool1d", "--data.augment.kernel_size", "2"], "--data.augment AvgPool1d"),
            ([*MASK, "--data.mask.p", "2"], "--data.mask SpecAugment: The value of p must be between 0.0 and 1.0"),
            ([*MASK, "--data.mask.time_mask_param", "-5"], "--data.mask.time_mask_param -5: must be 0 or more"),
            (["--model.network", "Recurrent", "--data.n_mels", "32"], "set --model.network.n_mels 32"),
            (
                ["--print_config=all"],
                "--print_config: 'all' is not skip_default; write --print_config alone for the whole config",
            ),
        ],
    )
    def test_values(self, fails: Fails, songs: Path, args: list[str], said: str) -> None:
        if "gpu" in args and torch.cuda.is_available():
            args = ["--trainer.accelerator", "tpu"]
        assert said in fails(*from_folder(songs, *args))

    @pytest.mark.parametrize(
        ("network", "args", "said"),
        [
            ("FeatureMLP", ["--model.network.features", "57"], "set --model.network.features 58"),
            ("FeatureMLP", ["--data.look_back", "3"], "set --data.look_back to 0, or name another --model.network"),
            ("FeatureLSTM", ["--data.look_back", "0"], "set --data.look_back to 1 or more, or name another"),
            ("Recurrent", ["--data.look_back", "0"], "set --data.look_back to 1 or more, or name another"),
        ],
    )
    def test_networks_that_do_not_fit_a_table(self, fails: Fails, network: str, args: list[str], said: str) -> None:
        names = [f"{genre}.{number:05d}.0.wav" for genre in ("blues", "rock") for number in range(3)]
        numbers = ",".join("1" for _ in COLUMNS)
        lines = [",".join(["filename", *COLUMNS, "label"]), *(f"{n},{numbers},{n.split('.')[0]}" for n in names)]
        Path("table.csv").write_text("\n".join(lines) + "\n")
        data = ["--model", "GenreClassifier", "--data", "FeatureTable", "--data.table", "table.csv"]
        assert said in fails("fit", *data, "--model.network", network, *args, *QUIET)

    def test_a_refused_fit_leaves_no_run(self, fails: Fails, songs: Path) -> None:
        assert "no validation windows" in fails(*from_folder(songs, "--data.fractions", "[0.5, 0.0, 0.5]"))
        for index in (1, 2, 3):
            (songs / "metal" / f"{index}.wav").unlink()
        assert "genre 'metal' without" in fails(*from_folder(songs))
        assert not Path("lightning_logs").exists()

    def test_a_setting_without_a_value_in_a_config(self, fails: Fails, songs: Path) -> None:
        network = "network: {class_path: VGG, init_args: {width: }}"
        wanted = (
            ("lr: ", "--model.lr null"),
            (network, "network.width null: must be 1 or more"),
            (network.replace("width", "dropout"), "a setting of the model or the data has no value (null)"),
        )
        for setting, said in wanted:
            Path("empty.yaml").write_text(f"model: {{class_path: GenreClassifier, init_args: {{{setting}}}}}\n")
            assert said in fails(*from_folder(songs, "--config", "empty.yaml"))

    def test_no_such_config(self, fails: Fails) -> None:
        assert "gone.yaml" in fails("fit", "--config", "gone.yaml")

    @pytest.mark.parametrize("command", ["fit", "sweep"])
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"model: [1\n", "not YAML, line 2: "),
            (b"model:\n\tlr: 1\n", "not YAML, line 2: "),
            (b"\xff\xfe\x00", "not text"),
            (b"hello", "has no settings"),
            (b"- a\n- b\n", "has no settings"),
            (b"", "has no settings"),
            (b"data: {}\nmodel: {}\ndata: {}\n", "line 3: data is there twice; remove one"),
            (b"model: {lr: 1, lr: 2}\n", "line 1: lr is there twice; remove one"),
            (b"1: 2\n", "the key 1 is not text"),
            (b"null: 2\n", "the key None is not text"),
            (b"data: {class_path: MelSlices, foo: 1}\n", "data has foo beside class_path; move it into init_args"),
            (
                b"model: {init_args: {network: {class_path: VGG, width: 2}}}\n",
                "model.init_args.network has width",
            ),
        ],
    )
    def test_config_that_is_none(self, fails: Fails, tmp_path: Path, command: str, content: bytes, said: str) -> None:
        bad = tmp_path / "bad.yaml"
        bad.write_bytes(content)
        more = ["--config", CONFIG] if command == "fit" else []
        assert f"--config {bad}: {said}" in fails(command, *more, "--config", bad)


class TestCheckpoints:
    @pytest.mark.parametrize("command", ["test", "validate", "predict"])
    def test_none_given(self, fails: Fails, command: str) -> None:
        assert "needs a checkpoint" in fails(command, "--config", CONFIG)

    def test_missing(self, fails: Fails) -> None:
        assert "gone.ckpt: no such file" in fails("test", "--ckpt_path", "gone.ckpt")

    def test_corrupt(self, fails: Fails, checkpoint: Path, tmp_path: Path) -> None:
        whole = checkpoint.read_bytes()
        (tmp_path / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
        assert "cut.ckpt: not a readable checkpoint" in fails("test", "--ckpt_path", tmp_path / "cut.ckpt")

    def test_of_something_else(self, fails: Fails, tmp_path: Path) -> None:
        torch.save({"state_dict": {}, "epoch": 3}, tmp_path / "other.ckpt")
        assert "other.ckpt: a checkpoint that musicgen_cls did not write" in fails(
            "test", "--ckpt_path", tmp_path / "other.ckpt"
        )

    @pytest.mark.parametrize(
        ("keys", "value", "said"),
        [
            (("MelSlices",), "missing", "damaged: no state of its front end"),
            (("MelSlices", "front_end"), "missing", "damaged: no state of its front end"),
            (("MelSlices", "front_end", "std"), "missing", "the checkpoint's front end is damaged"),
            (("MelSlices",), None, "damaged: no state of its front end"),
            (("MelSlices", "front_end"), "x", "damaged: no state of its front end"),
            (("MelSlices", "front_end", "mean"), 0.0, "damaged: no state of its front end"),
            (("callbacks",), "x", "did not write ('callbacks' is missing, or has another type)"),
            (("loops",), None, "did not write ('loops' is missing, or has another type)"),
            (("pytorch-lightning_version",), "x", "did not write ('pytorch-lightning_version' is missing, or has"),
            (("hyper_parameters", "lr"), None, "--model.lr null: must be more than 0"),
            (("datamodule_hyper_parameters", "seconds"), None, "--data.seconds null: must be more than 0"),
        ],
    )
    def test_wrong_inside(
        self, fails: Fails, checkpoint: Path, tmp_path: Path, keys: tuple[str, ...], value: object, said: str
    ) -> None:
        saved = torch.load(checkpoint, weights_only=True)
        place = saved
        for key in keys[:-1]:
            place = place[key]
        del place[keys[-1]]
        if value != "missing":
            place[keys[-1]] = value
        torch.save(saved, tmp_path / "wrong.ckpt")
        assert said in fails("test", "--ckpt_path", tmp_path / "wrong.ckpt", *QUIET)

    def test_a_folder_without_any(self, fails: Fails, tmp_path: Path) -> None:
        assert f"{tmp_path}: a folder without a best.ckpt" in fails("test", "--ckpt_path", tmp_path)

    def test_of_another_network(self, fails: Fails, checkpoint: Path, music: Path) -> None:
        said = fails("test", "--ckpt_path", checkpoint, "--model.network", "CNN5")
        assert "trained with model.network VGG(" in said
        assert "CNN5(" in said

    def test_of_a_network_of_before(self, fails: Fails, checkpoint: Path, tmp_path: Path) -> None:
        saved = torch.load(checkpoint, weights_only=True)
        assert saved["hyper_parameters"]["network"]["init_args"].pop("width")  # as if it had not been there then
        name = next(iter(saved["state_dict"]))
        saved["state_dict"][name] = saved["state_dict"][name][:1]
        torch.save(saved, tmp_path / "old.ckpt")
        assert "weights do not fit the VGG of this version" in fails("test", "--ckpt_path", tmp_path / "old.ckpt")

    def test_of_another_input(self, fails: Fails, checkpoint: Path) -> None:
        said = fails("test", "--config", CONFIG, "--ckpt_path", checkpoint, *SMALL, "--data.n_mels", "128")
        assert "trained with data.n_mels 64" in said

    def test_of_other_genres(self, fails: Fails, checkpoint: Path, songs: Path) -> None:
        (songs / "metal").rename(songs / "polka")
        said = fails("test", "--ckpt_path", checkpoint, "--data.source", "Folder", "--data.source.root", songs, *QUIET)
        assert "polka" in said
        assert "--data.split external" in said
        assert "blues, jazz, metal" in fails(*from_folder(songs, "--ckpt_path", checkpoint))

    def test_external_without_a_common_genre(self, fails: Fails, checkpoint: Path, songs: Path) -> None:
        (songs / "metal").rename(songs / "polka")
        (songs / "blues").rename(songs / "tango")
        args = ["--data.source", "Folder", "--data.source.root", songs, "--data.split", "external"]
        assert "polka, tango" in fails("test", "--ckpt_path", checkpoint, *args, *QUIET)

    @pytest.mark.parametrize(
        "args", [("--data.split", "artist"), ("--data.split_seed", "5"), ("--data.fold", "2 of 3")]
    )
    def test_of_another_division(self, fails: Fails, checkpoint: Path, args: tuple[str, str]) -> None:
        said = fails("test", "--ckpt_path", checkpoint, *args, *QUIET)
        assert f"trained with {args[0][2:]}" in said

    def test_resuming_on_a_collection_that_changed(self, fails: Fails, songs: Path) -> None:
        settings = [str(a) for a in from_folder(songs, "--test_after_fit", "false")]
        assert main(settings) == 0
        for index in range(4, 9):
            soundfile.write(songs / "blues" / f"0{index}.wav", render("blues", index, seconds=4.5), RATE)
        said = fails(*settings, "--ckpt_path", "last", "--trainer.max_epochs", "2")
        assert "the collection has changed" in said
        assert "without --ckpt_path" in said

    def test_a_run_killed_in_its_first_epoch(
        self, fails: Fails, songs: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        settings = [str(a) for a in from_folder(songs, "--test_after_fit", "false")]
        assert main(settings) == 0
        Path("lightning_logs/vgg/version_7_old").mkdir()
        dead = Fork(lambda: 0, Path.cwd())
        dead.wait()
        half = Path(f"lightning_logs/vgg/version_7/checkpoints/.best.musicgen_cls-{_host()}-{dead.pid}.ckpt")
        half.parent.mkdir(parents=True)
        half.touch()
        assert main([*settings, "--ckpt_path", "last"]) == 0
        assert not half.exists()
        assert "version_0/checkpoints/last.ckpt" in capsys.readouterr().out
        said = fails(*settings, "--ckpt_path", "last", "--trainer.logger.version", "7")
        assert "version_7" in said
        assert "version_0/checkpoints/last.ckpt" in said

    def test_nothing_to_resume(self, fails: Fails, songs: Path) -> None:
        assert "no run to resume" in fails(*from_folder(songs, "--ckpt_path", "last"))


class TestFoldersThatCannotBeWritten:
    """A file stands where a folder is wanted: it refuses root too."""

    @pytest.fixture
    def blocked(self, tmp_path: Path) -> Path:
        (tmp_path / "file").write_text("in the way")
        return tmp_path / "file" / "folder"

    def test_cache(self, fails: Fails, songs: Path, blocked: Path) -> None:
        said = fails(*from_folder(songs, "--data.cache_dir", blocked))
        assert str(blocked) in said
        assert "--data.cache_dir" in said

    def test_report(self, fails: Fails, checkpoint: Path, blocked: Path) -> None:
        said = fails("test", "--ckpt_path", checkpoint, "--out", blocked, *QUIET)
        assert str(blocked) in said
        assert "--out DIR" in said

    def test_predictions(self, fails: Fails, checkpoint: Path, music: Path, blocked: Path) -> None:
        said = fails("predict", "--ckpt_path", checkpoint, "--data.files", music / "jazz", "--out", blocked, *QUIET)
        assert "--out DIR" in said

    def test_logs(self, fails: Fails, songs: Path, blocked: Path) -> None:
        assert "cannot be written" in fails(*from_folder(songs, "--trainer.logger.save_dir", blocked))

    def test_full_disk_while_preparing(
        self, fails: Fails, songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import errno

        def full(_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("musicgen_cls.collection.store._sync", full)
        said = fails(*from_folder(songs, "--data.cache_dir", tmp_path / "cache"))
        assert "No space left on device" in said
        assert not list((tmp_path / "cache").glob("*/*"))


@pytest.mark.parametrize("group", ["trainer", "checkpoint", "early_stopping"])
@pytest.mark.parametrize("value", ["3", "[1, 2]", "null"])
def test_a_group_of_settings_that_is_none(fails: Fails, group: str, value: str, tmp_path: Path) -> None:
    (tmp_path / "group.yaml").write_text(f"{group}: {value}\n")
    said = fails("fit", "--config", CONFIG, "--config", tmp_path / "group.yaml")
    assert f"group.yaml: {group} is {value}, not a group of settings" in said
    said = fails("fit", "--config", CONFIG, "--config", f"{{{group}: {value}}}")
    assert f"--config: {group} is {value}, " in said


def test_no_model(fails: Fails) -> None:
    assert "no model and data: name a config" in fails("fit", "--data", "MelSlices")


@pytest.mark.parametrize(
    ("text", "name"), [("trainer: {max_epoch: 1}", "trainer"), ("checkpoint: {monitr: 1}", "checkpoint")]
)
def test_a_misspelt_setting_has_the_name_of_its_group(fails: Fails, text: str, name: str) -> None:
    said = fails("fit", "--config", CONFIG, "--config", f"{{{text}}}")
    assert f"no option '{name}.m" in said
    assert "did you mean 'm" in said


class TestFilesOfTheUser:
    """Results do not replace what a command reads, or what the user wrote."""

    def test_a_list_of_tracks(self, fails: Fails, checkpoint: Path, music: Path, tmp_path: Path) -> None:
        lines = [f"{file},{file.parent.name}" for file in sorted(music.glob("*/*.wav"))]
        manifest = tmp_path / "lists" / "tracks.csv"
        manifest.parent.mkdir()
        manifest.write_text("\n".join(["path,genre", *lines]) + "\n")
        before = manifest.read_bytes()
        said = f"--out {manifest.parent}: would replace {manifest}, which this command reads; give another folder"
        source = ["--data.source", "Manifest", "--data.source.path", manifest, "--data.split", "external"]
        assert said in fails("test", "--ckpt_path", checkpoint, *source, *QUIET, "--out", manifest.parent)
        plot = ["plot", "--source", "Manifest", "--source.path", manifest, "--jobs", "1", "--out", manifest.parent]
        assert said in fails(*plot)
        assert manifest.read_bytes() == before

    def test_a_table_of_features(self, fails: Fails, songs: Path, tmp_path: Path) -> None:
        table = tmp_path / "tables" / "tracks.csv"
        table.parent.mkdir()
        files = enumerate(sorted(songs.glob("*/*.wav")), 1)
        rows = [
            ",".join([str(file.relative_to(songs)), *[f"{n}"] * len(COLUMNS), file.parent.name]) for n, file in files
        ]
        table.write_text("\n".join([",".join(["filename", *COLUMNS, "label"]), *rows]) + "\n")
        data = ["--data", "FeatureTable", "--data.table", table, "--data.source", "Folder", "--data.source.root", songs]
        command = ["fit", "--model", "GenreClassifier", "--model.network", "FeatureMLP", *data, *QUIET, *SMALL[2:4]]
        assert main([str(word) for word in [*command, "--test_after_fit", "false"]]) == 0
        best = next(Path("lightning_logs").rglob("best.ckpt"))
        before = table.read_bytes()
        said = fails("test", "--ckpt_path", best, "--out", table.parent, *QUIET)
        assert f"would replace {table}" in said
        assert table.read_bytes() == before

    def test_playlists(self, fails: Fails, checkpoint: Path, music: Path, tmp_path: Path) -> None:
        words = ["predict", *music.glob("jazz/0.wav"), "--ckpt_path", checkpoint, "--playlists", "--out", tmp_path]
        (tmp_path / "metal.m3u8").write_text("#EXTM3U\nmine.mp3\n")
        assert "metal.m3u8: a playlist of your own, or of an older version; move it" in fails(*words)
        assert (tmp_path / "metal.m3u8").read_text() == "#EXTM3U\nmine.mp3\n"
        (tmp_path / "metal.m3u8").unlink()
        (tmp_path / "metal.m3u8").mkdir()
        assert "metal.m3u8: a playlist of your own" in fails(*words)
        (tmp_path / "metal.m3u8").rmdir()
        for _ in range(2):  # its own playlists are replaced
            assert main([str(word) for word in words]) == 0


@pytest.mark.parametrize("seed", ["-1", "99999999999999999999999999"])
def test_seeds_of_judge(fails: Fails, songs: Path, seed: str) -> None:
    assert f"--seed {seed}: must be from 0 to 4294967295" in fails("judge", songs, songs, "--seed", seed)


def test_a_number_of_folds_that_no_collection_has(fails: Fails, songs: Path) -> None:
    said = fails(*from_folder(songs, "--data.fold", "1 of 99999999999999999999"))
    assert "with 3 to 1,000 folds" in said


@pytest.mark.parametrize("command", ["features", "plot", "embed"])
def test_sources_without_recordings(fails: Fails, songs: Path, command: str) -> None:
    shards(Folder(str(songs)), "shards")
    out = {"features": "f.csv", "plot": "plots", "embed": "e.npz"}[command]
    said = fails(command, "--source", "Shards", "--source.root", "shards", "--out", out)
    assert "--source Shards: has no files of recordings; name a source that has" in said


def test_shards_into_a_file(fails: Fails, songs: Path) -> None:
    Path("a.wav").touch()
    said = fails("shards", "--source", "Folder", "--source.root", songs, "--out", "a.wav")
    assert said == "--out a.wav: a file; name a folder"


def test_control_characters_do_not_reach_the_terminal(fails: Fails, songs: Path) -> None:
    said = fails(*from_folder(songs, "--trainer.max_epochs", "\x1b[31mx"))
    assert "\x1b" not in said
    assert r"\x1b[31mx" in said


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use cannot be removed there")
def test_a_folder_that_is_gone(fails: Fails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert fails("configs") == "the current folder is gone, or forbidden; change to another one"
    os.chdir(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["--help"], ["--version"], ["fit", "--help"]], ids=" ".join)
def test_help_on_a_full_disk(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        run = subprocess.run([sys.executable, "-m", "musicgen_cls", *words], stdout=full, stderr=PIPE, text=True)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    assert "No space left on device" in run.stderr


def test_merged_keys_of_a_config(fails: Fails, tmp_path: Path) -> None:
    """A key may replace one that comes with `<<`, also where the mapping is merged again."""
    text = "one: &one {a: 1}\ntwo: &two\n  <<: *one\n  a: 2\nthree:\n  <<: *two\n  a: 3\n"
    (tmp_path / "merged.yaml").write_text(text)
    assert "no option 'one.a'" in fails("fit", "--config", CONFIG, "--config", tmp_path / "merged.yaml")


def test_a_name_with_control_characters_in_a_list_of_files(
    songs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (songs / "blues" / "bad\x1b[1m.wav").write_text("these are words")
    assert main(["prepare", *[str(word) for word in from_folder(songs)[1:]]]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert r"bad\x1b[1m.wav: " in out
