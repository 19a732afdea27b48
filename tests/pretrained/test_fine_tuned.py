"""Fine-tuning: weights are loaded when a training starts, and a checkpoint needs no others."""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import BackboneFinetuning

import hub_models
import musicgen_cls
from musicgen_cls.__main__ import main
from musicgen_cls.datamodules import WaveformSlices
from musicgen_cls.errors import UsageError
from musicgen_cls.models.backbones import HuggingFace
from musicgen_cls.pretrained import FineTuned, load
from musicgen_cls.pretrained.load import digest_of
from musicgen_cls.sources import Folder
from musicgen_cls.tasks import GenreClassifier
from musicgen_cls.tasks.base import share_of_lr

pytestmark = pytest.mark.usefixtures("reports_without_figures")

QUICK = ["--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
SPLIT = ["--data.split", "track", "--data.fractions", "[0.5, 0.25, 0.25]", "--data.seconds", "1"]


@pytest.fixture(scope="module")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hub_models.save_hubert(tmp_path_factory.mktemp("models") / "hubert")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musiccli"])
    return tmp_path


def fit(songs: Path, backbone: object, *more: str) -> int:
    source = ["--data.source", "Folder", "--data.source.root", str(songs), "--model.network.backbone", str(backbone)]
    return main(["fit", "--config", "musicnn_finetune", *source, *SPLIT, *QUICK, *map(str, more)])


def trainer(**options: Any) -> Trainer:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    return Trainer(accelerator="cpu", **{**quiet, "max_epochs": 1, **options})


def data(songs: Path, **options: Any) -> WaveformSlices:
    settings = {"seconds": 1.0, "fractions": [0.5, 0.25, 0.25], "batch_size": 4, **options}
    return WaveformSlices(Folder(str(songs)), **settings)


def task(backbone: object, **options: Any) -> GenreClassifier:
    return GenreClassifier(partial(FineTuned, backbone=str(backbone)), num_classes=2, **options)


BEST = Path("lightning_logs/musicnn_finetune/version_0/checkpoints/best.ckpt")


@pytest.fixture(scope="module")
def trained(songs, hubert, tmp_path_factory):
    """The folder of a training of the hub's model. Read only."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["musiccli"])
        assert fit(songs, hubert) == 0
    return folder


@pytest.fixture
def trained_home(trained, home):
    """The working folder, with a copy of that training."""
    return shutil.copytree(trained, home, dirs_exist_ok=True)


@pytest.fixture
def without_model(hubert):
    """The hub's model is gone during a test."""
    gone = hubert.rename(hubert.with_name("gone"))
    yield
    gone.rename(hubert)


class TestCheckpoint:
    def test_it_needs_nothing_else(self, songs, trained_home, without_model):
        recognise = musicgen_cls.load(BEST)
        probabilities = recognise(np.random.default_rng(0).normal(0, 0.1, 32000).astype(np.float32))
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4)
        assert main(["test", str(BEST), "--out", "again"]) == 0
        assert main(["predict", str(songs / "jazz"), "--ckpt_path", str(BEST)]) == 0
        reports = [
            json.loads(file.read_text())
            for file in (next(BEST.parent.glob("*/report.json")), Path("again/report.json"))
        ]
        assert reports[0]["confusion"] == reports[1]["confusion"]

    def test_published_weights_are_not_read_again(self, songs, home, shallow, invented, monkeypatch):
        few = ["--data.windows_per_track", "1", "--data.crops_per_track", "1", "--test_after_fit", "false"]
        assert fit(songs, "yamnet", *few) == 0
        monkeypatch.setattr(sys.modules["musicgen_cls.pretrained.load"], "fetch", lambda name: pytest.fail("fetched"))
        assert main(["test", str(BEST)]) == 0
        assert fit(songs, "yamnet", *few, "--ckpt_path", "last", "--trainer.max_epochs", "2") == 0
        assert torch.load(BEST.with_name("last.ckpt"), weights_only=True)["epoch"] == 1

    def test_another_backbone_is_refused(self, songs, trained_home, hubert, shallow, invented, capsys):
        assert fit(songs, "msd_musicnn", "--ckpt_path", "last") == 2
        assert "trained with model.network FineTuned" in capsys.readouterr().err
        more = ["--trainer.max_epochs", "2", "--test_after_fit", "false"]
        assert fit(songs, hubert, "--ckpt_path", "last", *more) == 0


class TestStart:
    def test_training_starts_from_the_pretrained_weights(self, songs, hubert):
        model = task(hubert, lr=1e-12)
        before = digest_of(model.network.backbone)
        trainer().fit(model, datamodule=data(songs))
        expected, found = load(str(hubert)).state_dict(), model.network.backbone.state_dict()
        assert digest_of(model.network.backbone) != before
        assert all(torch.allclose(found[name], value, atol=1e-8) for name, value in expected.items())

    def test_all_layers_learn_and_batch_norm_does_not(self, songs, shallow, invented):
        model = task("msd_musicnn", lr=1e-3)
        trainer().fit(model, datamodule=data(songs, windows_per_track=1, crops_per_track=1))
        start, found = load("msd_musicnn").state_dict(), model.network.backbone.state_dict()
        same = {name for name, value in start.items() if torch.equal(found[name], value)}
        assert all("running" in name or "num_batches" in name or name.startswith(("output", "mel")) for name in same)
        assert any("running_mean" in name for name in same)
        assert not any("running" in name for name in start.keys() - same)

    def test_a_second_training_continues(self, songs, hubert):
        model = task(hubert, lr=1e-2)
        trainer().fit(model, datamodule=data(songs))
        trained = digest_of(model.network.backbone)
        model.lr = 1e-12
        trainer().fit(model, datamodule=data(songs))
        expected = load(str(hubert))
        assert trained != digest_of(expected)
        assert not torch.allclose(
            model.network.backbone.state_dict()["model.encoder.layers.0.feed_forward.output_dense.weight"],
            expected.state_dict()["model.encoder.layers.0.feed_forward.output_dense.weight"],
            atol=1e-6,
        )


class TestRates:
    def test_each_layer_has_the_rate_of_the_next_times_the_decay(self, invented):
        network = FineTuned(3, layer_decay=0.5)
        groups = network.parameter_groups(0.1)
        assert [group["lr"] for group in groups] == pytest.approx([0.1 * 0.5**n for n in range(6)])
        assert groups[0]["params"] == list(network.head.parameters())
        names = {id(p): name for name, p in network.backbone.named_parameters()}
        parts = [{names[id(p)].partition(".")[0] for p in group["params"]} for group in groups[1:]]
        front = {"norm", "timbral", "temporal"}
        assert parts == [{"pool_norm", "dense", "dense_norm"}, {"middle"}, {"middle"}, {"middle"}, front]

    def test_layers_of_a_transformer(self, hubert):
        network = FineTuned(3, str(hubert), layer_decay=0.9)
        rates = [group["lr"] for group in network.parameter_groups(1.0)]
        assert len(rates) > 5
        assert rates == pytest.approx([0.9**n for n in range(len(rates))])

    def test_frozen_parameters_are_left_out(self, hubert):
        network = FineTuned(3, str(hubert))
        network.backbone.requires_grad_(False)
        assert len(network.parameter_groups(1.0)) == 1

    def test_warm_up(self):
        rates = [share_of_lr(step, 20, 0.2, "linear") for step in range(21)]
        assert rates[0] == 0
        assert rates[4] == 1
        assert rates[20] == 0
        assert np.diff(rates[:5]) == pytest.approx([0.25] * 4)
        assert np.diff(rates[4:]) == pytest.approx([-1 / 16] * 16)

    def test_the_schedule_is_that_of_transformers(self):
        from transformers import get_linear_schedule_with_warmup

        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        theirs = get_linear_schedule_with_warmup(optimizer, 3, 30)
        for step in range(30):
            assert share_of_lr(step, 30, 0.1, "linear") == pytest.approx(theirs.get_last_lr()[0])
            optimizer.step()
            theirs.step()

    def test_the_rate_of_a_training(self, songs, hubert):
        model, seen = task(hubert, lr=0.1, schedule="linear", warmup=0.5), []
        model.on_train_batch_start = lambda *args: seen.append(model.optimizers().param_groups[0]["lr"])
        trainer(max_epochs=2).fit(model, datamodule=data(songs))
        assert seen == pytest.approx([0.1 * share_of_lr(step, len(seen), 0.5, "linear") for step in range(len(seen))])
        assert max(seen) > 0


class TestBackboneFinetuning:
    def test_the_backbone_is_frozen_first(self, songs, hubert):
        start = load(str(hubert)).state_dict()
        model = task(hubert, lr=0.01)
        callback = BackboneFinetuning(unfreeze_backbone_at_epoch=1, backbone_initial_lr=0.01)
        trainer(callbacks=[callback]).fit(model, datamodule=data(songs))
        assert all(torch.equal(model.network.backbone.state_dict()[name], value) for name, value in start.items())
        model = task(hubert, lr=0.01)
        callback = BackboneFinetuning(unfreeze_backbone_at_epoch=1, backbone_initial_lr=0.01)
        trainer(callbacks=[callback], max_epochs=2).fit(model, datamodule=data(songs))
        assert not all(torch.equal(model.network.backbone.state_dict()[name], value) for name, value in start.items())

    def test_from_a_config(self, songs, home, hubert):
        callback = {"class_path": "BackboneFinetuning", "init_args": {"unfreeze_backbone_at_epoch": 1}}
        Path("more.yaml").write_text(
            json.dumps(
                {"trainer": {"callbacks": [callback]}, "model": {"init_args": {"warmup": 0, "schedule": "constant"}}}
            )
        )
        more = ["--config", "more.yaml", "--trainer.max_epochs", "2", "--test_after_fit", "false"]
        assert fit(songs, hubert, *more) == 0

    def test_not_with_warm_up(self, songs, hubert):
        model = task(hubert, warmup=0.1)
        with pytest.raises(UsageError, match=r"set --model\.schedule constant"):
            trainer(callbacks=[BackboneFinetuning()]).fit(model, datamodule=data(songs))

    def test_a_network_without_a_backbone(self):
        from musicgen_cls.models import VGG

        assert not hasattr(GenreClassifier(VGG, num_classes=2), "backbone")


class TestRefused:
    def test_another_rate(self, songs, home, hubert, capsys):
        assert fit(songs, hubert, "--data.sample_rate", "22050") == 2
        err = capsys.readouterr().err
        assert "--data.sample_rate 22050: the pretrained network takes waveforms at 16000 Hz; set" in err

    def test_spectrograms(self, songs, home, hubert, capsys):
        source = ["--data.source", "Folder", "--data.source.root", str(songs), "--data.seconds", "1"]
        network = ["--model.network", "FineTuned", "--model.network.backbone", str(hubert)]
        assert main(["fit", "--config", "vgg", *source, *network, *QUICK]) == 2
        assert "takes waveforms [batch, samples], not [1, 64," in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (("--model.network.layer_decay", "0"), "layer_decay 0.0: must be above 0"),
            (("--model.network.layer_decay", "1.5"), "layer_decay 1.5: must be above 0"),
            (("--model.warmup", "1"), "--model.warmup 1: must be"),
            (("--model.network.backbone", "msd_musicn"), "did you mean 'msd_musicnn'?"),
            (("--model.network.backbone", "mtt_vgg:mean_pool"), "one layer only"),
            (("--data.windows_per_track", "0"), "windows_per_track 0: must be more than 0"),
        ],
    )
    def test_arguments(self, options, expected, songs, home, hubert, capsys):
        assert fit(songs, hubert, *options) == 2
        printed = capsys.readouterr().err
        assert expected in printed
        assert "Traceback" not in printed

    def test_a_checkpoint_with_a_damaged_config(self, trained_home):
        content = torch.load(BEST, weights_only=True)
        content["hyper_parameters"]["network"]["init_args"]["config"] = '{"model": 3}'
        torch.save(content, "damaged.ckpt")
        with pytest.raises(musicgen_cls.errors.MusicClsError, match="config cannot be read"):
            musicgen_cls.load("damaged.ckpt")


@pytest.mark.parametrize("name", ["msd_musicnn", "mtt_vgg", "yamnet", "jamendo_fcn", "hub"])
def test_each_trainable_parameter_gets_a_gradient(name, hubert, invented):
    """Training with several processes fails otherwise."""
    state = torch.get_rng_state()
    network = FineTuned(2, f"{hubert}:1" if name == "hub" else name)
    assert all(parameter.grad is None for parameter in network.parameters())
    frozen = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    assert frozen
    # Models of the hub leave out random layers in training, if nothing prevents it.
    for seed in range(20 if name == "hub" else 1):
        torch.manual_seed(seed)
        network.zero_grad(set_to_none=True)
        network(torch.randn(1, network.sample_rate)).sum().backward()
        assert [n for n, p in network.named_parameters() if p.grad is None] == frozen
    torch.set_rng_state(state)


def test_a_backbone_without_gradients(hubert, monkeypatch):
    monkeypatch.setattr(HuggingFace, "embed", torch.no_grad()(HuggingFace.embed))
    with pytest.raises(UsageError, match="its embeddings have no gradient"):
        FineTuned(2, str(hubert))


def test_a_checkpoint_knows_what_the_model_card_says(hubert):
    config = json.loads(FineTuned(2, str(hubert)).config)
    assert FineTuned(2, str(hubert), config=json.dumps(config)).pretrained == FineTuned(2, str(hubert)).pretrained
    config["card"] = {"licence": "mit\x1b[2J\nand more", "source": 3}
    (facts,) = FineTuned(2, str(hubert), config=json.dumps(config)).pretrained
    assert facts["licence"] == r"mit\x1b[2J and more"
    assert facts["source"] == "3"
    assert facts["trained_on"] == "unknown"
    config["card"] = 7
    with pytest.raises(musicgen_cls.errors.UsageError, match="config cannot be read"):
        FineTuned(2, str(hubert), config=json.dumps(config))


def test_waveforms_are_those_of_the_collection(songs):
    slices = data(songs)
    slices.prepare_data()
    slices.setup("test")
    batch = slices.test_windows([0])
    assert batch["x"].dtype == torch.float32
    assert batch["x"].shape == (1, 16000)
    row = int(slices.windows["test"].track[0])
    expected = slices.collection.waveform(row, 16000)
    assert np.allclose(batch["x"][0].numpy(), expected)
