"""A small collection with copies, parts, artists and damaged files, as a folder and as shards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_cls.commands.shards import shards
from musicgen_cls.sources.folder import Folder
from musicgen_cls.sources.shards import Shards
from musicgen_cls.synth.render import render

RATE = 8000
SHARD_MB = 0.06


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three genres of four tracks of 2 s, a copy, the same sound at another level, parts of a track, no audio."""
    root = tmp_path_factory.mktemp("mixed") / "Mixed"
    artists = ["file,genre,artist"]
    for genre in ("blues", "jazz", "metal"):
        (root / genre).mkdir(parents=True)
        for n in range(4):
            soundfile.write(root / genre / f"{n}.wav", render(genre, n, seconds=2.0, sample_rate=RATE), RATE)
            artists.append(f"{genre}/{n}.wav,{genre},{genre} band {n}")
    shutil.copy(root / "jazz" / "1.wav", root / "jazz" / "copy.wav")
    sound, _ = soundfile.read(root / "metal" / "2.wav")
    soundfile.write(root / "metal" / "quiet.wav", 0.6 * sound, RATE)
    for n in range(2):
        noise = np.random.default_rng(n).normal(0, 0.1, RATE)
        soundfile.write(root / "blues" / f"suite.{n}.wav", noise, RATE)
    (root / "blues" / "bad.wav").write_text("no audio")
    (root / "metal" / "notes.txt").touch()
    (root / "artists.csv").write_text("\n".join(artists))
    return root


@pytest.fixture
def write(mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Shards]:
    """Writes `mixed`, or another folder, as shards, and returns their source; by default, into a folder."""

    def written(out: str = "", root: Path = mixed, parts: int = 1) -> Shards:
        out = out or str(tmp_path / "store")
        for part in range(parts, 0, -1):
            shards(Folder(str(root)), out, RATE, f"{part} of {parts}", SHARD_MB)
        return Shards(out)

    return written


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A place in memory, behind a URL."""
    return f"memory://{tmp_path.name}/music"
