"""The script of the documentation that uses a plain Lightning trainer."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

import musicgen_cls
from forks import Fork
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
    code = compile(quick.replace("width=16", "width=2"), str(SCRIPT), "exec")
    status, out, err = Fork(lambda: exec(code, {"__name__": "__main__"}) or 0, music).wait()
    assert status == 0, err
    assert "test_track_accuracy" in out
    assert out.splitlines()[-1].startswith("{'jazz': 0.")
    assert set(musicgen_cls.load("plain.ckpt")("song.wav")) == {"jazz", "metal"}
