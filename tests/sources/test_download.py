"""`fetch` against a server on this machine: every way a download goes wrong, and none of them leaves a trace."""

import io
import socket
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_cls.errors import SourceError
from musicgen_cls.sources import download, gtzan
from musicgen_cls.sources.download import fetch
from musicgen_cls.sources.gtzan import GTZAN


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/genres.tar.gz"


def wav() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(2205), 22050, format="WAV")
    return file.getvalue()


def tar(names: list[str]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(wav())
            archive.addfile(member, io.BytesIO(wav()))
    return file.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


GENRES = tar([f"genres/{genre}/{genre}.{n:05d}.wav" for genre in gtzan.GENRES for n in range(2)])


def failure(folder: Path, addresses: list[tuple[str, str]]) -> str:
    """The message of a fetch that must fail in one line and leave nothing."""
    with pytest.raises(SourceError) as caught:
        fetch("GTZAN", addresses, folder)
    assert "\n" not in str(caught.value)
    assert list(folder.iterdir()) == []
    return str(caught.value)


def test_first_address_is_unpacked_and_nothing_else_is_left(site, tmp_path, capsys):
    address = site.add("/genres.tar.gz", GENRES)
    fetch("GTZAN", [address, (closed_port(), "md5:0")], tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["genres"]
    assert len(list(tmp_path.rglob("*.wav"))) == 20
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"GTZAN: downloading {address[0]}\n")
    assert "SHA256" not in err
    assert "100%" in err


@pytest.mark.parametrize(("algorithm", "length"), [("md5", 32), ("sha1", 40), ("sha256", 64)])
def test_wrong_checksum(site, tmp_path, algorithm, length):
    url, _ = site.add("/genres.tar.gz", GENRES)
    assert f"{url} (wrong checksum)" in failure(tmp_path, [(url, f"{algorithm}:{'0' * length}")])


def test_a_failure_leaves_no_empty_folder(site, tmp_path):
    with pytest.raises(SourceError):
        fetch("GTZAN", [(closed_port(), "md5:0")], tmp_path / "data" / "gtzan")
    assert not [*tmp_path.iterdir()]
    (tmp_path / "data").mkdir()
    with pytest.raises(SourceError):
        fetch("GTZAN", [(closed_port(), "md5:0")], tmp_path / "data" / "gtzan")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_missing_file(site, tmp_path):
    url = site.url + "/genres.tar.gz"
    assert f"{url} (HTTP status 404)" in failure(tmp_path, [(url, "md5:0")])


def test_refused_connection(site, tmp_path):
    url = closed_port()
    assert f"{url} (no connection)" in failure(tmp_path, [(url, "md5:0")])


def test_interrupted_transfer(site, tmp_path):
    address = site.add("/genres.tar.gz", GENRES)
    site.breaking = ["/genres.tar.gz"]
    assert f"{address[0]} (the connection was lost)" in failure(tmp_path, [address])


def test_interrupted_transfer_is_tried_again(site, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "RETRIES", 2)
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    address = site.add("/genres.tar.gz", GENRES)
    site.breaking = ["/genres.tar.gz"] * 2
    fetch("GTZAN", [address], tmp_path)
    assert len(site.requests) == 3
    assert (tmp_path / "genres/rock/rock.00001.wav").is_file()


def test_second_address_serves_when_the_first_does_not(site, tmp_path):
    fetch("GTZAN", [(site.url + "/gone.tar.gz", "md5:0"), site.add("/genres.tar.gz", GENRES)], tmp_path)
    assert site.requests == ["/gone.tar.gz", "/genres.tar.gz"]
    assert (tmp_path / "genres/blues/blues.00000.wav").is_file()


@pytest.mark.parametrize("content", [b"not an archive", GENRES[: len(GENRES) // 2], b"PK\x03\x04"])
def test_a_damaged_archive_with_the_right_checksum(site, tmp_path, content):
    address = site.add("/genres.tar.gz", content)
    assert f"{address[0]} (the archive is damaged)" in failure(tmp_path, [address])


@pytest.mark.parametrize("filtered", [True, False], ids=["filter", "python-3.11.3"])
def test_archive_cannot_write_outside(filtered, site, tmp_path, monkeypatch):
    if not filtered:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    failure_text = failure(tmp_path, [site.add("/genres.tar.gz", tar(["../../outside.wav"]))])
    assert "the archive is damaged" in failure_text
    assert not (tmp_path.parent / "outside.wav").exists()
    link, content = tarfile.TarInfo("genres"), io.BytesIO()
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.addfile(link)
    assert "the archive is damaged" in failure(tmp_path, [site.add("/links.tar.gz", content.getvalue())])
    assert not list(tmp_path.iterdir())
    fetch("GTZAN", [site.add("/sound.tar.gz", GENRES)], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["genres"]


def test_an_unpacking_cut_short_leaves_only_the_sound_archive(site, tmp_path):
    def interrupted(archive: Path, folder: Path) -> None:
        (folder / "genres").mkdir()
        raise KeyboardInterrupt

    address = site.add("/genres.tar.gz", GENRES)
    with pytest.raises(KeyboardInterrupt):
        fetch("GTZAN", [address], tmp_path, interrupted)
    assert [path.name for path in tmp_path.iterdir()] == ["genres.tar.gz"]
    fetch("GTZAN", [address], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["genres"]
    assert len(site.requests) == 1


def test_something_in_the_way_is_named(site, tmp_path):
    (tmp_path / "genres").mkdir()
    (tmp_path / "genres/notes.txt").touch()
    with pytest.raises(SourceError, match=r"cannot write to .*genres"):
        fetch("GTZAN", [site.add("/genres.tar.gz", GENRES)], tmp_path)


def test_gtzan_downloads_once(site, tmp_path, monkeypatch):
    monkeypatch.setitem(gtzan.ADDRESSES, "full", (site.add("/genres.tar.gz", GENRES),))
    source = GTZAN(str(tmp_path), download=True)
    source.prepare()
    source.prepare()
    assert len(source.tracks()) == 20
    assert len(site.requests) == 1


def test_gtzan_mini_is_unpacked_from_within(site, tmp_path, monkeypatch):
    track = "genres/pop/pop.00000.wav"
    inner = zipped({track: wav(), "__MACOSX/genres/pop/._pop.00000.wav": b"", "genres/pop/._pop.00000.wav": b""})
    outer = zipped({"gtzan_mini-main/genres/README.md": b"", "gtzan_mini-main/genres.zip": inner})
    monkeypatch.setitem(gtzan.ADDRESSES, "mini", (site.add("/main.zip", outer),))
    source = GTZAN(str(tmp_path), subset="mini", download=True)
    source.prepare()
    assert [track.path for track in source.tracks()] == [tmp_path / "gtzan_mini-main" / track]
    assert not list(tmp_path.rglob("*.zip"))


def test_gtzan_mini_with_a_git_lfs_pointer_for_its_archive(site, tmp_path, monkeypatch):
    outer = zipped({"gtzan_mini-main/genres.zip": b"version https://git-lfs.github.com/spec/v1\n"})
    monkeypatch.setitem(gtzan.ADDRESSES, "mini", (site.add("/main.zip", outer),))
    with pytest.raises(SourceError, match="the archive is damaged"):
        GTZAN(str(tmp_path), subset="mini", download=True).prepare()
    assert list(tmp_path.iterdir()) == []


def test_gtzan_offline_is_one_line(site, tmp_path, monkeypatch):
    addresses = ((closed_port(), "md5:0"), (site.url + "/genres.tar.gz", "md5:0"))
    monkeypatch.setitem(gtzan.ADDRESSES, "full", addresses)
    with pytest.raises(SourceError) as caught:
        GTZAN(str(tmp_path), download=True).prepare()
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        f"{addresses[0][0]} (no connection)",
        f"{addresses[1][0]} (HTTP status 404)",
        "--data.source.root",
        gtzan.PAGES["full"],
        "--data.source SyntheticGenres",
    ):
        assert part in message


@pytest.mark.parametrize("wanted", [True, False])
def test_gtzan_needs_no_network_where_tracks_are_or_none_are_wanted(tmp_path, monkeypatch, wanted):
    def no_network(*args: object) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr(gtzan, "fetch", no_network)
    if wanted:
        (tmp_path / "pop").mkdir()
        (tmp_path / "pop/pop.00000.wav").write_bytes(wav())
    GTZAN(str(tmp_path), download=wanted).prepare()
