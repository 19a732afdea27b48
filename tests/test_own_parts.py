"""A user's own network, backbone, task, source, augmentation and metric, in a plain file beside the config.

Each goes through fit, test, predict, load, resume, sweep and export, as the classes of this package do. Own datamodules
have tests of their own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import yaml

import musicgen_cls
from musicgen_cls.__main__ import main
from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.errors import CheckpointError, MusicClsError
from musicgen_cls.synth.render import render

pytestmark = pytest.mark.usefixtures("reports_without_figures")

CODE = '''
import torch
from torch import nn
from torch.nn import functional
from torchmetrics.classification import MulticlassF1Score
from musicgen_cls.sources import Folder, Source, Track
from musicgen_cls.tasks import GenreClassifier

class Backbone(nn.Module):
    """Mel bands to features."""
    def __init__(self, n_mels: int = 16, size: int = 4):
        super().__init__()
        self.n_mels, self.size = n_mels, size
        self.dense = nn.Linear(n_mels, size)
    def forward(self, x):
        return self.dense(x.mean(dim=2)).relu()

class Head(nn.Module):
    """A dense layer on a backbone."""
    def __init__(self, num_classes: int, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.dense = nn.Linear(backbone.size, num_classes)
    def forward(self, x):
        return self.dense(self.backbone(x))

class Smoothed(GenreClassifier):
    """Cross-entropy with label smoothing."""
    def __init__(self, smoothing: float = 0.1, **kwargs):
        self.smoothing = smoothing
        super().__init__(**kwargs)
    def training_step(self, batch, batch_idx):
        loss = functional.cross_entropy(self(batch["x"]), batch["y"], label_smoothing=self.smoothing)
        self.log("train_loss", loss)
        return loss

class Songs(Folder):
    """A folder whose genres are in capitals."""
    @property
    def name(self):
        return "my_songs"

class Flip(nn.Module):
    """The other sign for half of the waveforms."""
    def __init__(self, share: float = 0.5):
        super().__init__()
        self.share = share
    def forward(self, waveform):
        return torch.where(torch.rand(len(waveform), 1) < self.share, -waveform, waveform)

class WeightedF1(MulticlassF1Score):
    """F1 weighted by the size of classes."""
    def __init__(self, num_classes: int):
        super().__init__(num_classes, average="weighted")
'''

QUICK = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False}


def config(songs: Path) -> dict[str, object]:
    backbone = {"class_path": "own_parts.Backbone", "init_args": {"size": 6}}
    network = {"class_path": "own_parts.Head", "init_args": {"backbone": backbone}}
    metrics = {"weighted_f1": {"class_path": "own_parts.WeightedF1"}}
    data = {"seconds": 0.5, "sample_rate": 4000, "n_fft": 256, "n_mels": 16, "windows_per_track": 3, "batch_size": 8}
    data |= {"source": {"class_path": "own_parts.Songs", "init_args": {"root": str(songs)}}}
    data |= {"augment": {"class_path": "own_parts.Flip", "init_args": {"share": 0.25}}, "fractions": [0.5, 0.25, 0.25]}
    logger = {"class_path": "TensorBoardLogger", "init_args": {"save_dir": "logs", "name": "own"}}
    model = {"network": network, "smoothing": 0.2, "metrics": metrics}
    return {
        "model": {"class_path": "own_parts.Smoothed", "init_args": model},
        "data": {"class_path": "MelSlices", "init_args": data},
        "trainer": {**QUICK, "logger": logger},
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory, songs):
    """A folder with the plain file, a config beside it, and a run that was trained with them."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "own_parts.py").write_text(CODE)
    (folder / "own.yaml").write_text(yaml.safe_dump(config(songs)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        patch.setattr(sys, "argv", ["musiccli"])
        assert main(["fit", "--config", "own.yaml", "--test_after_fit", "false"]) == 0
        yield folder
    sys.modules.pop("own_parts", None)


@pytest.fixture
def best(home, monkeypatch):
    monkeypatch.chdir(home)
    return Path("logs/own/version_0/checkpoints/best.ckpt")


def test_a_checkpoint_keeps_every_argument(best):
    model = read_checkpoint(best, trust=["own_parts"]).model
    assert model["class_path"] == "own_parts.Smoothed"
    assert model["init_args"]["smoothing"] == 0.2
    assert model["init_args"]["network"]["init_args"]["backbone"]["init_args"]["size"] == 6


QUIET = ["--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]


def test_test_and_its_report(best, capsys):
    assert main(["test", str(best), "--trust", "own_parts", "--out", "report", *QUIET]) == 0
    printed = capsys.readouterr().out
    assert "of my_songs" in printed
    assert "weighted_f1" in printed


def test_predict(best, songs, capsys):
    file = next(songs.rglob("*.wav"))
    assert main(["predict", str(file), "--ckpt_path", str(best), "--trust=own_parts", "--out", "predicted"]) == 0
    assert Path("predicted/predictions.csv").exists()


def test_load(best):
    recognise = musicgen_cls.load(best, trust=["own_parts"])
    assert sum(recognise(render("jazz", 0, seconds=1.0)).values()) == pytest.approx(1, abs=1e-4)
    assert type(recognise.task).__name__ == "Smoothed"


def test_resume(best):
    short = ["--trainer.max_epochs", "2", "--test_after_fit", "false"]
    assert main(["fit", "--config", "own.yaml", "--ckpt_path", "last", *short]) == 0
    assert torch.load(best.with_name("last.ckpt"), weights_only=True)["epoch"] == 1


def test_sweep(best):
    space = {"model.smoothing": {"choices": [0.0, 0.3]}}
    Path("search.yaml").write_text(yaml.safe_dump({"fit": "own.yaml", "space": space, "trials": 1}))
    assert main(["sweep", "--config", "search.yaml", "--test_after_fit", "false"]) == 0
    assert Path("logs/sweep-search/best.yaml").exists()


def test_export(best, capsys):
    assert main(["export", str(best), "--format", "torch_export", "--trust", "own_parts", "--out", "own.pt2"]) == 0
    assert "the probabilities differ from the checkpoint's by at most" in capsys.readouterr().out


class TestTrust:
    @pytest.mark.parametrize("command", ["test", "predict", "validate", "export"])
    def test_what_only_a_checkpoint_names_is_not_imported(self, best, command, capsys, monkeypatch):
        monkeypatch.delitem(sys.modules, "own_parts")
        assert main([command, str(best)]) == 2
        err = capsys.readouterr().err
        assert "names 'own_parts.Smoothed', which is not of this package" in err
        assert "add --trust own_parts" in err
        assert "own_parts" not in sys.modules

    def test_load_neither(self, best, monkeypatch):
        monkeypatch.delitem(sys.modules, "own_parts")
        with pytest.raises(CheckpointError, match="trust=\\['own_parts'\\]"):
            musicgen_cls.load(best)
        assert "own_parts" not in sys.modules

    def test_a_config_that_came_with_the_checkpoint_grants_no_trust(self, best, capsys, monkeypatch):
        monkeypatch.delitem(sys.modules, "own_parts")
        beside = best.parent.parent / "config.yaml"
        assert main(["test", str(best), "--config", str(beside)]) == 2
        err = capsys.readouterr().err
        assert f"--config {beside}: names 'own_parts.Smoothed'" in err
        assert "own_parts" not in sys.modules

    def test_a_config_of_the_users_own_does(self, best):
        assert main(["test", str(best), "--config", "own.yaml", "--out", "with_config"]) == 0

    def test_the_environment_does(self, best, monkeypatch):
        monkeypatch.setenv("MUSICGEN_CLS_TRUST", "own_parts")
        assert main(["test", str(best), "--out", "with_environment"]) == 0


BACKBONE = '''
import torch
from musicgen_cls.models.backbones import Backbone

class Loudness(Backbone):
    """The logarithm of the energy in frames of 0.1 s, and its change."""
    sample_rate, dim, hop_seconds = 8000, 2, 0.1
    def embed(self, waveform):
        energy = waveform.unfold(1, 800, 800).square().mean(2).add(1e-6).log()
        return torch.stack([energy, energy - energy.mean(1, keepdim=True)], dim=2)

class NoBackbone(torch.nn.Module):
    pass

class NoEmbed(Backbone):
    sample_rate, dim, hop_seconds = 8000, 2, 0.1

class NoRate(Loudness):
    sample_rate = None

class NoTime(Loudness):
    def embed(self, waveform):
        return super().embed(waveform).mean(1)

class OtherSize(Loudness):
    dim = 3

class Needs(Loudness):
    def __init__(self, size):
        super().__init__()
'''


class TestBackbone:
    """A user's own pretrained network, which a value of an option names, not a class of an argument."""

    DATA = (
        *("--config", "pretrained", "--data.split", "track", "--data.fractions", "[0.5, 0.25, 0.25]"),
        *("--data.seconds", "1", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"),
        *("--trainer.enable_progress_bar", "false"),
    )

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory, songs):
        """A folder with the plain file, and a run on its network, and beside it the same one with random weights."""
        both = "[own_backbone.Loudness, random_own_backbone.Loudness]"
        folder = tmp_path_factory.mktemp("backbone")
        (folder / "own_backbone.py").write_text(BACKBONE)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.syspath_prepend(str(folder))
            patch.setattr(sys, "argv", ["musiccli"])
            assert cls.fit(songs, both, "--test_after_fit", "false") == 0
            yield folder
        sys.modules.pop("own_backbone", None)

    @pytest.fixture
    def best(self, folder, monkeypatch):
        monkeypatch.chdir(folder)
        return Path("lightning_logs/pretrained/version_0/checkpoints/best.ckpt")

    @classmethod
    def fit(cls, songs, *backbone):
        source = ["--data.source", "Folder", "--data.source.root", str(songs)]
        return main(["fit", *cls.DATA, *source, "--data.backbones", *backbone])

    @pytest.mark.parametrize("command", ["test", "predict"])
    def test_it_is_used_if_it_is_trusted(self, best, songs, command, capsys):
        words = [command, str(best)] if command == "test" else [command, str(songs), "--ckpt_path", str(best)]
        assert main([*words, "--out", command, "--trust", "own_backbone"]) == 0

    @pytest.mark.parametrize("command", ["test", "predict"])
    def test_a_checkpoint_alone_does_not_import_it(self, best, songs, command, capsys, monkeypatch):
        monkeypatch.delitem(sys.modules, "own_backbone")
        words = [command, str(best)] if command == "test" else [command, str(songs), "--ckpt_path", str(best)]
        assert main(words) == 2
        printed = capsys.readouterr().err
        assert "names 'own_backbone.Loudness', which is not of this package" in printed
        assert "Traceback" not in printed
        assert "own_backbone" not in sys.modules

    def test_load(self, best, monkeypatch):
        recognise = musicgen_cls.load(best, trust=["own_backbone"])
        assert sum(recognise(render("jazz", 0, seconds=2.0, sample_rate=8000)).values()) == pytest.approx(1, abs=1e-4)
        assert recognise.sample_rate == 8000
        monkeypatch.delitem(sys.modules, "own_backbone")
        with pytest.raises(MusicClsError, match="trust=\\['own_backbone'\\]"):
            musicgen_cls.load(best)
        assert "own_backbone" not in sys.modules

    def test_beside_another_one(self, best):
        names = read_checkpoint(best, trust=["own_backbone"]).data["init_args"]["backbones"]
        assert names == ["own_backbone.Loudness", "random_own_backbone.Loudness"]

    def test_fine_tuning(self, best, songs):
        source = ["--data.source", "Folder", "--data.source.root", str(songs), "--data.sample_rate", "8000"]
        network = ["--model.network", "FineTuned", "--model.network.backbone", "own_backbone.Loudness"]
        words = ["fit", "--config", "musicnn_finetune", *self.DATA[2:], *source, *network, "--test_after_fit", "false"]
        assert main(words) == 0

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("NoBackbone", "not a Backbone; extend musicgen_cls.models.backbones.Backbone"),
            ("NoEmbed", "cannot be made (Can't instantiate abstract class NoEmbed"),
            ("NoRate", "its attribute sample_rate is missing; set it to a number above 0"),
            ("OtherSize", "OtherSize gives embeddings of 2 numbers, but its attribute dim is 3"),
            ("Needs", "cannot be made (Needs.__init__() missing 1 required positional argument"),
            ("Gone", "names 'own_backbone.Gone', but it cannot be imported"),
        ],
    )
    def test_errors(self, best, songs, name, expected, capsys):
        words = ["embed", str(songs / "jazz"), "--trust", "own_backbone", "--backbone", f"own_backbone.{name}"]
        assert main([*words, "--out", f"{name}.npz"]) == 2
        self.assert_one_line(capsys.readouterr().err, expected)

    def test_an_error_in_fit(self, best, songs, capsys):
        assert self.fit(songs, "own_backbone.NoTime") == 2
        said = "NoTime gives the shape [4, 2] for 4 windows; it must be [batch, time, dim]"
        self.assert_one_line(capsys.readouterr().err, said)

    def assert_one_line(self, printed, expected):
        assert expected in printed
        assert "Traceback" not in printed
        assert printed.strip().splitlines()[-1].startswith("musiccli: error: ")
