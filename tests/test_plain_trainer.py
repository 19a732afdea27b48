"""The script of the documentation that uses a plain Lightning trainer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

import musicgen_cls
from musicgen_cls.synth.render import render

SCRIPT = Path(__file__).parents[1] / "docs" / "examples" / "plain_trainer.py"


@pytest.fixture
def music(tmp_path, monkeypatch):
    """A folder of two genres, and a song."""
    for genre in ("jazz", "metal"):
        (tmp_path / "music" / genre).mkdir(parents=True)
        for index in range(10):
            soundfile.write(tmp_path / "music" / genre / f"{index}.wav", render(genre, index, seconds=2.5), 22050)
    soundfile.write(tmp_path / "song.wav", render("jazz", 20, seconds=4.0), 22050)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_trains_tests_and_predicts(music):
    assert len([line for line in SCRIPT.read_text().splitlines() if line and not line.startswith('"')]) <= 16
    quick = SCRIPT.read_text().replace("max_epochs=5", "max_epochs=1, enable_progress_bar=False, accelerator='cpu'")
    assert "max_epochs=1" in quick
    done = subprocess.run(
        [sys.executable, "-c", quick.replace("width=16", "width=2")],
        capture_output=True, text=True, check=False, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "test_track_accuracy" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("{'jazz': 0.")
    assert set(musicgen_cls.load("plain.ckpt")("song.wav")) == {"jazz", "metal"}
