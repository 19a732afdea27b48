"""What version 0.1 wrote is still read: a checkpoint, its config and its report.

The files in `tests/versions/0.1` were written by version 0.1.0: a VGG of width 2, trained for eight steps on synthetic
music, and the probabilities that this version predicted for a track.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import musicgen_cls
from musicgen_cls.__main__ import main
from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.commands.compare.reports import find_rows
from musicgen_cls.synth.render import render

pytestmark = pytest.mark.usefixtures("reports_without_figures")

OLD = Path(__file__).parent / "versions" / "0.1"
SMALL = ["--data.source.tracks_per_genre", "1", "--data.source.seconds", "3", "--trainer.enable_progress_bar", "false"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder of version 0.1, as the current folder."""
    folder = tmp_path / "lightning_logs" / "vgg" / "version_0"
    (folder / "checkpoints").mkdir(parents=True)
    shutil.copy(OLD / "config.yaml", folder)
    for name in ("best", "last"):
        shutil.copy(OLD / "vgg.ckpt", folder / "checkpoints" / f"{name}.ckpt")
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_checkpoint_predicts_the_same():
    expected = json.loads((OLD / "predictions.json").read_text())
    found = musicgen_cls.load(OLD / "vgg.ckpt")(render("jazz", 0, seed=5, seconds=6.0))
    assert found == pytest.approx(expected, abs=2e-6)


def test_a_checkpoint_without_calibration_has_the_same_probabilities_bit_for_bit():
    recognise = musicgen_cls.load(OLD / "vgg.ckpt")
    x = torch.randn(16, 64, 87, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(recognise.task.probabilities(x), recognise.task(x).softmax(dim=1))


def test_its_classes_have_the_paths_of_today():
    checkpoint = read_checkpoint(OLD / "vgg.ckpt")
    assert checkpoint.model["class_path"] == "musicgen_cls.tasks.GenreClassifier"
    assert checkpoint.model["init_args"]["network"]["class_path"] == "musicgen_cls.models.VGG"
    assert checkpoint.data["init_args"]["source"]["class_path"] == "musicgen_cls.sources.SyntheticGenres"
    assert checkpoint.data["init_args"]["augment"]["class_path"] == "musicgen_cls.audio.augment.AddWhiteNoise"


def test_it_is_tested_and_predicts_with_and_without_its_config(run):
    best, config = str(run / "checkpoints" / "best.ckpt"), str(run / "config.yaml")
    assert main(["test", best, "--out", "alone", *SMALL, "--data.split", "external"]) == 0
    assert main(["test", best, "--config", config, "--out", "both", *SMALL, "--data.split", "external"]) == 0
    reports = [json.loads(Path(folder, "report.json").read_text()) for folder in ("alone", "both")]
    assert reports[0]["track_accuracy"] == reports[1]["track_accuracy"]


def test_its_training_is_resumed(run):
    config = str(run / "config.yaml")
    short = ["--trainer.max_epochs", "3", "--trainer.limit_train_batches", "1", "--test_after_fit", "false"]
    small = [*short, *SMALL, "--data.source.tracks_per_genre", "4"]
    assert main(["fit", "--config", config, "--ckpt_path", "last", *small]) == 0
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["epoch"] == 2
    assert last["hyper_parameters"]["_class_path"] == "musicgen_cls.tasks.GenreClassifier"


def test_its_report_is_compared(tmp_path):
    shutil.copy(OLD / "report.json", tmp_path)
    (row,) = find_rows([str(tmp_path)])
    assert row.tests[0].report.track_accuracy.value == pytest.approx(0.1)
