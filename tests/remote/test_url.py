"""URLs as paths, on the file system in memory of fsspec."""

from __future__ import annotations

import errno
import pickle
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile

from musicgen_cls.errors import StoreError, UnreachableError, UsageError
from musicgen_cls.files import as_path
from musicgen_cls.formats.playlists import write_playlists
from musicgen_cls.remote import connection
from musicgen_cls.remote.connection import Connection
from musicgen_cls.remote.copies import local_copy
from musicgen_cls.remote.url import Url, absolute, as_place, bucket_connection, path_of, within
from musicgen_cls.sources.find import files_within, find_files
from musicgen_cls.tagging.changes import plan


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    """A bucket of its own in memory, with some files."""
    url = f"memory://{tmp_path.name}"
    files = fsspec.filesystem("memory")
    for name in (
        "Music/jazz/b.wav",
        "Music/jazz/a [1]*.mp3",
        "Music/rock/.hidden.wav",
        "Music/é?#.ogg",
        "Music2/c.wav",
    ):
        files.pipe_file(f"{url}/{name}", name.encode())
    return url


def test_names() -> None:
    url = Url("s3://bucket/Music/jazz/a:b c.mp3")
    assert (str(url), url.name, url.suffix) == ("s3://bucket/Music/jazz/a:b c.mp3", "a:b c.mp3", ".mp3")
    assert str(url.parent / "x.wav") == "s3://bucket/Music/jazz/x.wav"
    assert url.relative_to(Url("s3://bucket/Music/")).as_posix() == "jazz/a:b c.mp3"
    assert url.absolute() == url.resolve() == pickle.loads(pickle.dumps(url)) == url
    assert absolute(url) == str(url)
    assert absolute("a") == str(Path.cwd() / "a")
    assert url.as_uri() == "s3://bucket/Music/jazz/a:b%20c.mp3"
    assert type(path_of("s3://bucket/a")) is Url
    assert type(path_of("/a")) is type(Path())


@pytest.mark.parametrize(
    ("folder", "name", "found"),
    [
        ("/lists", "a.wav", "/lists/a.wav"),
        ("/lists", "s3://b/a.wav", "s3://b/a.wav"),
        ("s3://b/lists", "x/a.wav", "s3://b/lists/x/a.wav"),
        ("s3://b/lists", "../Music/a.wav", "s3://b/Music/a.wav"),
        ("s3://b/lists", "gs://c/a.wav", "gs://c/a.wav"),
        ("s3://b/lists", "/music/a.wav", "/music/a.wav"),
    ],
)
def test_names_in_a_list(folder: str, name: str, found: str) -> None:
    assert str(within(path_of(folder), name)) == found


def test_urls_of_files_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "a b.wav"
    path.touch()
    for found in (as_place(path.as_uri(), "--x"), within(Path("list"), path.as_uri())):
        assert found == path
        assert not isinstance(found, Url)
    assert find_files([path.as_uri()]) == [path]


def test_files_of_a_name(bucket: str) -> None:
    folder = Url(f"{bucket}/Music")
    assert [str(file) for file in files_within(folder)] == [
        f"{bucket}/Music/jazz/a [1]*.mp3",
        f"{bucket}/Music/jazz/b.wav",
        f"{bucket}/Music/é?#.ogg",
    ]
    assert find_files(f"{bucket}/Music") == files_within(folder)
    assert find_files(f"{bucket}/Music/jazz/a [1]*.mp3") == [folder / "jazz" / "a [1]*.mp3"]
    assert find_files(f"{bucket}/*/*.wav") == [Url(f"{bucket}/Music2/c.wav")]
    with pytest.raises(UsageError, match=r"--data.files memory://.*/none: no such file, no folder with audio"):
        find_files(f"{bucket}/none")


def test_a_file_a_folder_and_nothing(bucket: str) -> None:
    file, folder, nothing = (Url(f"{bucket}/{name}") for name in ("Music/jazz/b.wav", "Music", "Mus"))
    assert [path.is_file() for path in (file, folder, nothing)] == [True, False, False]
    assert [path.is_dir() for path in (file, folder, nothing)] == [False, True, False]
    assert [path.exists() for path in (file, folder, nothing)] == [True, True, False]
    assert file.stat().st_size == len("Music/jazz/b.wav")
    assert file.stat().st_mtime_ns == files_within(folder)[1].stat().st_mtime_ns > 1e18
    assert file.open("rb").read() == b"Music/jazz/b.wav"
    assert file.open(encoding="utf-8-sig").read() == "Music/jazz/b.wav"
    with pytest.raises(FileNotFoundError):
        nothing.open()


def check_copy(copy: Path, url: Url, cache: Path) -> None:
    assert (str(copy), copy.suffix, copy.read_bytes()) == (str(url), ".wav", b"Music/jazz/b.wav")
    assert len(list((cache / "fetched").iterdir())) == 1
    raise ZeroDivisionError


def test_a_copy_is_named_as_its_file_and_removed(bucket: str, cache: Path) -> None:
    url = Url(f"{bucket}/Music/jazz/b.wav")
    copied = local_copy(url)
    with pytest.raises(ZeroDivisionError), copied as copy:
        check_copy(copy, url, cache)
    assert not list((cache / "fetched").iterdir())
    nothing = local_copy(Url(f"{bucket}/none.wav"))
    with pytest.raises(UnreachableError, match=r"memory://.*/none.wav: no such file"), nothing:
        pass
    with local_copy(Path("here.wav")) as same:
        assert same == Path("here.wav")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("foo://bucket/a.wav", "foo://bucket: Protocol not known: foo; give a folder, or a URL like s3://bucket/music"),
        ("s3://bucket/a.wav", r"s3://bucket: needs a library that is not installed .*'musicgen_cls\[stream\]'"),
    ],
)
def test_urls_that_cannot_be_read(url: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket_connection.cache_clear()
    if url.startswith("s3"):
        monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(UsageError, match=message):
        Url(url).is_file()


def test_urls_where_only_files_of_this_machine_can_be_used() -> None:
    with pytest.raises(UsageError, match=r"--data.source.root s3://: names no place"):
        as_place("s3://", "--data.source.root")
    with pytest.raises(UsageError, match="--out s3://b/out: a URL; give a file or folder on this machine"):
        as_path("s3://b/out", "--out")
    found = plan([{"file": "s3://b/a.mp3", "genre": "jazz", "probability": 1.0}], 0.5)
    assert found.refused == ["s3://b/a.mp3: not a file on this machine; copy it here to tag it"]


def test_playlists_have_urls(tmp_path: Path) -> None:
    write_playlists(tmp_path, [{"file": "s3://b/a.mp3", "genre": "jazz", "probability": 1.0, "seconds": 3}], ["jazz"])
    assert (tmp_path / "jazz.m3u8").read_text() == "#EXTM3U\n#musicgen_cls\n#EXTINF:3,a\ns3://b/a.mp3\n"


def test_after_a_failure_for_good_the_next_operation_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "WAITS_S", (0.0,) * 4)
    place, calls = Connection("memory://x"), list[int]()

    def failing(files: Any, root: str) -> str:
        calls.append(1)
        if len(calls) < 7:
            raise OSError(errno.ECONNRESET, "reset")
        return root

    for attempts in (5, 6):
        with pytest.raises(StoreError, match=r"memory://x: cannot be read \(reset\); check the server"):
            place.patient("memory://x", "cannot be read", failing)
        assert len(calls) == attempts
    assert place.patient("memory://x", "cannot be read", failing) == "/x"


@pytest.mark.skipif(sys.platform == "win32", reason="a backslash separates there")
def test_names_that_paths_cannot_have(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Object storage allows any name. A backslash is a character; an empty folder cannot be part of a path."""
    files = fsspec.filesystem("memory")
    url = f"memory://odd-{tmp_path.name}"
    for name in ("rock/back\\slash.wav", "rock//double.wav", "rock/./dot.wav", "rock/plain.wav"):
        path = f"/odd-{tmp_path.name}/{name}"
        files.store[path] = MemoryFile(files, path, name.encode())
    found = files_within(Url(url))
    assert [str(file) for file in found] == [f"{url}/rock/back\\slash.wav", f"{url}/rock/plain.wav"]
    assert [file.read_bytes().decode() for file in found] == ["rock/back\\slash.wav", "rock/plain.wav"]
    assert "2 files left out" in caplog.text
