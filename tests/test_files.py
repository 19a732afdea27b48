import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from musicgen_cls.__main__ import main
from musicgen_cls.errors import UsageError
from musicgen_cls.files import (
    CACHE_VARIABLE,
    as_path,
    cache_root,
    check_writable,
    remove_leftovers,
    safe_name,
    shortened,
    writing,
)


def test_these_tests_have_a_cache_of_their_own(cache):
    assert cache_root() == cache


def test_cache_named_by_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(CACHE_VARIABLE, "~/elsewhere")
    assert cache_root() == tmp_path / "elsewhere"
    assert not cache_root().exists()


@pytest.mark.parametrize("value", [None, ""])
def test_cache_of_the_user(monkeypatch, tmp_path, value):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(CACHE_VARIABLE, value)
    assert cache_root().name == "musicgen_cls"
    assert tmp_path in cache_root().parents


def test_no_home_at_all(monkeypatch):
    """A user id without a name and a home, as in a container: the cache is in the temporary folder."""
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: Path("~/.cache/musicgen_cls"))
    assert cache_root().is_absolute()
    assert cache_root().name.startswith("musicgen_cls-")


@pytest.mark.parametrize("name", ["~song.wav", "[live]", "~nosuchuser", "plain"])
def test_a_file_that_is_there_goes_before_what_its_name_could_mean(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).touch()
    assert as_path(name, "--out") == Path(name)


def test_an_empty_name_is_no_path():
    with pytest.raises(UsageError, match="--out: the value is empty"):
        as_path("", "--out")


def test_homes(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert as_path("~/a", "--out") == tmp_path / "a"
    assert as_path("~nosuchuser/a", "--out") == Path("~nosuchuser/a")


@pytest.mark.parametrize("name", ["a" * 256, "x/" + "é" * 128 + "/y", "a\0b", "\ud800", "d/" * 3000])
def test_names_that_no_file_can_have(name):
    with pytest.raises(UsageError, match=r"^--out "):
        as_path(name, "--out")


def test_long_names_are_cut_and_stay_apart(tmp_path):
    names = ["ü" * 140 + end for end in "ab"]
    cut = [shortened(name, 100) for name in names]
    assert all(len(name.encode()) <= 100 for name in cut)
    assert cut[0] != cut[1]
    assert shortened("short") == "short"
    path = tmp_path / ("x" * 251 + ".csv")
    with writing(path) as temporary:
        temporary.write_text("a")
    assert path.read_text() == "a"


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = next(iter(_temporary_names(tmp_path))).rpartition("-")[0].removeprefix(".x.")
    left = [tmp_path / f".a.{host}-{dead.pid}.csv", tmp_path / f".b.{host}-{dead.pid}"]
    kept = [tmp_path / f".c.{host}-{os.getppid()}.csv", tmp_path / f".d.musicgen_cls-0123abcd-{dead.pid}.csv"]
    for file in (*left, *kept):
        file.touch()
    for name in (".bashrc.20240101-120000", ".notes.20240101-093000.txt", ".e-1.csv"):  # backups of a user, long ago
        kept.append(tmp_path / name)
        kept[-1].touch()
        os.utime(kept[-1], (0, 0))
    remove_leftovers.cache_clear()
    with writing(tmp_path / "other.csv") as temporary:
        temporary.touch()
    assert not any(file.exists() for file in left)
    assert all(file.exists() for file in kept)


def _temporary_names(folder: Path) -> Iterator[str]:
    """The names that `writing` uses."""
    with writing(folder / "x.csv") as temporary:
        temporary.touch()
        yield temporary.name


def test_a_folder_is_made_with_its_first_file(tmp_path):
    folder = tmp_path / "new" / "results"
    check_writable(folder, "--out DIR")
    assert not list(tmp_path.iterdir())
    with writing(folder / "table.csv") as temporary:
        temporary.write_text("a")
    assert (folder / "table.csv").read_text() == "a"
    with pytest.raises(UsageError, match=r"csv/below: cannot be written \(.*\); give another folder with --out"):
        check_writable(folder / "table.csv" / "below", "--out DIR")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(UsageError, match="link: cannot be written"):
        check_writable(tmp_path / "link", "--out DIR")


@pytest.mark.parametrize(
    "command", [["plot", "--source", "Folder", "--source.root", "music"], ["judge", "music", "music"]], ids=" ".join
)
def test_a_command_that_fails_leaves_no_folder(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    Path("music").mkdir()
    assert main([*command, "--out", "results"]) == 2
    assert not Path("results").exists()


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="no devices here")
def test_writing_replaces_no_device_and_no_folder(tmp_path):
    for place in (Path("/dev/null"), tmp_path):
        with pytest.raises(UsageError, match=r"name a file to write"), writing(place):
            pass
    assert not Path("/dev/null").is_file()


def test_writing_replaces_at_the_end(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with writing(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".csv"
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("begun", [True, False])
def test_writing_that_fails_leaves_what_was_there(tmp_path, begun):
    path: Path = tmp_path / "a.csv"
    path.write_text("old")

    def fail() -> None:
        with writing(path) as temporary:
            if begun:
                temporary.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


ODD_NAMES = (
    "Old-Time / Historic",
    "Old-Time _ Historic",
    "..",
    ".",
    "",
    ".hidden",
    "end.",
    "end ",
    "a\\b",
    "a:b",
    "a?b",
    "NUL",
)
ODD_NAMES += (
    "con.wav",
    "lpt1",
    "x\ny",
    "é" * 200,
    "é" * 201,
    "\udcff",
    "/etc",
    "../up",
    "a~0123abcd",
    " lead",
    "🎵" * 100,
    "_",
)


@pytest.mark.parametrize("text", ODD_NAMES)
def test_a_safe_name_is_one_part_of_a_path_and_can_be_made(tmp_path, text):
    name = safe_name(text)
    assert Path(name).name == name
    assert not name.startswith((".", " "))
    assert not name.endswith((".", " "))
    assert len(name.encode()) <= 120
    assert name.split(".")[0].lower() not in ("con", "nul", "lpt1")
    (tmp_path / name).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_safe_names_of_different_texts_differ_and_ordinary_ones_stay():
    made = [safe_name(text) for text in ODD_NAMES]
    again = [safe_name(name) for name in made]
    assert len({*made, *again} - {*made}) == len(set(again) - set(made))
    assert len(set(made)) == len(ODD_NAMES)
    assert not set(again) & set(made) - {"_", "Old-Time _ Historic"}  # a safe name with a hash is not its own safe name
    for name in ("jazz", "Hip-Hop", "Soul-RnB", "Música", "R&B (old)", "drum'n'bass", "[live]"):
        assert safe_name(name) == name
