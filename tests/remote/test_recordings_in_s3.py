"""Recordings in object storage, on a real server that speaks S3: the results are those of the same files on disk."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musicgen_cls.__main__ import main
from musicgen_cls.collection.collection import Collection, collect
from musicgen_cls.errors import SourceError, StoreError
from musicgen_cls.remote import connection
from musicgen_cls.remote.url import Url, bucket_connection
from musicgen_cls.sources import Folder, Manifest

RATE = 22050

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture(scope="module")
def files(server: Any) -> Any:
    """The file system of the server."""
    import s3fs

    return s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)


@pytest.fixture(scope="module")
def remote(files: Any, upload: Callable[[Path, str], str], music: Path) -> str:
    """The URL of `music`, with files that are no tracks."""
    files.pipe_file("music/Music/jazz/notes.txt", b"")
    files.pipe_file("music/Music/loose.mp3", b"x")
    return upload(music, "s3://music/Music")


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Takes the server away; it is back at the end of the test."""
    monkeypatch.setattr(connection, "WAITS_S", (0.0,) * 4)

    def gone() -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # no one listens there
        bucket_connection.cache_clear()

    yield gone
    bucket_connection.cache_clear()


def samples(found: Collection) -> bytes:
    assert found.folder is not None
    return (found.folder / "audio.i16").read_bytes()


def left_copies(cache: Path) -> list[Path]:
    return list((cache / "fetched").iterdir())


def test_a_store_is_that_of_the_files(
    remote: str, collection: Collection, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = collection, collect(Folder(remote), RATE, cache_dir=str(tmp_path))
    assert samples(here) == samples(there)
    assert [(t.id, t.genre, t.artist) for t in here.tracks] == [(t.id, t.genre, t.artist) for t in there.tracks]
    assert str(there.tracks[0].path) == f"{remote}/blues/0.wav"
    assert list(map(str, there.problems)) == [
        f"{remote}/jazz/notes.txt: not audio, by its suffix",
        f"{remote}/loose.mp3: not in the sub-folder of a genre",
    ]
    assert not left_copies(cache)
    monkeypatch.delattr(Url, "fetch")  # nothing is fetched again
    assert collect(Folder(remote), RATE, cache_dir=str(tmp_path)).digests == there.digests


def test_a_file_that_changes_is_decoded_again(
    files: Any, upload: Callable[[Path, str], str], songs: Path, tmp_path: Path
) -> None:
    url = upload(songs, "s3://music/changing")

    def decoded() -> list[str]:
        return collect(Folder(url), 4000, cache_dir=str(tmp_path)).digests

    before, other = decoded(), (songs / "metal" / "3.wav").read_bytes()
    assert len(other) == (songs / "jazz" / "0.wav").stat().st_size  # only the time and the ETag differ
    files.pipe_file("music/changing/jazz/0.wav", other[:-2] + b"\1\1")
    after = decoded()
    assert before[0] != after[0]
    assert before[1:] == after[1:]


def test_manifests(remote: str, files: Any, collection: Collection, tmp_path: Path) -> None:
    names = ["jazz/0.wav", "jazz/1.flac", "metal/2.ogg"]
    rows = "".join(f"{{}}/{name},{name.partition('/')[0]}\n" for name in names)
    (tmp_path / "tracks.csv").write_text("path,genre\n" + rows.format(*[remote] * 3) + f"{remote}/gone.wav,metal\n")
    files.pipe_file("music/lists/tracks.csv", ("path,genre\n" + rows.format(*["../Music"] * 3)).encode())
    digests = dict(zip([track.id for track in collection.tracks], collection.digests, strict=True))
    here = collect(Manifest(str(tmp_path / "tracks.csv")), RATE, cache_dir=str(tmp_path))
    there = collect(Manifest("s3://music/lists/tracks.csv"), RATE, cache_dir=str(tmp_path))
    assert here.digests == there.digests == [digests[name] for name in names]
    assert list(map(str, here.problems)) == [f"{remote}/gone.wav: no such file"]
    assert [str(track.path) for track in there.tracks] == [f"{remote}/{name}" for name in names]


def test_shards_are_those_of_the_files(remote: str, music: Path, tmp_path: Path) -> None:
    for name, root in (("there", remote), ("here", str(music))):
        assert main(["shards", "--source", "Folder", "--source.root", root, "--out", str(tmp_path / name)]) == 0
    here, there = ({path.name for path in (tmp_path / name).glob("*.i16")} for name in ("here", "there"))
    assert here == there  # the names are hashes of the content


def test_embed(upload: Callable[[Path, str], str], songs: Path, tmp_path: Path) -> None:
    remote = upload(songs, "s3://music/short")

    def rows(name: str, *words: str) -> dict[str, Any]:
        path = tmp_path / f"{name}.npz"
        assert main(["embed", *words, "--backbone", "random_yamnet", "--seconds", "1", "--out", str(path)]) == 0
        with np.load(path) as file:
            return dict(file)

    here, there = rows("here", str(songs)), rows("there", remote)
    collection = rows("collection", "--source", "Folder", "--source.root", remote)
    assert [path.removeprefix(remote) for path in there["paths"]] == [p.removeprefix(str(songs)) for p in here["paths"]]
    for name in ("embeddings", "genres"):
        assert np.array_equal(here[name], there[name])
        assert np.array_equal(there[name], collection[name])


def test_a_server_that_is_gone_in_the_middle_stops_the_command_which_resumes(
    remote: str,
    collection: Collection,
    tmp_path: Path,
    cache: Path,
    unreachable: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetch, fetched, endpoint = Url.fetch, list[str](), os.environ["AWS_ENDPOINT_URL"]
    gone = [True]

    def fetch_some(self: Url, path: Path) -> None:
        if gone and len(fetched) >= 4:  # several threads fetch at once
            unreachable()
        fetch(self, path)
        fetched.append(str(self))

    monkeypatch.setattr(Url, "fetch", fetch_some)
    with pytest.raises(StoreError, match=r"s3://music/Music/.*: cannot be fetched .* run the same command again"):
        collect(Folder(remote), RATE, cache_dir=str(tmp_path))
    assert not left_copies(cache)
    kept = (next(tmp_path.glob("music-*")) / "journal.jsonl").read_text().count("\n")
    assert 1 <= kept <= len(fetched)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    bucket_connection.cache_clear()
    gone.clear()
    fetched.clear()
    found = collect(Folder(remote), RATE, cache_dir=str(tmp_path))
    assert len(fetched) == len(found.tracks) - kept
    assert samples(found) == samples(collection)


def test_a_server_that_is_gone_is_one_line(
    remote: str, unreachable: Callable[[], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unreachable()
    words = ["features", "--source", "Folder", "--source.root", remote, "--out", str(tmp_path / "t.csv")]
    assert main(words) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith(f"musiccli: error: {remote}: cannot be read (Could not connect to the endpoint URL")
    assert "check the server and the network, then run the same command again" in last


def test_wrong_credentials(remote: str, tmp_path: Path) -> None:
    def checks_after(requests: bytes) -> None:
        address = f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth"
        urllib.request.urlopen(urllib.request.Request(address, requests, {"Content-Type": "text/plain"})).close()

    (tmp_path / "tracks.csv").write_text(f"path,genre\n{remote}/jazz/0.wav,jazz\n{remote}/metal/0.wav,metal\n")
    checks_after(b"0")
    try:
        for source in (Folder(remote), Manifest(str(tmp_path / "tracks.csv"))):
            with pytest.raises(
                StoreError, match=r"s3://music/Music.*: cannot be read .*; check the permissions, or the c"
            ):
                collect(source, RATE, cache_dir=str(tmp_path))
    finally:
        checks_after(b"inf")


@pytest.mark.parametrize(
    ("root", "error", "message"),
    [
        ("s3://nowhere/Music", StoreError, r"s3://nowhere/Music: cannot be read \(The specified bucket does not exist"),
        ("s3://music/none", SourceError, "s3://music/none: no such folder; set --data.source.root to one with a sub-"),
        ("s3://music/Music/jazz", SourceError, "s3://music/Music/jazz: no audio in sub-folders; put wav, au, flac"),
    ],
)
def test_bad_folders(remote: str, root: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        collect(Folder(root), RATE)


def test_bad_manifests() -> None:
    with pytest.raises(SourceError, match=r"--data.source.path s3://music/none.csv: no such file; name a manifest"):
        Manifest("s3://music/none.csv").tracks()
