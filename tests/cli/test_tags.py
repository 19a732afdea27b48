"""Playlists and genre tags through the command line, in this process."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

import musicgen_cls
from musicgen_cls.__main__ import main
from musicgen_cls.audio.io import read
from musicgen_cls.formats.playlists import write_playlists
from musicgen_cls.synth.render import render
from musicgen_cls.tagging.genre import read_genre
from musicgen_cls.tagging.undo import JOURNAL

CONFIG = Path(musicgen_cls.__file__).parent / "configs" / "vgg.yaml"
QUIET = ("--trainer.enable_progress_bar", "false")  # predict then needs no Lightning
SMALL = (
    *("--data.seconds", "1", "--data.windows_per_track", "2", "--data.fractions", "[0.5, 0.25, 0.25]"),
    *("--data.batch_size", "8", "--trainer.max_epochs", "1", "--data.split", "track", "--model.network.width", "2"),
)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def checkpoint(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(sys, "argv", ["musiccli"])
        source = ("--data.source", "Folder", "--data.source.root", str(songs), "--test_after_fit", "false")
        assert main(["fit", "--config", str(CONFIG), *source, *SMALL, *QUIET]) == 0
    return home / "lightning_logs/vgg/version_0/checkpoints/best.ckpt"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in an empty folder; gives its status and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musiccli"])
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))  # no terminal

    def call(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(arg) for arg in args])
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def library(tmp_path: Path, encode: Callable[..., Path]) -> Path:
    folder = tmp_path / "library"
    folder.mkdir()
    song = render("metal", 1, seconds=2.0, sample_rate=44100)[:, None].astype(np.float32)
    for name, codec in (("a.m4a", "aac"), ("b.mp3", "libmp3lame"), ("c.flac", "flac")):
        encode(folder / name, song, 44100, codec)
    soundfile.write(folder / "#d é.ogg", song, 44100)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_tags_are_written_and_restored(run: Run, checkpoint: Path, library: Path) -> None:
    before = contents(library)
    sounds = {path: read(path, 22050) for path in library.iterdir()}
    options = ("--playlists", "--write_tags", "--yes", "--threshold", "0.2", "--out", "out")
    status, out, err = run("predict", library, "--ckpt_path", checkpoint, *options, *QUIET)
    assert status == 0, err
    rows = json.loads(Path("out/predictions.json").read_text())
    assert len(rows) == 4
    for row in rows:
        assert read_genre(Path(row["file"])) == (row["genre"],)
        assert np.array_equal(read(Path(row["file"]), 22050), sounds[Path(row["file"])])
        assert f"{row['file']} - {row['genre']} {100 * row['probability']:.0f} %" in " ".join(out.split())
    assert "Tags:        written into 4 files; musiccli predict --restore_tags --out out undoes it" in out
    listed = [line for path in Path("out").glob("*.m3u8") for line in path.read_text("utf-8").splitlines()]
    assert sorted(line for line in listed if line[0] != "#") == sorted(row["file"] for row in rows)
    status, out, err = run("predict", library, checkpoint, *options, *QUIET)
    assert "Tags:        4 files with the predicted genre already" in out
    assert status == 0
    (library / "b.mp3").write_bytes((library / "b.mp3").read_bytes() + b"more")
    status, out, err = run("predict", "--restore_tags", "--out", "out")
    assert status == 2
    assert "Tags:        restored in 3 files" in out
    assert f"not restored: {library / 'b.mp3'}: has changed since its tag was written, and is left as it is" in out
    assert err == "musiccli: error: 1 file could not be restored; the lines above name the reasons\n"
    (library / "b.mp3").write_bytes((library / "b.mp3").read_bytes()[:-4])
    assert run("predict", checkpoint, library / "b.mp3", "--restore_tags", "true", "--out=out")[0] == 0
    assert contents(library) == before
    assert not Path("out", JOURNAL).exists()
    status, _, err = run("predict", "--restore_tags", "--out", "out")
    assert status == 2
    assert f"out/{JOURNAL}: no such file, so there are no tags to restore" in err


@pytest.mark.parametrize(
    ("answer", "agreed"), [("y", True), ("Yes\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_the_question(run, checkpoint, library, monkeypatch, answer, agreed) -> None:
    before = contents(library)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    file = library / "c.flac"
    status, out, err = run("predict", file, checkpoint, "--write_tags", "--threshold", "0", *QUIET)
    assert status == 0, err
    assert "old genre" in out
    assert "Write the new genre into 1 file? [y/N] " in out
    assert f"written into {1 if agreed else 0} file" in out
    assert (contents(library) == before) is not agreed


def test_only_sure_predictions_are_written(run, checkpoint, library) -> None:
    before = contents(library)
    options = ("--write_tags", "--yes", "--threshold", "1")
    status, out, err = run("predict", library, checkpoint, *options, *QUIET)
    assert status == 0, err
    assert "Tags:        4 files below the threshold 1, left unchanged" in out
    assert contents(library) == before


def test_files_without_tags_are_named_and_others_are_written(run, checkpoint, library, songs) -> None:
    shutil.copy(library / "c.flac", library / "z.flac")
    (library / "c.flac").chmod(0o444)
    soundfile.write(library / "e.au", render("jazz", 0, seconds=1.0, sample_rate=22050), 22050)
    status, out, err = run("predict", library, checkpoint, "--write_tags", "--yes", "--threshold", "0", *QUIET)
    assert status == 2
    assert f"not tagged: {library / 'c.flac'}: read-only" in out
    assert f"not tagged: {library / 'e.au'}: au has no genre tag that can be written" in out
    assert err == "musiccli: error: 2 files could not be tagged; the lines above name the reasons\n"
    assert "written into 4 files" in out
    assert len(read_genre(library / "z.flac")) == 1


def test_without_a_terminal_nothing_is_written(run, checkpoint, library) -> None:
    before = contents(library)
    status, _, err = run("predict", library, checkpoint, "--write_tags", *QUIET)
    assert status == 2
    assert err == (
        "musiccli: error: --write_tags: asks before it writes, but there is no terminal; add --yes to write at once\n"
    )
    assert contents(library) == before
    assert not Path("predictions").exists()


def test_without_mutagen(run, checkpoint, library, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "mutagen", None)
    status, _, err = run("predict", library, checkpoint, "--write_tags", "--yes", *QUIET)
    assert status == 2
    assert "--write_tags: needs mutagen, which is not installed; run python -m pip install 'musicgen_cls[tags]'" in err


def test_playlists_of_odd_genres_and_names(tmp_path) -> None:
    rows = [
        {"file": f"{tmp_path}/{name}", "seconds": 61.4, "genre": genre, "probability": p}
        for name, genre, p in (
            ("a\nb.mp3", "R&B/soul", 0.4),
            ("caf\udce9.mp3", "R&B/soul", 0.9),
            ("é.m4a", "jazz", 0.5),
        )
    ]
    written = write_playlists(tmp_path, rows, ["R&B/soul", "jazz", "rock"])
    assert len(written) == 2
    first, second = (path.read_bytes() for path in written)
    folder = str(tmp_path).encode()
    assert first == (
        b"#EXTM3U\n#musicgen_cls\n#EXTINF:61,caf\xe9\n"
        + folder
        + b"/caf\xe9.mp3\n#EXTINF:61,a b\nfile://"
        + folder
        + b"/a%0Ab.mp3\n"
    )
    assert second.decode() == f"#EXTM3U\n#musicgen_cls\n#EXTINF:61,é\n{tmp_path}/é.m4a\n"
    assert write_playlists(tmp_path, rows[:2], ["R&B/soul", "jazz", "rock"]) == written[:1]
    assert written[1].read_bytes() == b"#EXTM3U\n#musicgen_cls\n"
