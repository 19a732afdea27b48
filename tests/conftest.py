"""What tests share: a cache of their own, a small collection of music, the real music where there is some."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
import soxr
import torch

from musicgen_cls.audio.synth import render
from musicgen_cls.collection import Collection, collect
from musicgen_cls.paths import CACHE_VARIABLE
from musicgen_cls.sources.folder import Folder

GENRES = ("blues", "jazz", "metal")
FORMATS = (  # suffix, rate, channels
    ("wav", 22050, 1),
    ("flac", 44100, 2),
    ("ogg", 22050, 2),
    ("mp3", 44100, 1),
    ("au", 16000, 1),
    ("wav", 48000, 2),
)
RATE = 22050


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of this session's own: no test reads or writes the user's."""
    if "PYTEST_XDIST_WORKER" in os.environ:  # the cores are taken by other workers
        torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 3 genres x 6 tracks of 4 to 6 s, in five formats and four rates, two tracks an artist. Read only."""
    root = tmp_path_factory.mktemp("collection") / "Music"
    rows = []
    for number, genre in enumerate(GENRES):
        (root / genre).mkdir(parents=True)
        for index, (suffix, rate, channels) in enumerate(FORMATS):
            seconds = 4.0 + 0.37 * ((2 * index + number) % 6)
            waveform = soxr.resample(render(genre, index, seconds=seconds, sample_rate=RATE), RATE, rate)
            if channels == 2:
                waveform = waveform[:, None] * [1.0, 0.5]
            subtype = "PCM_16" if suffix in ("wav", "au", "flac") else None
            soundfile.write(root / genre / f"{index}.{suffix}", waveform, rate, subtype=subtype)
            rows.append((f"{genre}/{index}.{suffix}", genre, f"{genre} band {index // 2}"))
    with (root / "artists.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "genre", "artist"), *rows])
    return root


@pytest.fixture(scope="session")
def collection(music: Path) -> Collection:
    """`music`, decoded into the session's cache."""
    return collect(Folder(str(music)), RATE)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real music for development."""
    folder = Path(os.environ.get("MUSICLI_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(
            "NOT CHECKED ON REAL MUSIC: there is none at ../shared/data beside the repository; "
            "set MUSICLI_SHARED_DATA to where it lies"
        )
    return folder
