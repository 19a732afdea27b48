"""Names of files, folders and patterns."""

import errno
import os
import sys
from pathlib import Path

import pytest

from musicgen_cls.errors import SourceError, UsageError
from musicgen_cls.sources.find import files_within, find_files, skipped_files, walk
from musicgen_cls.sources.folder import Folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.wav", "a.MP3", "x/c.flac", "x/y/d.ogg", "e [live].wav", "notes.txt", "x/cover.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("b.wav", ["b.wav"]),
        (["b.wav", "a.MP3"], ["b.wav", "a.MP3"]),
        (["notes.txt"], ["notes.txt"]),  # named outright: what is wrong with it is said when it is read
        (["."], ["a.MP3", "b.wav", "e [live].wav", "x/c.flac", "x/y/d.ogg"]),
        (["x/"], ["x/c.flac", "x/y/d.ogg"]),
        (["*.wav"], ["b.wav", "e [live].wav"]),
        (["**/*.ogg"], ["x/y/d.ogg"]),
        (["x/?.flac", "[ab].*"], ["x/c.flac", "a.MP3", "b.wav"]),
        (["e [live].wav"], ["e [live].wav"]),
        (["x", "x/c.flac", "b.wav", "./b.wav"], ["x/c.flac", "x/y/d.ogg", "b.wav"]),
        (["~/b.wav"], ["~/b.wav"]),
    ],
)
def test_find_files(folder, names, found):
    assert find_files(names) == [Path(name).expanduser() for name in found]


@pytest.mark.parametrize("name", ["missing.wav", "empty", "*.aiff", "missing/", "**/*.xyz"])
def test_names_that_stand_for_nothing(folder, name):
    with pytest.raises(UsageError, match="no such file, no folder with audio") as caught:
        find_files(["b.wav", name])
    assert f"--data.files {name}: " in str(caught.value)
    with pytest.raises(UsageError, match=r"^FILES "):
        find_files(["b.wav", name], "FILES")


def test_what_a_folder_holds_besides_is_named(folder):
    for name in ("x/y/f.m4p", "x/g.WMA", "x/h.opus", "x/i.m4a", "x/j.webm"):
        (folder / name).touch()
    assert [path.name for path in find_files("x")] == ["c.flac", "g.WMA", "h.opus", "i.m4a", "j.webm", "d.ogg"]
    named = {problem.path.name: problem.reason for problem in skipped_files([".", "x"])}
    assert named.keys() == {"notes.txt", "f.m4p"}
    assert named["f.m4p"].startswith("m4p is copy-protected and cannot be decoded; use a copy")
    assert named["notes.txt"] == "not audio, by its suffix"
    (folder / "apple").mkdir()
    (folder / "apple" / "a.m4p").touch()
    with pytest.raises(UsageError, match=r"m4p is copy-protected and cannot be decoded"):
        find_files("apple")


def test_hidden_files_in_folders_are_ignored(folder):
    """Such as those macOS leaves on other people's disks beside every file."""
    for name in ("x/._c.flac", "x/.trash/old.wav"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    assert find_files("x") == [Path("x/c.flac"), Path("x/y/d.ogg")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(folder):
    os.mkfifo("pipe.wav")
    with pytest.raises(UsageError, match=r"pipe.wav: a device or a pipe, not a file; name a file"):
        find_files("pipe.wav")
    assert Path("pipe.wav") not in find_files(".")


def test_files_within_a_folder_are_in_the_order_of_paths(tmp_path, monkeypatch):
    names = ("a/x.wav", "a b/x.wav", "a.wav", "a/b/c/x.wav", "a-b/x.wav", "ü/x.wav", "B/x.wav", "a/X.wav")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = files_within(tmp_path)
    assert found == sorted(tmp_path / name for name in names)
    monkeypatch.chdir(tmp_path)
    assert files_within(Path()) == sorted(map(Path, names))
    assert [track.path for track in Folder(".").tracks()] == sorted(Path(name) for name in names if "/" in name)
    assert [track.id for track in Folder(".").tracks()] == [
        p.as_posix() for p in sorted(map(Path, names)) if p.parts[1:]
    ]
    assert files_within(tmp_path / "a.wav") == files_within(tmp_path / "gone") == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs permission for links")
def test_links_are_entered_only_at_the_top_and_never_in_circles(tmp_path):
    for name in ("music/rock/a.wav", "elsewhere/b.wav"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    music = tmp_path / "music"
    (music / "pop").symlink_to(tmp_path / "elsewhere")
    (music / "rock" / "more").symlink_to(tmp_path / "elsewhere")
    (music / "rock" / "round").symlink_to(music / "rock" / "round")
    (music / "rock" / "up").symlink_to(music)
    (music / "rock" / "file.wav").symlink_to(tmp_path / "elsewhere" / "b.wav")
    assert files_within(music) == [music / "rock" / "a.wav", music / "rock" / "file.wav"]
    assert walk(music, linked=True)[0] == [music / "pop" / "b.wav", *files_within(music)]


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two genres, one of which cannot be read; the permissions of root would not prevent it."""
    for name in ("open/a.wav", "closed/b.wav"):
        (tmp_path / "music" / name).parent.mkdir(parents=True)
        (tmp_path / "music" / name).touch()
    scandir = os.scandir

    def forbidden(place: str):
        if Path(place).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", place)
        return scandir(place)

    monkeypatch.setattr(os, "scandir", forbidden)
    return tmp_path / "music"


def test_folders_that_cannot_be_read_are_reported(closed):
    line = f"{closed / 'closed'}: cannot be read (Permission denied)"
    assert find_files([str(closed)]) == [closed / "open" / "a.wav"]
    assert [str(problem) for problem in skipped_files([str(closed)])] == [line]
    source = Folder(str(closed))
    assert source.genres == ("open",)
    assert [str(problem) for problem in source.problems()] == [line]


def test_a_folder_that_cannot_be_read_at_all(closed):
    reason = r"closed: cannot be read \(Permission denied\); change its permissions"
    with pytest.raises(UsageError, match=reason):
        find_files([str(closed / "closed")])
    with pytest.raises(SourceError, match=reason):
        Folder(str(closed / "closed")).tracks()
