import copy
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn

from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.errors import CheckpointError, UsageError
from musicgen_cls.models.classifiers.cnn5 import CNN5
from musicgen_cls.models.classifiers.feature_mlp import FeatureMLP
from musicgen_cls.models.classifiers.vgg import VGG
from musicgen_cls.sources.folder import Folder
from musicgen_cls.tasks.classification import GenreClassifier

TINY = partial(VGG, width=4, pairs=2)


def trainer(folder: Path, **options) -> Trainer:
    return Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        default_root_dir=str(folder),
        **options,
    )


@pytest.fixture(autouse=True)
def hush():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*self.trainer. reference is not registered.*")
        yield


@pytest.fixture(scope="module")
def fitted(music, tmp_path_factory) -> tuple[Trainer, GenreClassifier, MelSlices, Path]:
    """One epoch on the small collection, and its checkpoint. Tests must not change them."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("run")
    task = GenreClassifier(TINY, lr=0.01, weight_decay=1e-4, num_classes=3)
    data = MelSlices(Folder(str(music)), seconds=1.0, windows_per_track=3, fractions=(0.5, 0.25, 0.25), batch_size=8)
    fit = trainer(folder, max_epochs=1, enable_checkpointing=False)
    fit.fit(task, datamodule=data)
    fit.save_checkpoint(folder / "a.ckpt")
    return fit, task.eval(), data, folder / "a.ckpt"


def test_what_is_frozen_stays_so_after_a_validation(fitted, tmp_path):
    """A batch norm in evaluation mode keeps its statistics; validation gives each module the mode back that it had."""
    task = GenreClassifier(TINY, num_classes=3)
    norms = [module for module in task.modules() if isinstance(module, nn.BatchNorm2d)]

    class Freeze(Callback):
        def on_train_start(self, trainer, pl_module):
            for norm in norms:
                norm.eval()

    fit = trainer(tmp_path, max_epochs=2, enable_checkpointing=False, callbacks=[Freeze()])
    fit.fit(task, datamodule=fitted[2])
    assert norms
    assert not any(norm.training for norm in norms)
    assert all(int(norm.num_batches_tracked) == 0 for norm in norms)


def test_overfits_a_tiny_batch():
    torch.manual_seed(0)
    task = GenreClassifier(TINY, lr=0.01, num_classes=3)
    batch = {"x": torch.randn(9, 32, 40), "y": torch.arange(9) % 3}
    optimizer = task.configure_optimizers()
    losses = []
    for step in range(80):
        loss = task.training_step(batch, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 0.8
    assert losses[-1] < 0.05
    assert torch.equal(task(batch["x"]).argmax(dim=1), batch["y"])


def test_an_epoch_logs_losses_and_accuracies(fitted):
    fit, task, data, _ = fitted
    logged = fit.callback_metrics
    assert {"train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_track_accuracy"} <= set(logged)
    scores = task.results["val"]
    assert len(scores.y) == len(data.windows["validation"])
    assert float(logged["val_accuracy"]) == pytest.approx(scores.segment_accuracy)
    assert float(logged["val_loss"]) == pytest.approx(scores.loss)
    assert 0 <= float(logged["train_accuracy"]) <= 1


def test_scores_do_not_depend_on_the_batch_size(fitted, tmp_path):
    _, task, _, path = fitted
    data = MelSlices.load_from_checkpoint(path)
    found = []
    for size in (1, 5, 64):
        data.batch_size = size
        test = trainer(tmp_path, enable_checkpointing=False)
        (logged,) = test.test(task, datamodule=data, verbose=False)
        found.append((logged, task.results["test"]))
    assert set(found[0][0]) == {"test_loss", "test_accuracy", "test_track_accuracy"}
    for logged, scores in found[1:]:
        assert logged == pytest.approx(found[0][0], abs=1e-5)
        assert np.array_equal(scores.index, np.arange(len(data.windows["test"])))
        np.testing.assert_array_equal(scores.track, found[0][1].track)
        np.testing.assert_allclose(scores.log_probs, found[0][1].log_probs, atol=1e-4)


def test_scores_are_those_of_the_network(fitted, tmp_path):
    _, task, _, path = fitted
    data = MelSlices.load_from_checkpoint(path)
    (logged,) = trainer(tmp_path, enable_checkpointing=False).test(task, datamodule=data, verbose=False)
    data.trainer = None
    right, loss, rows = 0, 0.0, 0
    for raw in data.test_dataloader():
        batch = data.on_after_batch_transfer(raw, 0)
        with torch.no_grad():
            logits = task(batch["x"])
        right += int((logits.argmax(1) == batch["y"]).sum())
        loss += float(torch.nn.functional.cross_entropy(logits, batch["y"], reduction="sum"))
        rows += len(logits)
    assert logged["test_accuracy"] == pytest.approx(right / rows)
    assert logged["test_loss"] == pytest.approx(loss / rows, rel=1e-4)


# Checkpoints


def test_a_checkpoint_has_only_plain_values(fitted):
    content = torch.load(fitted[3], weights_only=True)
    for part in ("hyper_parameters", "datamodule_hyper_parameters"):
        assert yaml.safe_load(yaml.safe_dump(dict(content[part]))) == content[part]
    assert content["hyper_parameters"]["network"] == {
        "class_path": "musicgen_cls.models.VGG",
        "init_args": {"width": 4, "pairs": 2},
    }


def test_a_task_made_in_python_is_rebuilt(fitted):
    _, task, _, path = fitted
    again = GenreClassifier.load_from_checkpoint(path, map_location="cpu", weights_only=True).eval()
    assert (again.lr, again.weight_decay) == (0.01, 1e-4)
    network = again.hparams["network"]
    assert network["class_path"] == task.hparams["network"]["class_path"]
    assert network["init_args"].items() >= task.hparams["network"]["init_args"].items()
    x = torch.randn(2, 64, 87)
    assert torch.equal(again(x), task(x))


def test_a_datamodule_made_in_python_is_rebuilt_with_its_state(fitted):
    _, _, data, path = fitted
    again = MelSlices.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    assert dict(again.hparams) == dict(data.hparams)
    assert again.genres == ["blues", "jazz", "metal"]
    assert again.source.root == data.source.root
    assert torch.equal(again.front_end.standardise.mean, data.front_end.standardise.mean)
    assert torch.equal(again.front_end.standardise.std, data.front_end.standardise.std)


def test_read_checkpoint(fitted):
    said = read_checkpoint(fitted[3])
    assert said.genres == ["blues", "jazz", "metal"]
    assert said.model["class_path"] == "musicgen_cls.tasks.GenreClassifier"
    assert said.model["init_args"]["num_classes"] == 3
    assert said.data["class_path"] == "musicgen_cls.datamodules.MelSlices"
    assert said.data["init_args"]["seconds"] == 1.0
    assert not any(name.startswith("_") for name in [*said.model["init_args"], *said.data["init_args"]])


def test_resuming_continues_the_training(fitted, music, tmp_path):
    _, task, data, path = fitted
    again, other = GenreClassifier(TINY, num_classes=3), MelSlices(Folder(str(music)), seconds=1.0, batch_size=8)
    resumed = trainer(tmp_path, max_epochs=1, enable_checkpointing=False)  # nothing is left to do
    resumed.fit(again, datamodule=other, ckpt_path=path, weights_only=True)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), task.parameters(), strict=True))
    assert torch.equal(other.front_end.standardise.mean, data.front_end.standardise.mean)


# Arguments and steps


@pytest.mark.parametrize("network", [VGG, CNN5, TINY, partial(CNN5, width=2)])
def test_networks_are_given_as_classes_or_partials(network):
    task = GenreClassifier(network, num_classes=4)
    assert task(torch.randn(2, 64, 64)).shape == (2, 4)
    assert task.hparams["network"]["class_path"].startswith("musicgen_cls.models.")


def test_networks_are_not_functions():
    with pytest.raises(UsageError, match="give a class"):
        GenreClassifier(lambda n: VGG(n), num_classes=3)


def test_number_of_classes_is_needed():
    with pytest.raises(UsageError, match="num_classes is not set"):
        GenreClassifier(VGG)


@pytest.mark.parametrize("lr", [0.0, -1.0, float("nan")])
def test_learning_rate(lr):
    with pytest.raises(UsageError, match=f"--model.lr {lr}"):
        GenreClassifier(TINY, lr=lr, num_classes=3)


def test_optimiser():
    optimizer = GenreClassifier(TINY, lr=0.5, weight_decay=0.25, num_classes=3).configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam)
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.5, 0.25)


def test_the_fused_optimiser_is_adam_also_for_weights_in_channels_last_order():
    """One pass over memory needs weights, gradients and moments in the same order."""
    torch.manual_seed(0)
    task = GenreClassifier(partial(VGG, width=4), lr=0.01, weight_decay=0.1, num_classes=3)
    plain = copy.deepcopy(task)
    fused, looped = task.configure_optimizers(), torch.optim.Adam(plain.parameters(), lr=0.01, weight_decay=0.1)
    assert fused.param_groups[0]["fused"]
    for step in range(5):
        batch = {"x": torch.randn(6, 32, 40), "y": torch.arange(6) % 3}
        for module, optimizer in ((task, fused), (plain, looped)):
            optimizer.zero_grad()
            torch.manual_seed(step)  # the same dropout
            module.training_step(batch, step).backward()
            optimizer.step()
    kernels = [(own, other) for own, other in zip(task.parameters(), plain.parameters(), strict=True) if own.dim() == 4]
    assert any(not own.is_contiguous() for own, _ in kernels)
    for own, other in kernels:
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped_in_each_precision(tmp_path, fitted, precision):
    """Lightning refuses to clip the gradients of an optimiser that says that it takes scaled ones."""
    norms = []

    class Norms(Callback):
        def on_before_zero_grad(self, trainer, pl_module, optimizer):
            gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
            norms.extend([float(nn.utils.get_total_norm(gradients))] if gradients else [])

    options = {"precision": precision, "gradient_clip_val": 0.01, "enable_checkpointing": False}
    fit = trainer(tmp_path, max_epochs=2, callbacks=[Norms()], **options)
    fit.fit(GenreClassifier(TINY, num_classes=3), datamodule=fitted[2])
    assert norms
    assert max(norms) == pytest.approx(0.01, rel=0.01)


def test_predictions_are_probabilities():
    task = GenreClassifier(TINY, num_classes=3).eval()
    probabilities = task.predict_step({"file": "a.wav", "x": torch.randn(5, 64, 40)}, 0)
    assert probabilities.shape == (5, 3)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(5))
    assert task.predict_step({"file": "a.wav", "error": "a.wav: empty file", "last": True}, 0) is None


def test_mixup_learns_from_both_labels(monkeypatch):
    torch.manual_seed(0)
    task = GenreClassifier(TINY, mixup=0.2, num_classes=3)
    x, y = torch.randn(6, 32, 40), torch.arange(6) % 3
    seen = []
    monkeypatch.setattr(task, "forward", lambda x: seen.append(x) or x[:, 0, :3])
    monkeypatch.setattr(torch.distributions.Beta, "sample", lambda self: torch.tensor(0.75))
    monkeypatch.setattr(torch, "randperm", lambda size, device: torch.arange(size).roll(1))
    loss = task.training_step({"x": x, "y": y}, 0)
    torch.testing.assert_close(seen[0], 0.75 * x + 0.25 * x.roll(1, 0))
    logits = seen[0][:, 0, :3]
    soft = 0.75 * torch.nn.functional.one_hot(y, 3) + 0.25 * torch.nn.functional.one_hot(y.roll(1), 3)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, soft))


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_mixup_is_a_number_from_0(value):
    with pytest.raises(UsageError, match=rf"--model.mixup {value}: must be 0 or more, and finite"):
        GenreClassifier(TINY, mixup=value, num_classes=3)


def test_a_network_with_an_output_for_each_row_is_refused():
    task = GenreClassifier(FeatureMLP, num_classes=3)
    task.dry_run({"x": torch.zeros(1, 58)})
    with pytest.raises(RuntimeError, match=r"its output has the shape \[1, 2, 3\], not \[windows, classes\]"):
        task.dry_run({"x": torch.zeros(1, 2, 58)})


def test_weights_of_another_network():
    weights = GenreClassifier(TINY, num_classes=3).state_dict()
    with pytest.raises(CheckpointError, match=r"^--ckpt_path: its weights do not fit .*size mismatch.*train again$"):
        GenreClassifier(TINY, num_classes=4).load_state_dict(weights)
    weights.pop(next(iter(weights)))
    with pytest.raises(CheckpointError, match=r"^--ckpt_path: .*Missing key.*train again$"):
        GenreClassifier(TINY, num_classes=3).load_state_dict(weights)


class Viewing(nn.Module):
    """A user's network, with `view` as people write it."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4 * 6 * 8, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x.unsqueeze(1))
        return self.out(h.view(h.size(0), -1))


class Volumes(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, num_classes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x[:, None, None]).mean(dim=(2, 3, 4))


@pytest.mark.parametrize("network", [Viewing, Volumes])
def test_networks_of_users_keep_their_memory_order(network):
    task = GenreClassifier(network, num_classes=3)
    task.dry_run({"x": torch.randn(2, 6, 8)})
    assert task(torch.randn(2, 6, 8)).shape == (2, 3)


def test_a_checkpoint_is_channels_last_again(fitted):
    _, task, _, path = fitted
    loaded = GenreClassifier.load_from_checkpoint(path, weights_only=True).eval()
    for net in (task.network, loaded.network):
        weight = [module.weight for module in net.modules() if isinstance(module, nn.Conv2d)][1]
        assert weight.is_contiguous(memory_format=torch.channels_last)
        assert not weight.is_contiguous()
    x = torch.randn(2, 64, 87)
    assert torch.equal(loaded(x), task(x))
