"""Spectrograms that are kept while a training runs: the same bits, each computed once."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from musicgen_cls.audio.mel import LogMel
from musicgen_cls.datamodules import MelSlices
from musicgen_cls.datamodules.kept import KeptRows
from musicgen_cls.models import VGG
from musicgen_cls.sources import Folder
from musicgen_cls.tasks import GenreClassifier
from small_checkpoints import QUIET


def squares(items: Tensor) -> Tensor:
    return items.float()[:, None] ** 2


@pytest.mark.parametrize("free", [1 << 30, 0])
def test_rows_are_those_of_the_function(free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(free))
    kept, items, calls = KeptRows(20, tmp_path), torch.arange(20), []

    def counting(batch: Tensor) -> Tensor:
        calls.extend(batch.tolist())
        return squares(batch)

    for index in ([3, 1], [1, 19, 3, 4], [19, 4], list(range(20))):
        rows = torch.tensor(index)
        assert torch.equal(kept(rows, items[rows], counting), squares(items[rows]))
    assert sorted(calls) == (list(range(20)) if free else sorted([3, 1, 1, 19, 3, 4, 19, 4, *range(20)]))
    assert list(tmp_path.iterdir()) == []  # the file has no name


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), AttributeError("Windows")])
def test_without_space_each_row_is_computed(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, "posix_fallocate", full)
    kept, items = KeptRows(20, tmp_path), torch.arange(20)
    for _ in range(2):
        assert torch.equal(kept(items, items, squares), squares(items))
    assert not kept.known.any()


class Computed(Callback):
    """Counts the spectrograms that are computed in each epoch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts = [0]
        power = LogMel.power

        def counting(mel: LogMel, waveform: Tensor) -> Tensor:
            self.counts[-1] += len(waveform)
            return power(mel, waveform)

        monkeypatch.setattr(LogMel, "power", counting)

    def on_validation_end(self, *_: Any) -> None:
        self.counts.append(0)


def trained(music: Path, callback: Callback | None, **options: Any) -> dict[str, Tensor]:
    torch.manual_seed(0)
    data = MelSlices(Folder(str(music)), seconds=1.0, windows_per_track=3, batch_size=8, **options)
    task = GenreClassifier(partial(VGG, width=2), num_classes=3)
    Trainer(max_epochs=3, accelerator="cpu", num_sanity_val_steps=0, callbacks=callback, **QUIET).fit(task, data)
    return task.state_dict()


def test_a_training_computes_each_spectrogram_once_and_has_the_same_weights(
    music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = Computed(monkeypatch)
    found = trained(music, computed)
    first, *later = computed.counts[:-1]
    assert first > 0
    assert later == [0, 0]
    monkeypatch.setattr(MelSlices, "_repeats", lambda *_: False)
    again = Computed(monkeypatch)
    plain = trained(music, again)
    assert len(set(again.counts[1:-1])) == 1
    assert again.counts[1] > 0
    assert all(torch.equal(found[name], plain[name]) for name in plain)


class Unchanged(torch.nn.Module):
    seen: ClassVar[list[int]] = []

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        return x


@pytest.mark.parametrize("options", [{"crops_per_track": 3}, {"augment": Unchanged()}])
def test_windows_that_change_are_computed_in_each_epoch(
    options: dict[str, Any], music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = Computed(monkeypatch)
    trained(music, computed, **options)
    first, second, third, _ = computed.counts
    assert first > second == third > 0


def test_masks_are_new_in_each_epoch(music: Path) -> None:
    Unchanged.seen.clear()
    trained(music, None, mask=Unchanged())
    assert len(Unchanged.seen) % 3 == 0
    assert sum(Unchanged.seen) > 3 * 18  # three epochs of more than 18 windows
