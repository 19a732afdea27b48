"""Lightning's finders of a learning rate and of a batch size, from the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import musicgen_cls
from musicgen_cls.__main__ import main
from musicgen_cls.cli import finders
from musicgen_cls.cli.finders import steepest
from musicgen_cls.errors import UsageError

CONFIGS = Path(musicgen_cls.__file__).parent / "configs"
RATE = 4000
SMALL = [
    *("--data.seconds", "0.5", "--data.windows_per_track", "4", "--data.sample_rate", str(RATE), "--data.n_fft", "128"),
    *("--data.hop_length", "64", "--data.n_mels", "16", "--data.fractions", "[0.5, 0.25, 0.25]"),
    *(
        "--data.batch_size",
        "8",
        "--model.network.width",
        "2",
        "--trainer.max_epochs",
        "2",
        "--trainer.accelerator",
        "cpu",
    ),
    *("--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false", "--test_after_fit", "false"),
    *("--calibrate", "false"),
]
FINDERS = ["--config", str(CONFIGS / "finders/batch_size.yaml"), "--config", str(CONFIGS / "finders/lr.yaml")]


def fit(songs: Path, *more: str) -> list[str]:
    source = ["--data.source", "Folder", "--data.source.root", str(songs)]
    return ["fit", "--config", str(CONFIGS / "vgg.yaml"), *source, *SMALL, *more]


@pytest.fixture(scope="module")
def found(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a fit that found both first."""
    home = tmp_path_factory.mktemp("found")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(sys, "argv", ["musiccli"])
        assert main(fit(songs, *FINDERS)) == 0
    assert [path.name for path in home.iterdir()] == ["lightning_logs"]  # nothing of the searches stays
    return home / "lightning_logs" / "vgg" / "version_0"


def saved(run: Path, name: str = "last") -> dict:
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)


def test_what_is_found_is_what_config_and_checkpoint_say(found: Path) -> None:
    config = yaml.safe_load((found / "config.yaml").read_text())
    lr, size = config["model"]["init_args"]["lr"], config["data"]["init_args"]["batch_size"]
    assert 1e-6 < lr < 1
    assert lr != 0.001
    assert size > 8
    assert config["trainer"]["callbacks"] is None
    last = saved(found)
    assert (last["hyper_parameters"]["lr"], last["datamodule_hyper_parameters"]["batch_size"]) == (lr, size)
    assert last["optimizer_states"][0]["param_groups"][0]["lr"] == lr
    board = EventAccumulator(str(found), size_guidance={"images": 0}).Reload()
    assert "found/learning_rate" in board.Tags()["images"]


def test_the_search_leaves_no_trace_in_the_training(
    found: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musiccli"])
    assert main(["fit", "--config", str(found / "config.yaml")]) == 0
    told = saved(tmp_path / "lightning_logs/vgg/version_0")["state_dict"]
    after_search = saved(found)["state_dict"]
    assert all(torch.equal(told[name], after_search[name]) for name in told)


def test_a_resumed_run_does_not_search(
    found: Path, songs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(found.parents[2])
    monkeypatch.setattr(sys, "argv", ["musiccli"])
    before = saved(found)

    def searched(*args: object) -> None:
        raise AssertionError("searched again")

    monkeypatch.setattr(finders, "search", searched)
    assert main(fit(songs, *FINDERS, "--ckpt_path", "last", "--trainer.max_epochs", "3")) == 0
    after = saved(found)
    assert after["epoch"] == before["epoch"] + 1
    for part, name in (("hyper_parameters", "lr"), ("datamodule_hyper_parameters", "batch_size")):
        assert after[part][name] == before[part][name]
    config = yaml.safe_load((found / "config.yaml").read_text())
    assert config["model"]["init_args"]["lr"] == before["hyper_parameters"]["lr"]
    assert main(["test", "--ckpt_path", str(found / "checkpoints/best.ckpt"), *FINDERS, "--out", "report"]) == 0


PRECISION = ["--config", str(CONFIGS / "finders/precision.yaml")]


def precision_of(run: Path) -> str:
    return yaml.safe_load((run / "config.yaml").read_text())["trainer"]["precision"]


def test_the_faster_precision_is_that_of_the_run_also_when_it_resumes(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    seconds = [1.5, 1.0]
    monkeypatch.setattr(finders, "has_bfloat16", lambda device: True)
    monkeypatch.setattr(finders.Stopwatch, "seconds", property(lambda watch: seconds.pop(0) * (len(watch.starts) == 6)))
    assert main(fit(songs, *PRECISION, "--trainer.max_epochs", "1")) == 0
    assert "Precision:   bf16-mixed, since bf16-mixed is 1.50 times as fast as 32-true" in capsys.readouterr().out
    run = tmp_path / "lightning_logs" / "vgg" / "version_0"
    assert precision_of(run) == "bf16-mixed"
    assert main(fit(songs, *PRECISION, "--ckpt_path", "last", "--trainer.max_epochs", "2")) == 0
    assert precision_of(run) == "bf16-mixed"
    assert saved(run)["epoch"] == 1
    seconds += [1.5, 1.4]  # 1.07 times as fast, 1.1 are asked for
    assert main(fit(songs, *PRECISION, "--trainer.max_epochs", "1")) == 0
    assert precision_of(run.with_name("version_1")) == "32-true"


def test_a_processor_without_units_trains_in_float32(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert main(fit(songs, *PRECISION, "--trainer.max_epochs", "1")) == 0
    assert "Precision:   32-true, since this processor has no units for bfloat16" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--trainer.callbacks+=LearningRateFinder", "--trainer.callbacks.num_training_steps=8"], "num_training_steps"),
        (["--trainer.callbacks+=LearningRateFinder", "--trainer.callbacks.min_lr=5"], "min_lr 5.0 must be above 0"),
        (["--trainer.callbacks+=LearningRateFinder", "--trainer.devices=2"], "one device"),
        (["--trainer.callbacks+=LearningRateFindr"], "LearningRateFindr"),
        (["--trainer.callbacks+=PrecisionFinder", "--trainer.callbacks.gain=0.5"], "gain 0.5 must be at least 1"),
        (["--trainer.callbacks+=PrecisionFinder", "--trainer.devices=2"], "then set --trainer.precision to its value"),
    ],
)
def test_mistakes_in_one_line(
    args: list[str],
    said: str,
    songs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musiccli"])
    assert main([*fit(songs), *args]) == 2
    err = capsys.readouterr().err
    assert said in err.splitlines()[-1]
    assert "Traceback" not in err


class TestSteepest:
    def test_where_the_loss_falls_the_fastest_by_factors(self) -> None:
        lrs = np.geomspace(1e-6, 1.0, 100)
        losses = 2 - np.tanh(np.log10(lrs) + 3)  # the steepest at 0.001
        assert steepest(list(lrs), list(losses)) == pytest.approx(1e-3, rel=0.15)

    def test_losses_that_ran_away_do_not_count(self) -> None:
        lrs = np.geomspace(1e-6, 1.0, 100)
        losses = 2 - np.tanh(np.log10(lrs) + 3)
        losses[80:] = np.nan
        assert steepest(list(lrs), list(losses)) == pytest.approx(1e-3, rel=0.15)

    def test_a_curve_that_tells_nothing(self) -> None:
        with pytest.raises(UsageError, match="num_training_steps"):
            steepest([1e-3] * 12, [1.0] * 12)
        with pytest.raises(UsageError, match="does not fall"):
            steepest(list(np.geomspace(1e-6, 1.0, 50)), list(np.linspace(1, 2, 50)))
