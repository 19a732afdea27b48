"""fit calibrates the best checkpoint; every command then gives calibrated probabilities."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import musicgen_cls
from musicgen_cls.__main__ import main
from musicgen_cls.checkpoints import load_content
from musicgen_cls.metrics.calibration import TEMPERATURES
from tiny import TINY

Run = Callable[..., str]


def fit_arguments(songs: Path, *options: object) -> list[str]:
    source = ["--data.source", "Folder", "--data.source.root", songs]
    epochs = [] if "--trainer.max_epochs" in options else ["--trainer.max_epochs", 1]
    return [str(part) for part in ("fit", "--config", "vgg", *source, *TINY, *epochs, *options)]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in an empty folder; gives what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musiccli"])

    def call(*args: object, status: int = 0) -> str:
        capsys.readouterr()
        found = main([str(arg) for arg in args])
        printed = capsys.readouterr()
        assert found == status, printed.err[-2000:]
        return printed.out if status == 0 else printed.err

    return call


@pytest.fixture(scope="module")
def trained(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints of a short fit. Read only."""
    home = tmp_path_factory.mktemp("calibrated")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(sys, "argv", ["musiccli"])
        assert main(fit_arguments(songs, "--test_after_fit", "false")) == 0
    return home / "lightning_logs" / "vgg" / "version_0" / "checkpoints"


def temperature(path: Path) -> float:
    return float(load_content(path)["state_dict"]["calibration.temperature"])


def test_fit_writes_it_into_the_best_checkpoint_only(trained: Path) -> None:
    assert TEMPERATURES[0] <= temperature(trained / "best.ckpt") <= TEMPERATURES[1]
    assert temperature(trained / "best.ckpt") != 1
    assert temperature(trained / "last.ckpt") == 1
    best, last = (load_content(trained / f"{name}.ckpt") for name in ("best", "last"))
    assert best.keys() == last.keys()
    for name, value in last["state_dict"].items():  # one epoch: the same weights
        assert torch.equal(best["state_dict"][name], value) or name.startswith("calibration."), name
    assert sorted(path.name for path in trained.iterdir()) == ["best.ckpt", "last.ckpt"]


def test_predict_test_python_and_page_use_it(trained: Path, songs: Path, run: Run) -> None:
    file = songs / "jazz" / "0.wav"
    recognise = musicgen_cls.load(trained / "best.ckpt")
    calibrated = recognise(file)
    run("predict", file, "--ckpt_path", trained / "best.ckpt", "--trainer.enable_progress_bar", "false")
    (row,) = json.loads(Path("predictions/predictions.json").read_text())
    assert row["probabilities"] == pytest.approx(calibrated, abs=1e-6)
    assert recognise.steps(file).mean == pytest.approx(list(calibrated.values()), abs=1e-6)
    run("test", trained / "best.ckpt", "--out", "report", "--trainer.enable_progress_bar", "false", "--threshold", 1)
    report = json.loads(Path("report/report.json").read_text())
    assert report["calibration"] == recognise.task.calibration.facts()
    assert report["unsure"]["value"] == 1
    assert report["sure_accuracy"] is None
    assert "unsure)" in Path("report/report.html").read_text() or report["track_accuracy"]["value"] == 1
    recognise.task.calibration.reset()
    assert recognise(file) != calibrated
    recognise.task.calibration.temperature.fill_(1e6)
    assert list(recognise(file).values()) == pytest.approx([0.5, 0.5], abs=1e-3)


def test_a_calibrated_checkpoint_trains_on_without_it(trained: Path, songs: Path, run: Run) -> None:
    shutil.copytree(trained, "checkpoints")
    more = ["--ckpt_path", "checkpoints/best.ckpt", "--checkpoint.dirpath", "again", "--test_after_fit", "false"]
    run(*fit_arguments(songs, *more, "--trainer.max_epochs", 2))
    last = load_content(Path("again/last.ckpt"))
    assert last["epoch"] == 1
    assert float(last["state_dict"]["calibration.temperature"]) == 1


def test_the_same_calibration_comes_again(trained: Path, songs: Path, run: Run) -> None:
    """As after a kill between training and calibration: nothing is left to train."""
    shutil.copytree(trained.parents[2], "lightning_logs")
    before = temperature(trained / "best.ckpt")
    again = fit_arguments(songs, "--ckpt_path", "last", "--test_after_fit", "false")
    assert "Calibration: temperature" in run(*again)
    assert [temperature(path) for path in Path().rglob("best.ckpt")] == [before]


@pytest.mark.parametrize(
    "options",
    [
        ("--calibrate", "false"),
        ("--trainer.limit_val_batches", "0"),
        ("--trainer.enable_checkpointing", "false"),
        ("--trainer.fast_dev_run", "true"),
    ],
    ids=lambda options: options[0].rpartition(".")[2].lstrip("-"),
)
def test_nothing_is_calibrated(songs: Path, run: Run, options: tuple[str, ...]) -> None:
    assert "Calibration" not in run(*fit_arguments(songs, *options, "--test_after_fit", "false"))
    assert all(temperature(path) == 1 for path in Path().rglob("*.ckpt"))


def test_fit_says_what_it_did_and_logs_no_other_epoch(songs: Path, run: Run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    printed = run(*fit_arguments(songs))
    found = re.search(r"Calibration: temperature ([\d.]+) \(no bias: .*; loss of 2 validation tracks", printed)
    assert found
    (folder,) = Path("lightning_logs/vgg").iterdir()
    assert float(found[1]) == pytest.approx(temperature(folder / "checkpoints" / "best.ckpt"), rel=0.01)
    assert "  calibration error " in printed
    events = EventAccumulator(str(folder)).Reload()
    assert len(events.Scalars("val_loss")) == 1
    assert (folder / "checkpoints/best-test-songs-track/reliability.png").is_file()


@pytest.mark.parametrize("threshold", ["1.5", "-0.1"])
@pytest.mark.parametrize("command", ["predict", "test"])
def test_a_threshold_is_a_probability(trained: Path, songs: Path, run: Run, command: str, threshold: str) -> None:
    file = [songs / "jazz" / "0.wav"] if command == "predict" else []
    said = run(command, *file, "--ckpt_path", trained / "best.ckpt", f"--threshold={threshold}", status=2)
    last = said.splitlines()[-1]
    assert last.startswith(
        f"musiccli: error: --threshold {threshold}: must be a probability from 0 to 1; 0 turns it off"
    )
    assert "Traceback" not in said
