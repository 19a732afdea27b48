"""The precision of a training that names none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import Callback
from lightning.pytorch.plugins.precision import MixedPrecision

from musicgen_cls.__main__ import main
from musicgen_cls.cli import lightning, precision
from musicgen_cls.models.classifiers.vgg import VGG
from tiny import TINY

pytestmark = pytest.mark.usefixtures("reports_without_figures")

LINE = "Precision:   bf16-mixed, since this processor has units for bfloat16;\n             --trainer.precision 32-true"


@pytest.fixture
def fit(songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A short training on a machine with units for bfloat16."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musiccli"])
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    source = ["--data.source", "Folder", "--data.source.root", str(songs), "--trainer.max_epochs", "1"]
    return ["fit", "--config", "vgg", *source, *TINY, "--out", "report"]


def run_precision(version: int = 0) -> str | None:
    config = Path("lightning_logs", "vgg", f"version_{version}", "config.yaml").read_text()
    return yaml.safe_load(config)["trainer"]["precision"]


def report(folder: str) -> dict:
    """A report without what differs from run to run."""
    found = json.loads(Path(folder, "report.json").read_text())
    return {name: found[name] for name in ("loss", "track_accuracy", "macro_f1")}


def test_training_is_in_bfloat16_and_the_test_after_it_in_float32(fit, capsys) -> None:
    dtypes: dict[str, set[torch.dtype]] = {"train": set(), "test": set()}

    class Watch(Callback):
        def on_fit_start(self, trainer, pl_module):
            def seen(module, args, output):
                stage = "train" if pl_module.training else "test" if trainer.testing else "val"
                dtypes.setdefault(stage, set()).add(output.dtype)

            pl_module.network.register_forward_hook(seen)

    lightning.start(fit, more_callbacks=[Watch()])
    assert LINE in capsys.readouterr().out
    assert run_precision() == "bf16-mixed"
    assert (dtypes["train"], dtypes["test"]) == ({torch.bfloat16}, {torch.float32})
    run = Path("lightning_logs/vgg/version_0")
    test = ["test", "--ckpt_path", str(run / "checkpoints/best.ckpt")]
    assert main([*test, "--out", "alone"]) == 0
    assert main([*test, "--config", str(run / "config.yaml"), "--out", "config"]) == 0
    assert report("report") == report("alone") == report("config")
    assert main([*test, "--trainer.precision", "bf16-mixed", "--out", "half"]) == 0
    assert report("half")["loss"] == pytest.approx(report("alone")["loss"], rel=0.05)
    assert report("half")["loss"] != report("alone")["loss"]


def test_the_same_command_gives_the_same_weights_and_resumes_as_it_began(fit, capsys) -> None:
    more = [*fit[:-2], "--test_after_fit", "false", "--calibrate", "false"]
    two = [*more, "--trainer.max_epochs", "2"]
    assert main(two) == main(two) == main(more) == 0
    capsys.readouterr()
    assert main([*two, "--ckpt_path", "last"]) == 0
    assert LINE in capsys.readouterr().out
    first, second, resumed = (
        torch.load(f"lightning_logs/vgg/version_{version}/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for version in range(3)
    )
    assert all(torch.equal(first[name], second[name]) and torch.equal(first[name], resumed[name]) for name in first)


@pytest.mark.parametrize("value", ["bf16-mixed", "16-mixed", "bf16", 16])
def test_mixed_precision_has_several_names(value) -> None:
    assert precision.is_mixed(value)
    assert not any(precision.is_mixed(other) for other in (None, 32, "32-true", "bf16-true", 64))


@pytest.mark.parametrize("reason", ["float32 is asked for", "the network does not gain", "no units"])
def test_otherwise_it_is_float32(fit, reason: str, monkeypatch, capsys) -> None:
    if reason == "no units":
        monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    if reason == "the network does not gain":
        monkeypatch.delattr(VGG, "trains_in_bfloat16")
    asked = ["--trainer.precision", "32-true"] if reason == "float32 is asked for" else []
    cli = lightning.start([*fit[:-2], *asked, "--test_after_fit", "false"])
    assert "Precision:" not in capsys.readouterr().out
    assert run_precision() == (asked[1] if asked else None)
    assert not isinstance(cli.trainer.precision_plugin, MixedPrecision)
