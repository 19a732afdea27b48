"""A small classifier, a small generator and a test report, for the page to listen with."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from musicgen_cls.callbacks.report import TestReport
from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.datamodules.waveform import WaveformWindows
from musicgen_cls.models.classifiers.vgg import VGG
from musicgen_cls.models.generators.waveform_rnn import WaveformRNN
from musicgen_cls.sources.folder import Folder
from musicgen_cls.tasks.classification import GenreClassifier
from musicgen_cls.tasks.generation import GenreGenerator
from note_checkpoint import QUIET, note_checkpoint


@pytest.fixture(scope="session", autouse=True)
def gradio_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Gradio keeps the folder of its first import, which would be that of a page that is closed by then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        import gradio  # noqa: F401


@pytest.fixture(scope="session")
def trained(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier's checkpoint with its report beside it; it predicts one genre nearly always."""
    folder = tmp_path_factory.mktemp("listen")
    torch.manual_seed(0)
    data = MelSlices(Folder(str(music)), windows_per_track=2, fractions=(0.25, 0.25, 0.5), batch_size=5)
    task = GenreClassifier(partial(VGG, width=2), num_classes=3)
    trainer = Trainer(
        callbacks=[TestReport(str(folder / "best-test-music-track"))], max_steps=1, accelerator="cpu", **QUIET
    )
    trainer.fit(task, data)
    trainer.test(task, data, verbose=False)
    trainer.save_checkpoint(folder / "best.ckpt")
    return folder / "best.ckpt"


@pytest.fixture(scope="session")
def generator(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator's checkpoint, of jazz and metal at 4 kHz with prompts of 0.5 s."""
    data = WaveformWindows(
        Folder(str(songs)), context_seconds=0.5, target_seconds=0.1, hop_seconds=0.5, sample_rate=4000,
        fractions=(0.5, 0.25, 0.25),
    )  # fmt: skip
    task = GenreGenerator(
        partial(WaveformRNN, channels=2, hidden=2), num_classes=2, sample_rate=4000, target_samples=400
    )
    trainer = Trainer(max_steps=1, accelerator="cpu", limit_val_batches=0, **QUIET)
    trainer.fit(task, data)
    path = tmp_path_factory.mktemp("generator") / "generator.ckpt"
    trainer.save_checkpoint(path)
    return path


@pytest.fixture(scope="session")
def notes_generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a generator of notes, of jazz and metal."""
    return note_checkpoint(tmp_path_factory.mktemp("notes"))
