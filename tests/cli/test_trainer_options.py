"""Lightning's own options: each works, or is refused in one line before the run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import musicgen_cls
from musicgen_cls.__main__ import main
from tiny import TINY

pytestmark = pytest.mark.usefixtures("reports_without_figures")

CONFIG = Path(musicgen_cls.__file__).parent / "configs" / "vgg.yaml"


@pytest.fixture
def fit(songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musiccli"])

    def call(*options: str) -> tuple[int, str, str]:
        source = ["--data.source", "Folder", "--data.source.root", str(songs)]
        status = main(["fit", "--config", str(CONFIG), *source, *TINY, "--trainer.max_epochs", "1", *options])
        return status, *capsys.readouterr()

    return call


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--trainer.max_steps", "2"], "No validation ran"),
        (["--trainer.limit_val_batches", "0"], "No validation ran"),
        (["--trainer.check_val_every_n_epoch", "2"], "No validation ran"),
        (["--trainer.overfit_batches", "2"], "track accuracy"),
        (
            [
                *("--trainer.val_check_interval", "0.5", "--trainer.accumulate_grad_batches", "2"),
                *("--trainer.max_time", "00:00:00:30"),
            ],
            "track accuracy",
        ),
        (["--trainer.detect_anomaly", "true", "--trainer.profiler", "simple"], "track accuracy"),
        (["--trainer.limit_train_batches", "0"], "Nothing was trained"),
        (["--trainer.max_epochs", "0"], "Nothing was trained"),
        (["--trainer.enable_checkpointing", "false"], "Network:"),
        (["--trainer.fast_dev_run", "true"], "Network:"),
        (["--trainer.barebones", "true"], "Network:"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_works(fit, options: list[str], said: str) -> None:
    status, out, err = fit(*options)
    assert status == 0, err
    assert said in out
    assert "Traceback" not in err
    if said == "No validation ran":
        assert "Checkpoint:" in out
        assert "last.ckpt" in out
        assert "track accuracy" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--trainer.devices", "-1"], "check the --trainer options"),
        (["--trainer.devices", "0"], "check the --trainer options"),
        (["--trainer.strategy", "nonsense"], "check the --trainer options"),
        (["--trainer.limit_val_batches", "1.5"], "check the --trainer options"),
        (["--trainer.gradient_clip_algorithm", "x"], "check the --trainer options"),
        (
            ["--early_stopping.monitor", "val_los"],
            "--early_stopping.monitor val_los: no such metric; use one of",
        ),
        (["--checkpoint.monitor", "val_los"], "--checkpoint.monitor val_los: no such metric; use one of"),
        (["--trainer.precision", "transformer-engine"], "not met"),
        (["--model.network.width", "1000000000"], "memory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_refused(fit, options: list[str], said: str) -> None:
    status, _, err = fit(*options)
    assert status == 2, err
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("musiccli: error: ")]
    assert said in line
