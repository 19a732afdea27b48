"""A small classifier, small generators and a test report, for the page to listen with."""

from __future__ import annotations

from pathlib import Path

import pytest

from musicgen_cls.callbacks.report import TestReport
from small_checkpoints import classifier_checkpoint, note_checkpoint, waveform_checkpoint


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
    return classifier_checkpoint(folder / "best.ckpt", music, TestReport(str(folder / "best-test-music-track")))


@pytest.fixture(scope="session")
def generator(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator's checkpoint, of jazz and metal at 4 kHz with prompts of 0.5 s."""
    return waveform_checkpoint(tmp_path_factory.mktemp("generator") / "generator.ckpt", songs)


@pytest.fixture(scope="session")
def notes_generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a generator of notes, of jazz and metal."""
    return note_checkpoint(tmp_path_factory.mktemp("notes"))
