"""From logits to calibrated probabilities."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from musicgen_cls.errors import CheckpointError
from musicgen_cls.metrics.calibration import Fit
from musicgen_cls.models.classifiers.temporal_pooling import TemporalPooling
from musicgen_cls.models.classifiers.vgg import VGG
from musicgen_cls.tasks.calibration import Calibration
from musicgen_cls.tasks.classification import GenreClassifier

FIT = Fit(2.5, np.array([0.3, -0.2, 0.0]), 100, 1.2, 1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_new_one_changes_nothing_bit_for_bit(dtype: torch.dtype):
    logits = 5 * torch.randn(1000, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    calibration = Calibration(3)
    assert torch.equal(calibration.probabilities(logits), functional.softmax(logits.float(), dim=1))
    assert torch.equal(calibration(logits), functional.log_softmax(logits.float(), dim=1))
    steps = functional.softmax(logits.float(), dim=1)
    assert torch.equal(calibration.recalibrated(steps), steps)


def test_logits_and_probabilities_give_the_same():
    calibration, logits = Calibration(3), torch.randn(50, 4, 3)
    calibration.set(FIT)
    want = functional.softmax(logits / 2.5 + torch.tensor([0.3, -0.2, 0.0]), dim=-1)
    torch.testing.assert_close(calibration.probabilities(logits), want)
    torch.testing.assert_close(calibration(logits).exp(), want)
    torch.testing.assert_close(calibration.recalibrated(functional.softmax(logits, dim=-1)), want)
    assert calibration.recalibrated(torch.tensor([[0.0, 1.0, 0.0]])).tolist() == [[0, 1, 0]]
    calibration.reset()
    assert not calibration.changes


def test_it_travels_in_the_state_and_can_be_missing():
    task, other = (GenreClassifier(partial(VGG, width=2), num_classes=3) for _ in range(2))
    task.calibration.set(FIT)
    state = task.state_dict()
    other.load_state_dict(state)
    assert other.calibration.facts() == task.calibration.facts()
    assert other.calibration.temperature == 2.5
    older = {name: value for name, value in state.items() if not name.startswith("calibration.")}
    other.load_state_dict(older)
    assert other.calibration.facts() == {"temperature": 1.0, "bias": [0.0, 0.0, 0.0]}
    assert not any(name.startswith("calibration.") for name in older)
    with pytest.raises(CheckpointError, match="do not fit"):
        other.load_state_dict(older | {"calibration.other": torch.ones(1)})


def test_every_output_of_a_task_is_calibrated_but_its_logits():
    torch.manual_seed(0)
    task = GenreClassifier(partial(TemporalPooling, n_mels=16, filters=4), num_classes=3).eval()
    x = torch.randn(2, 16, 200)
    with torch.no_grad():
        before, steps, logits = task.probabilities(x), task.step_probabilities(x), task(x)
        task.calibration.set(FIT)
        assert torch.equal(task(x), logits)
        torch.testing.assert_close(task.predict_step({"x": x}, 0), task.probabilities(x))
        torch.testing.assert_close(task.step_probabilities(x), task.calibration.probabilities(steps.log()))
        assert not torch.allclose(task.probabilities(x), before, atol=1e-3)
        torch.testing.assert_close(task.step_probabilities(x).sum(dim=2), torch.ones(steps.shape[:2]))


def test_training_starts_without_it():
    task = GenreClassifier(partial(VGG, width=2), num_classes=3)
    assert not isinstance(task.calibration.temperature, nn.Parameter)
    task.calibration.set(FIT)
    task.on_fit_start()
    assert not task.calibration.changes
