"""The whole road through the command line, in this process: fit, test, predict, resume, for every config."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

import musicgen_cls
from forks import Fork
from hub_models import save_hubert
from musicgen_cls.__main__ import COMMANDS, main
from musicgen_cls.callbacks import report as reports
from musicgen_cls.callbacks.figures import TensorBoardFigures
from musicgen_cls.cli.logs import configure_logs
from musicgen_cls.datamodules import stream as files
from musicgen_cls.synth.render import render
from musicgen_cls.tasks.classification import GenreClassifier

CONFIGS = Path(musicgen_cls.__file__).parent / "configs"
QUIET = [
    "--trainer.enable_progress_bar",
    "false",
    "--trainer.enable_model_summary",
    "false",
    "--trainer.accelerator",
    "cpu",
]
SILENT = QUIET[:2]
"""Predict needs no Lightning then."""
SHORT = [
    *("--data.seconds", "2", "--data.windows_per_track", "2", "--data.fractions", "[0.5, 0.25, 0.25]"),
    *("--data.batch_size", "8", "--trainer.max_epochs", "1", "--data.split", "track"),
]
SMALL = [*SHORT, "--model.network.width", "2"]
NARROW: dict[str, list[str]] = {
    "Recurrent": ["--model.network.hidden", "4"],
    "ConvLSTM": ["--model.network.filters", "4", "--model.network.hidden", "4", "--data.hop_length", "256"],
    "TemporalPooling": ["--model.network.filters", "4", "--data.hop_length", "256"],
    "LinearProbe": [],
    "FineTuned": [
        *("--data.windows_per_track", "1", "--data.crops_per_track", "1", "--data.batch_size", "2"),
        *("--trainer.limit_train_batches", "1"),
    ],
}
Run = Callable[..., str]


def folder(music: Path) -> list[str]:
    return ["--data.source", "Folder", "--data.source.root", str(music)]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in an empty folder; gives what it printed, and fails if it failed."""
    monkeypatch.setattr(reports, "_figures", lambda *args: {})  # `trained` has them, and the page
    monkeypatch.setattr(reports, "write_report_page", lambda *args: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musiccli"])

    def call(*args: str) -> str:
        capsys.readouterr()
        status = main([args[0], *map(str, args[1:])])
        printed = capsys.readouterr()
        assert status == 0, printed.err[-2000:]
        return printed.out

    return call


@pytest.fixture(scope="session")
def trained(music: Path, draw_for_tensorboard: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder left by a short fit on `music`."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(sys, "argv", ["musiccli"])
        patch.setattr(TensorBoardFigures, "draw", draw_for_tensorboard)
        assert main(["fit", "--config", str(CONFIGS / "vgg.yaml"), *folder(music), *SMALL, *QUIET]) == 0
    return home / "lightning_logs" / "vgg" / "version_0"


def report_of(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


TRAINED = [path for path in sorted(CONFIGS.glob("*.yaml")) if "class_path: GenreClassifier" in path.read_text()]
TABLES = [path for path in TRAINED if "class_path: FeatureTable" in path.read_text()]
CLASSIFIERS = [path for path in TRAINED if path not in TABLES]


@pytest.mark.parametrize("config", CLASSIFIERS, ids=lambda path: path.stem)
@pytest.mark.usefixtures("invented")
def test_each_config_fits_tests_predicts_and_resumes(config: Path, songs: Path, run: Run) -> None:
    network = yaml.safe_load(config.read_text())["model"]["init_args"]["network"]
    small = [*SHORT, *NARROW[network["class_path"]]] if network["class_path"] in NARROW else SMALL
    small = [*small, "--data.windows_per_track", "1"]
    if "/" in network.get("init_args", {}).get("backbone", ""):  # of the hub
        small = [*small, "--model.network.backbone", str(save_hubert(Path("model").absolute()))]
    settings = ["--config", config, *folder(songs), *small, *QUIET]
    printed = run("fit", *settings)
    (version,) = Path("lightning_logs").glob("*/version_0")
    best = version / "checkpoints" / "best.ckpt"
    after_fit = report_of(version / "checkpoints" / "best-test-songs-track")
    assert f"{100 * after_fit['track_accuracy']['value']:.1f} % [" in printed
    assert f"TensorBoard: tensorboard --logdir {version.parts[0]}" in printed
    if config.stem in ("quickstart", "temporal_pooling_fma"):
        return  # the network and the datamodule of vgg and of temporal_pooling: what follows is the same

    run("test", *settings, "--ckpt_path", best, "--out", "again")
    again = report_of(Path("again"))
    assert {k: v for k, v in again.items() if k != "checkpoint"} == {
        k: v for k, v in after_fit.items() if k != "checkpoint"
    }

    run("predict", "--ckpt_path", best, "--data.files", songs / "jazz", *SILENT)
    assert len(pd.read_csv("predictions/predictions.csv")) == 4

    run("fit", *settings, "--trainer.max_epochs", "2", "--ckpt_path", "last", "--test_after_fit", "false")
    last = torch.load(version / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["epoch"] == 1
    assert not list(version.parent.glob("version_1"))
    saved = yaml.safe_load((version / "config.yaml").read_text())  # it trains from the start
    assert saved["ckpt_path"] is None
    assert saved["trainer"]["logger"]["init_args"]["version"] is None
    assert saved["trainer"]["max_epochs"] == 2


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of features of half-seconds of a few short tracks of two genres, as the command writes it."""
    home = tmp_path_factory.mktemp("features")
    for genre in ("blues", "metal"):
        (home / "songs" / genre).mkdir(parents=True)
        for index in range(4):
            soundfile.write(home / "songs" / genre / f"{index}.wav", render(genre, index, seconds=2.0), 22050)
    source = ["--source", "Folder", "--source.root", str(home / "songs")]
    assert main(["features", *source, "--seconds", "0.5", "--out", str(home / "table.csv"), "--jobs", "1"]) == 0
    return home / "table.csv"


@pytest.mark.parametrize("config", TABLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("leaking", [False, True], ids=["track", "segment"])
def test_each_config_on_tables(config: Path, leaking: bool, table: Path, run: Run) -> None:
    settings = ["--config", config, "--data.table", table, *QUIET, "--trainer.max_epochs", "1"]
    settings += ["--data.fractions", "[0.5, 0.25, 0.25]"]
    if "FeatureLSTM" in config.read_text():
        settings += ["--data.look_back", "2", "--data.across_tracks", str(leaking).lower()]
    settings += ["--data.split", "segment"] if leaking else []
    printed = run("fit", *settings)
    assert ("LEAKS" in printed) is leaking
    (best,) = Path("lightning_logs").glob("*/version_0/checkpoints/best.ckpt")
    assert run("test", "--ckpt_path", best, *QUIET).count("track accuracy") == 1
    if leaking and "FeatureLSTM" in config.read_text():
        divided = ["test", "--ckpt_path", str(best), "--data.across_tracks", "false", *map(str, QUIET)]
        assert main(divided) == 2  # would test on other windows than were kept from training
    if not leaking:
        assert "nothing to decode" in run("prepare", *settings)
        assert main(["predict", "--ckpt_path", str(best), "--data.files", str(table)]) == 2


def test_networks_train_on_precomputed_spectrograms(tmp_path: Path, run: Run) -> None:
    rng = np.random.default_rng(0)
    for label, genre in enumerate(("a", "b")):
        (tmp_path / "pictures" / genre).mkdir(parents=True)
        for n in range(4):
            np.save(tmp_path / "pictures" / genre / f"{n}.npy", rng.normal(-40 + 20 * label, 3, (32, 96)))
    pictures = ["--data", "Spectrograms", *folder(tmp_path / "pictures"), "--data.n_mels", "32"]
    settings = [*pictures, "--data.frames", "96", "--data.windows_per_track", "1", *QUIET, "--trainer.max_epochs", "20"]
    settings += ["--model", "GenreClassifier", "--model.network", "TemporalPooling", "--model.network.filters", "8"]
    settings += [
        "--model.network.n_mels",
        "32",
        "--model.network.stride",
        "1",
        "--data.fractions",
        "[0.5, 0.25, 0.25]",
        "--model.lr",
        "0.01",
    ]
    assert "track accuracy    100.0 %" in run("fit", *settings)
    (best,) = Path("lightning_logs").rglob("best.ckpt")
    assert "track accuracy    100.0 %" in run("test", "--ckpt_path", best, *QUIET)


def test_fit_leaves_everything_a_run_should(trained: Path) -> None:
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["model"]["init_args"]["network"]["init_args"]["width"] == 2
    events = EventAccumulator(str(trained), size_guidance={"images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    assert {
        "train_loss_epoch",
        "train_accuracy",
        "val_loss",
        "val_accuracy",
        "val_track_accuracy",
        "test_track_accuracy",
        "lr-Adam",
    } <= set(tags["scalars"])
    pictures = {
        f"{stage}/{name}" for stage in ("val", "test") for name in ("confusion", "spectrograms", "precision_recall")
    }
    assert pictures <= set(tags["images"])
    wrong = pd.read_csv(trained / "checkpoints" / "best-test-music-track" / "tracks.csv").query("not correct")
    heard = {f"test/{row.track}: {row.genre}, predicted {row.predicted}" for row in wrong.itertuples()}
    assert set(tags["audio"]) <= heard
    assert bool(heard) == bool(tags["audio"])
    assert "config/text_summary" in tags["tensors"]
    assert {f"test/{genre}" for genre in ("blues", "jazz", "metal")} <= set(tags["tensors"])
    assert "_hparams_/session_start_info" in {*tags["tensors"], *events.summary_metadata}
    said = HParamsPluginData.FromString(events.summary_metadata["_hparams_/experiment"].plugin_data.content).experiment
    names = [info.name for info in said.hparam_infos]
    assert names[:7] == ["network", "lr", "batch_size", "seconds", "split", "source", "network.width"]
    assert not {"genres", "cache_dir", "num_workers", "strict"} & set(names)
    assert said.metric_infos[0].name.tag == "test_track_accuracy"


def test_other_loggers_work_as_lightning_has_them(songs: Path, run: Run) -> None:
    logger = ["--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "logs", "--trainer.logger.name", "vgg"]
    settings = ["--config", CONFIGS / "vgg.yaml", *folder(songs), *SMALL, *QUIET, *logger]
    printed = run("fit", *settings)
    version = Path("logs") / "vgg" / "version_0"
    assert f"Checkpoint:  {Path.cwd() / version / 'checkpoints' / 'best.ckpt'}" in printed or str(version) in printed
    figures = pd.read_csv(version / "metrics.csv")
    assert {"train_loss_epoch", "val_loss", "val_track_accuracy", "test_track_accuracy"} <= set(figures.columns)
    assert yaml.safe_load((version / "hparams.yaml").read_text())["lr"] == 0.001
    assert yaml.safe_load((version / "config.yaml").read_text())["data"]["init_args"]["seconds"] == 2
    run("fit", *settings, "--trainer.max_epochs", "2", "--ckpt_path", "last", "--test_after_fit", "false")
    assert torch.load(version / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 1


@pytest.mark.parametrize("logger", ["WandbLogger", "MLFlowLogger"])
def test_a_logger_that_is_not_installed(logger: str, songs: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--config", str(CONFIGS / "vgg.yaml"), *map(str, [*folder(songs), *SMALL, *QUIET])]
    assert main(["fit", *settings, "--trainer.logger", logger]) == 2
    (said,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("musiccli: error: ")]
    assert "not met" in said
    assert "pip install" in said


@pytest.mark.parametrize(("name", "epoch"), [("SIGTERM", 1), ("SIGINT", 0)])
def test_a_stopped_training_prints_how_to_resume(
    name: str, epoch: int, songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning alone would end with status 0 for the one, as if all had been done, and say nothing for either."""

    def stop(task: GenreClassifier, batch: object, number: int) -> None:
        if task.current_epoch == epoch:
            os.kill(os.getpid(), getattr(signal, name))

    monkeypatch.setattr(GenreClassifier, "on_train_batch_start", stop)
    settings = ["--config", CONFIGS / "vgg.yaml", *folder(songs), *SMALL, *QUIET, "--trainer.max_epochs", "3"]
    status, _, err = Fork(lambda: main(["fit", *map(str, settings)]), tmp_path).wait()
    assert status == 128 + getattr(signal, name), err[-2000:]
    assert "Traceback" not in err
    said = err.splitlines()[-1]
    if epoch == 0:
        assert said.startswith("musiccli: stopped; nothing is saved yet")
        assert not [*tmp_path.rglob("last.ckpt")]
        return
    (last,) = tmp_path.rglob("last.ckpt")
    assert said == f"musiccli: stopped; the same command with --ckpt_path {last.relative_to(tmp_path)} resumes it"
    assert torch.load(last, weights_only=True)["epoch"] == 0


def test_report_folder_agrees_with_itself(trained: Path) -> None:
    folder = trained / "checkpoints" / "best-test-music-track"
    report, tracks = report_of(folder), pd.read_csv(folder / "tracks.csv")
    confusion = pd.read_csv(folder / "confusion.csv", index_col=0).to_numpy()
    assert report["split"] == "track"
    assert report["can_leak"] is False
    assert len(tracks) == report["tracks"] == confusion.sum()
    assert (
        tracks.correct.mean() == pytest.approx(report["track_accuracy"]["value"]) == confusion.trace() / confusion.sum()
    )
    np.testing.assert_allclose(tracks.filter(like="p_").sum(axis=1), 1, atol=1e-5)
    assert report["track_accuracy"]["low"] < report["track_accuracy"]["value"] or report["track_accuracy"]["value"] == 0
    assert "The most confident mistakes" in (folder / "report.html").read_text()
    for picture in ("confusion.png", "per_genre.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")


def test_the_saved_config_runs_as_it_is(trained: Path, run: Run) -> None:
    run("fit", "--config", trained / "config.yaml", "--test_after_fit", "false")
    weights = [
        torch.load(path / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
        for path in (trained, Path("lightning_logs/vgg/version_0"))
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_network_and_source_swap_from_the_command_line(songs: Path, run: Run) -> None:
    run(
        "fit",
        "--config",
        CONFIGS / "vgg.yaml",
        *folder(songs),
        *SMALL,
        *QUIET,
        "--model.network",
        "CNN5",
        "--test_after_fit",
        "false",
    )
    saved = torch.load("lightning_logs/vgg/version_0/checkpoints/best.ckpt", weights_only=True)["hyper_parameters"]
    assert saved["network"]["class_path"].endswith("CNN5")
    assert saved["num_classes"] == 2


@pytest.mark.parametrize(
    ("split", "precision", "more"),
    [
        ("artist", "bf16-mixed", ("--data.fold", "1 of 3")),
        ("segment", "bf16-true", ()),
        ("track", "64-true", ("--data.crops_per_track", "2")),
    ],
)
def test_variants_of_training(split: str, precision: str, more: tuple[str, ...], music: Path, run: Run) -> None:
    variant = ["--data.split", split, "--trainer.precision", precision, *more]
    printed = run("fit", "--config", CONFIGS / "vgg.yaml", *folder(music), *SMALL, *QUIET, *variant)
    (report,) = [report_of(path.parent) for path in Path("lightning_logs").rglob("report.json")]
    assert report["can_leak"] is (split == "segment")
    assert ("LEAKS" in printed) is (split == "segment")
    assert report["split"] == split
    if "--data.fold" in more:  # left behind in external
        best = "lightning_logs/vgg/version_0/checkpoints/best.ckpt"
        run("test", "--ckpt_path", best, "--data.split", "external", "--out", "report", *QUIET)
        assert report_of(Path("report"))["tracks"] == 18


@pytest.mark.parametrize("first", ["mask", "augment"])
def test_our_short_names_come_first(first: str, songs: Path, run: Run) -> None:
    """torchaudio.transforms has an AddWhiteNoise too, which an import brings among the classes that a name may mean."""
    mask = ["--data.mask", "torchaudio.transforms.SpecAugment"]
    for name in ("n_time_masks", "time_mask_param", "n_freq_masks", "freq_mask_param"):
        mask += [f"--data.mask.{name}", "4"]
    augment = ["--data.augment", "AddWhiteNoise"]
    order = [*mask, *augment] if first == "mask" else [*augment, *mask]
    settings = ["fit", "--config", CONFIGS / "vgg.yaml", *folder(songs), *SMALL, *QUIET, *order, "--print_config"]
    for _ in range(2):
        with pytest.raises(SystemExit) as stop:
            run(*settings)
        assert stop.value.code == 0


def test_a_command_leaves_nothing_for_the_next_one(songs: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Commands of one process share their parser."""
    other = [
        "--trainer.logger",
        "CSVLogger",
        "--data.augment",
        "AddWhiteNoise",
        "--model.network",
        "CNN5",
        "--out",
        "x",
    ]
    printed = []
    for more in ([], other, []):
        with pytest.raises(SystemExit):
            run("fit", "--config", CONFIGS / "vgg.yaml", *more, "--print_config")
        printed.append(capsys.readouterr().out)
        run("fit", "--config", CONFIGS / "vgg.yaml", *folder(songs), *SMALL, *QUIET, *more, "--test_after_fit", "false")
    assert printed[0] == printed[2] != printed[1]


def test_resumed_training_ends_in_the_same_weights(songs: Path, run: Run) -> None:
    settings = ["--config", CONFIGS / "vgg.yaml", *folder(songs), *SMALL, *QUIET, "--test_after_fit", "false"]
    settings += ["--data.windows_per_track", "1", "--data.crops_per_track", "3", "--data.seconds", "1"]
    settings += ["--model.network.dropout", "0.5", "--trainer.logger.name"]
    run("fit", *settings, "whole", "--trainer.max_epochs", "4")
    run("fit", *settings, "parts", "--trainer.max_epochs", "1")
    run("fit", *settings, "parts", "--trainer.max_epochs", "3", "--ckpt_path", "last")
    run("fit", *settings, "parts", "--trainer.max_epochs", "4", "--ckpt_path", "last")
    whole, parts = (
        torch.load(f"lightning_logs/{name}/version_0/checkpoints/last.ckpt", weights_only=True)
        for name in ("whole", "parts")
    )
    assert whole["epoch"] == parts["epoch"] == 3
    assert all(torch.equal(whole["state_dict"][name], parts["state_dict"][name]) for name in whole["state_dict"])


def test_external_judges_the_genres_both_know(trained: Path, music: Path, tmp_path: Path, run: Run) -> None:
    other = tmp_path / "Other"
    for genre, name in (("jazz", "jazz"), ("metal", "metal"), ("blues", "polka")):
        shutil.copytree(music / genre, other / name)
    run(
        "test",
        "--ckpt_path",
        trained / "checkpoints/best.ckpt",
        *folder(other),
        "--data.split",
        "external",
        "--out",
        "report",
        *QUIET,
    )
    report = report_of(Path("report"))
    assert report["genres_without_tracks"] == ["blues"]
    assert report["tracks"] == 12
    assert {name.split("/")[0] for name in pd.read_csv("report/tracks.csv").track} == {"jazz", "metal"}


def test_predict_needs_no_collection_and_agrees_with_python(
    trained: Path, music: Path, tmp_path: Path, run: Run
) -> None:
    best = tmp_path / "moved.ckpt"
    shutil.copy(trained / "checkpoints/best.ckpt", best)
    songs = tmp_path / "songs"
    shutil.copytree(music / "metal", songs)
    (songs / "broken.wav").write_text("not audio")
    printed = run(
        "predict",
        "--ckpt_path",
        best,
        "--data.files",
        songs / "0.wav",
        songs / "*.au",
        songs / "broken.wav",
        "--out",
        "out",
        *SILENT,
    )
    assert "broken.wav: not audio" in printed
    rows = json.loads(Path("out/predictions.json").read_text())
    assert [Path(row["file"]).name for row in rows] == ["0.wav", "4.au", "broken.wav"]
    recogniser = musicgen_cls.load(best)
    for row in rows[:2]:
        alone = recogniser(row["file"])
        assert alone == pytest.approx(row["probabilities"], abs=1e-5)
        assert row["genre"] == max(alone, key=alone.get)
        assert sum(row["probabilities"].values()) == pytest.approx(1)
        assert row["sure"] is (row["probability"] >= 0.5)
        assert row["timeline"][0]["start_s"] == 0
        assert row["timeline"][-1]["start_s"] + 2 == pytest.approx(row["seconds"], abs=0.01)


def test_a_prediction_that_was_stopped_is_resumed(
    trained: Path, music: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of six files two or three are answered before Ctrl-C; the same command reads the others only."""
    predict = ["predict", "--ckpt_path", trained / "checkpoints/best.ckpt", "--data.files", music / "jazz", *QUIET]
    read: list[str] = []
    batches = files.batches

    def stopping(path: Path, *args: int) -> object:
        if len(read) == 3:
            raise KeyboardInterrupt
        read.append(path.name)
        return batches(path, *args)

    with monkeypatch.context() as patch:
        patch.setattr(files, "batches", stopping)
        assert main([str(arg) for arg in predict]) == 130
    assert not Path("predictions/predictions.csv").exists()
    read.clear()
    monkeypatch.setattr(files, "batches", lambda path, *args: read.append(path.name) or batches(path, *args))
    assert "files already predicted" in run(*predict)
    assert 3 <= len(read) < 6  # the loader is a file ahead of the network
    assert len(pd.read_csv("predictions/predictions.csv")) == 6
    resumed = Path("predictions/predictions.json").read_text()
    assert sorted(path.name for path in Path("predictions").iterdir()) == ["predictions.csv", "predictions.json"]
    run(*predict)
    assert Path("predictions/predictions.json").read_text() == resumed


def test_every_file_without_a_prediction_is_listed(trained: Path, music: Path, tmp_path: Path, run: Run) -> None:
    songs = tmp_path / "songs"
    shutil.copytree(music / "metal", songs)
    for name in ("a.m4a", "b.m4p", "notes.txt", "cover.jpg"):
        (songs / name).write_bytes(b"x")
    (songs / "broken.wav").write_text("not audio")
    shutil.copy(songs / "0.wav", songs / "[live] song.wav")
    shutil.copy(songs / "0.wav", songs / "🎵.wav")
    printed = run("predict", "--ckpt_path", trained / "checkpoints/best.ckpt", "--data.files", songs, *SILENT)
    assert len(pd.read_csv("predictions/predictions.csv")) == 8
    left_out = [line for line in printed.splitlines() if line.startswith("left out: ")]
    assert [Path(line.split(": ")[1]).name for line in left_out] == ["a.m4a", "broken.wav", "b.m4p", "notes.txt"]
    assert "a.m4a: not audio that can be read (damaged, cut short, or of another format)" in printed
    assert "b.m4p: m4p is copy-protected and cannot be decoded; use a copy without protection" in printed


def test_a_saved_config_and_a_checkpoint_go_together(trained: Path, music: Path, tmp_path: Path, run: Run) -> None:
    """The config of a run holds null for the checkpoint and the genres; neither may win over the checkpoint."""
    best, saved = trained / "checkpoints/best.ckpt", trained / "config.yaml"
    content = saved.read_bytes()
    run("test", "--ckpt_path", best, "--config", saved, "--out", "report", *QUIET)
    assert saved.read_bytes() == content
    after_fit = report_of(trained / "checkpoints/best-test-music-track")
    assert report_of(Path("report"))["track_accuracy"] == after_fit["track_accuracy"]
    assert report_of(Path("report"))["loss"] == after_fit["loss"]
    other = tmp_path / "Other"
    shutil.copytree(music / "jazz", other / "Jazz")
    shutil.copytree(music / "blues", other / "b-l u_e s")
    shutil.copytree(music / "metal", other / "polka")
    run(
        "test",
        "--config",
        saved,
        "--ckpt_path",
        best,
        *folder(other),
        "--data.split",
        "external",
        "--out",
        "far",
        *QUIET,
    )
    assert report_of(Path("far"))["tracks"] == 12
    assert "18 tracks" in run("prepare", "--config", saved)


def test_training_tracks_are_recognised_wherever_they_are(trained: Path, music: Path, tmp_path: Path, run: Run) -> None:
    other = tmp_path / "renamed"
    for number, file in enumerate(sorted(music.glob("*/*.*"))):
        (other / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, other / file.parent.name / f"{number}{file.suffix}")
    printed = run(
        "test",
        "--ckpt_path",
        trained / "checkpoints/best.ckpt",
        *folder(other),
        "--data.split",
        "external",
        "--out",
        "report",
        *QUIET,
    )
    tests = report_of(trained / "checkpoints/best-test-music-track")["tracks"]
    assert report_of(Path("report"))["tracks_seen_in_training"] == 18 - tests
    assert report_of(Path("report"))["can_leak"] is True
    assert f"trained or selected on {18 - tests} tracks of this test" in printed


def test_checkpoint_named_in_a_config(trained: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "test.yaml").write_text(f"ckpt_path: {trained / 'checkpoints/best.ckpt'}\n")
    run("test", "--config", trained / "config.yaml", "--config", tmp_path / "test.yaml", "--out", "report", *QUIET)
    after_fit = report_of(trained / "checkpoints/best-test-music-track")
    assert report_of(Path("report"))["loss"] == after_fit["loss"]


def test_own_networks(songs: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "class Mean(torch.nn.Module):\n"
        "    def __init__(self, num_classes: int, bands: int = 64):\n"
        "        super().__init__()\n"
        "        self.dense = torch.nn.Linear(bands, num_classes)\n"
        "    def forward(self, x):\n"
        "        return self.dense(x.mean(dim=2))\n"
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    run(
        "fit",
        "--config",
        CONFIGS / "vgg.yaml",
        *folder(songs),
        *SMALL[:6],
        *SMALL[8:],
        *QUIET,
        "--model.network",
        "mine.Mean",
        "--trainer.enable_checkpointing",
        "false",
    )
    assert not list(Path().rglob("*.ckpt"))


def test_prepare_tells_what_is_there(music: Path, tmp_path: Path, run: Run) -> None:
    copy = tmp_path / "Copy"
    shutil.copytree(music, copy)
    (copy / "jazz" / "empty.wav").touch()
    printed = run("prepare", "--config", CONFIGS / "vgg.yaml", *folder(copy), "--data.cache_dir", tmp_path / "cache")
    assert "18 tracks" in printed
    assert "empty.wav: empty file" in printed
    (table,) = (tmp_path / "cache").glob("*/tracks.csv")
    assert set(pd.read_csv(table).columns) >= {"id", "path", "genre", "artist", "seconds"}


def test_prepare_verifies_what_was_decoded(songs: Path, tmp_path: Path, run: Run, caplog) -> None:
    settings = [*folder(songs), "--data.sample_rate", 4000, "--data.cache_dir", tmp_path / "cache"]
    command = ["prepare", "--config", CONFIGS / "vgg.yaml", *settings, "--verify", "true"]
    assert "Verified:    the samples of 8 tracks have the right hashes" in run(*command)
    assert "damaged" not in caplog.text
    (audio,) = (tmp_path / "cache").glob("*/audio.i16")
    with audio.open("r+b") as file:
        file.write(b"damage")
    assert "Verified:    the samples of 8 tracks have the right hashes" in run(*command)
    assert "audio.i16: 1 damaged track; made again" in caplog.text


def test_two_processes_give_the_same_figures_as_one(music: Path, tmp_path: Path, run: Run) -> None:
    """Two processes, which Lightning starts, train, calibrate and test; one process tests the same checkpoint."""
    two = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
    arguments = ["fit", "--config", str(CONFIGS / "vgg.yaml"), *folder(music), *SMALL, *QUIET, *two]

    def as_a_program() -> int:
        """Lightning starts the other process as this one says that it was started."""
        sys.modules["__main__"].__spec__ = musicgen_cls.__main__.__spec__
        sys.argv = ["musiccli", *arguments]
        return main(arguments)

    status, printed, err = Fork(as_a_program, tmp_path).wait()
    assert status == 0, err[-3000:]
    assert printed.count("Calibration: temperature") == printed.count("Tested on") == 1
    (written,) = (tmp_path / "lightning_logs").rglob("report.json")
    (best,) = (tmp_path / "lightning_logs").rglob("best.ckpt")
    temperature = torch.load(best, weights_only=True)["state_dict"]["calibration.temperature"]
    assert report_of(written.parent)["calibration"]["temperature"] == float(temperature) != 1

    run("test", "--ckpt_path", best, "--out", "one", *QUIET)
    reports = [report_of(tmp_path / "one"), report_of(written.parent)]
    for name in ("loss", "track_loss", "calibration_error_if_perfect", "calibration_error", "brier"):
        assert reports[0].pop(name) == pytest.approx(reports[1].pop(name), rel=1e-5)
    bins = [report.pop("reliability") for report in reports]
    assert [part["confidence"] for part in bins[0]] == pytest.approx([part["confidence"] for part in bins[1]], rel=1e-5)
    named = [report.pop("checkpoint") for report in reports]
    assert Path(named[0]).resolve() == (tmp_path / named[1]).resolve()
    assert reports[0] == reports[1]


def test_help_and_version_need_no_lightning(capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        "import sys; from musicgen_cls.__main__ import main; main(['--help']); main(['--version']); "
        "sys.exit('lightning' in sys.modules or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert all(command in done.stdout for command in COMMANDS)
    assert musicgen_cls.__version__ in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main([command, "--help"])
    except SystemExit as leaving:
        status = leaving.code
    assert status == 0
    own = {"judge": "real", "features": "--seconds", "compare": "runs", "plot": "--source", "export": "--format"}
    own |= {"shards": "--part", "embed": "--pool"}
    own |= {"configs": "--out", "fit-genres": "--run", "sweep": "--space", "pretrained": "--local", "listen": "--port"}
    assert own.get(command, "--data") in capsys.readouterr().out.casefold()


def test_log_files_of_others_are_left_to_them(tmp_path: Path) -> None:
    theirs = logging.FileHandler(tmp_path / "theirs.log")
    loud = logging.getLogger("lightning.pytorch")
    loud.addHandler(theirs)
    try:
        configure_logs()
        loud.warning("a word")
    finally:
        loud.removeHandler(theirs)
        theirs.close()
    assert (tmp_path / "theirs.log").read_text() == "a word\n"
