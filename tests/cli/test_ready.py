"""`prepare` of a store that is ready: the same output without Lightning, and only while nothing has changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from forks import Fork
from musicgen_cls.__main__ import main
from musicgen_cls.cli import ready
from musicgen_cls.collection.collection import write_tables
from musicgen_cls.datamodules import MelSlices
from musicgen_cls.files import CACHE_VARIABLE
from musicgen_cls.sources import Folder

ARGS = ["--config", "vgg", "--config", "own.yaml"]
CONFIG = """data:
  class_path: MelSlices
  init_args: {seconds: 1.0, source: {class_path: Folder, init_args: {root: songs}}}
"""
Home = Path


@pytest.fixture
def home(music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A working folder with music, a config, and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    shutil.copytree(music, "songs", ignore=shutil.ignore_patterns("[1-9].*"))
    Path("own.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def kept(home: Home) -> Home:
    """The same after a `prepare` that kept the output "ready"."""
    data = datamodule()
    collection = data.open_collection()
    write_tables(collection)
    ready.keep(ARGS, data, collection, "ready")
    assert ready.printed_before(ARGS) == "ready"
    return home


def datamodule() -> MelSlices:
    return MelSlices(Folder("songs"), seconds=1.0)


def store(home: Home, name: str) -> Path:
    """A file of the store."""
    (found,) = home.glob(f"cache/stores/*/{name}")
    return found


def test_the_same_output_without_torch(home: Home) -> None:
    command = ["prepare", *ARGS]
    status, printed, said = Fork(lambda: main(command), home).wait()
    assert status == 0, said
    assert printed.startswith("3 tracks, ")
    code = (
        f"import sys, musicgen_cls.__main__ as m; m.main({command}); print({{'torch', 'lightning'}} & {{*sys.modules}})"
    )
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert again.stdout == f"{printed}set()\n"


def add(folder: Path) -> None:
    shutil.copy(folder / "jazz" / "0.wav", folder / "jazz" / "new.wav")


def rename_source(home: Home, name: str) -> None:
    (file,) = home.glob("cache/ready/*")
    file.write_text(file.read_text().replace('"Folder"', f'"{name}"'))


CHANGES: dict[str, Callable[[Home], object]] = {
    "a track of another time": lambda home: os.utime(home / "songs/jazz/0.wav", (1, 1)),
    "another track": lambda home: add(home / "songs"),
    "a track less": lambda home: (home / "songs/jazz/0.wav").unlink(),
    "a file that is no track": lambda home: (home / "songs/jazz/notes.txt").write_text("a file"),
    "artists": lambda home: (home / "songs/artists.csv").write_text("file,artist\njazz/0.wav,Someone\n"),
    "no tracks": lambda home: shutil.rmtree(home / "songs"),
    "other audio in the store": lambda home: store(home, "audio.i16").write_bytes(bytes(10)),
    "another journal": lambda home: store(home, "journal.jsonl").write_text(""),
    "no table": lambda home: store(home, "tracks.csv").unlink(),
    "another config": lambda home: (home / "own.yaml").write_text(CONFIG.replace("1.0", "1.5")),
    "no config": lambda home: (home / "own.yaml").unlink(),
    "no cache": lambda home: shutil.rmtree(home / "cache"),
    "damaged": lambda home: [file.write_text('{"source": "Folder"') for file in home.glob("cache/ready/*")],
    "no source": lambda home: rename_source(home, "__doc__"),
    "a class that is no source": lambda home: rename_source(home, "Track"),
    "a source without such arguments": lambda home: rename_source(home, "SyntheticGenres"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_has_changed_is_prepared_again(kept: Home, change: str) -> None:
    CHANGES[change](kept)
    assert ready.printed_before(ARGS) is None


def test_other_words_in_another_folder_or_from_standard_input(kept: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ready.printed_before([*ARGS, "--data.seconds", "2"]) is None
    assert ready.printed_before([*ARGS, "--verify", "true"]) is None
    assert ready.printed_before(["--config", "-"]) is None
    monkeypatch.chdir(kept / "songs")
    assert ready.printed_before(["--config", "vgg", "--config", str(kept / "own.yaml")]) is None


class Own(MelSlices):
    """A datamodule of a user's, which can depend on anything."""


def test_what_is_not_kept(home: Home) -> None:
    data = datamodule()
    collection = data.open_collection()
    write_tables(collection)
    os.utime(home / "songs/jazz/0.wav", (1, 1))  # changed while the others were decoded
    ready.keep(ARGS, data, collection, "ready")
    own = Own(Folder("songs"), seconds=1.0)
    ready.keep(ARGS, own, own.open_collection(), "ready")
    assert not (home / "cache/ready").exists()
