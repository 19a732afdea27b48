import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_cls.collection import collect
from musicgen_cls.errors import SourceError
from musicgen_cls.sources.folder import Folder
from musicgen_cls.sources.track import AUDIO_SUFFIXES


def touch(root: Path, *names: str) -> None:
    """Files that are audio by name; a source decodes nothing."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write(path: Path, seed: int, artist: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        if artist:
            file.artist = artist
        file.write(np.random.default_rng(seed).uniform(-0.5, 0.5, 8000))


def test_the_small_collection(music):
    source = Folder(str(music))
    tracks = source.tracks()
    assert source.genres == ("blues", "jazz", "metal")
    assert source.name == "music"
    assert source.location == music
    assert Counter(track.genre for track in tracks) == {"blues": 6, "jazz": 6, "metal": 6}
    assert tracks[0].id == "blues/0.wav"
    assert tracks[0].path == music / "blues" / "0.wav"
    assert [track.artist for track in tracks[:4]] == ["blues band 0", "blues band 0", "blues band 1", "blues band 1"]
    assert source.problems() == []
    assert source.official_split("fault_filtered") is None
    assert Folder(str(music)).tracks() == tracks


def test_files_at_any_depth_with_unique_ids(tmp_path):
    touch(tmp_path, "rock/a.wav", "rock/x/a.wav", "rock/x/y/z/a.mp3", "Pop/live (1999)/ä ö.ogg")
    tracks = Folder(str(tmp_path)).tracks()
    assert [(track.id, track.genre) for track in tracks] == [
        ("Pop/live (1999)/ä ö.ogg", "Pop"),
        ("rock/a.wav", "rock"),
        ("rock/x/a.wav", "rock"),
        ("rock/x/y/z/a.mp3", "rock"),
    ]


def test_tracks_of_another_kind_are_found_after_those_of_the_first(tmp_path):
    touch(tmp_path, "rock/a.wav", "rock/b.npy")
    source = Folder(str(tmp_path))
    assert [track.id for track in source.tracks()] == ["rock/a.wav"]
    assert [track.id for track in source.holding((".npy",)).tracks()] == ["rock/b.npy"]
    assert [track.id for track in source.tracks()] == ["rock/a.wav"]


def test_hidden_files_and_folders_are_ignored(tmp_path):
    touch(tmp_path, "rock/a.wav", "rock/._a.wav", "rock/.DS_Store", "rock/.trash/b.wav", ".git/c.wav", ".git/x/d.wav")
    source = Folder(str(tmp_path))
    assert [track.id for track in source.tracks()] == ["rock/a.wav"]
    assert source.genres == ("rock",)
    assert source.problems() == []


def test_suffixes_of_any_case(tmp_path):
    names = [f"rock/{n}{suffix.upper()}" for n, suffix in enumerate(AUDIO_SUFFIXES)] + ["rock/9.Mp3"]
    touch(tmp_path, *names)
    assert [track.id for track in Folder(str(tmp_path)).tracks()] == sorted(names)


def test_other_files_are_reported(tmp_path):
    touch(
        tmp_path, "rock/a.wav", "rock/cover.jpg", "rock/x/notes", "lists/a.m3u", "artists.txt", "top.wav", "rock/b.m4a"
    )
    source = Folder(str(tmp_path))
    assert {problem.path.name: problem.reason for problem in source.problems()} == {
        **dict.fromkeys(("notes", "a.m3u"), "not audio by its name"),  # a picture is nobody's mistake
        "b.m4a": "m4a cannot be decoded; convert it, as with ffmpeg -i 'b.m4a' 'b.flac'",
        "top.wav": "in no genre's sub-folder",
    }
    assert source.genres == ("rock",)


def test_a_genre_may_be_a_link_to_a_folder_elsewhere(tmp_path):
    touch(tmp_path, "elsewhere/a.wav", "music/pop/b.wav")
    (tmp_path / "music" / "rock").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert [track.id for track in Folder(str(tmp_path / "music")).tracks()] == ["pop/b.wav", "rock/a.wav"]


def test_making_one_touches_nothing(tmp_path):
    assert Folder(str(tmp_path / "missing")).location == tmp_path / "missing"


@pytest.mark.parametrize("read", [lambda s: s.tracks(), lambda s: s.genres, lambda s: s.problems()])
def test_missing_root(tmp_path, read):
    with pytest.raises(SourceError, match=r"no such folder; set --data\.source\.root") as caught:
        read(Folder(str(tmp_path / "missing")))
    assert str(caught.value).startswith(str(tmp_path / "missing"))


def test_root_that_is_a_file(tmp_path):
    touch(tmp_path, "a.wav")
    with pytest.raises(SourceError, match="no such folder"):
        Folder(str(tmp_path / "a.wav")).tracks()


@pytest.mark.parametrize("names", [[], ["a.wav"], ["rock/notes.txt"], ["rock/.a.wav"]])
def test_no_audio_in_sub_folders(tmp_path, names):
    touch(tmp_path, *names)
    with pytest.raises(SourceError, match="no audio in sub-folders; put wav, au, flac, ogg, mp3, opus, "):
        Folder(str(tmp_path)).tracks()


def test_home_is_expanded(tmp_path, monkeypatch):
    touch(tmp_path, "music/rock/a.wav")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [track.id for track in Folder("~/music").tracks()] == ["rock/a.wav"]


# Artists


def test_artists_csv(tmp_path):
    touch(tmp_path, "rock/a.wav", "rock/x/b.wav", "rock/c.wav")
    table = 'artist,file,genre,year\n"Simon, Paul",rock/a.wav,rock,1986\nBjörk,rock/x/b.wav,rock,\n,rock/c.wav,rock,1\n'
    (tmp_path / "artists.csv").write_text("\ufeff" + table, encoding="utf-8")  # with the mark that Excel writes
    artists = {track.id: track.artist for track in Folder(str(tmp_path)).tracks()}
    assert artists == {"rock/a.wav": "Simon, Paul", "rock/x/b.wav": "Björk", "rock/c.wav": None}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,genre\nrock/a.wav,rock\n", "no column artist; it needs file,genre,artist"),
        ("path,name\n", "no column artist, file"),
        ("file;genre;artist\nrock/a.wav;rock;X\n", "no column artist, file"),
        ("", "no column artist, file"),
    ],
)
def test_artists_csv_without_its_columns(tmp_path, content, message):
    touch(tmp_path, "rock/a.wav")
    (tmp_path / "artists.csv").write_text(content)
    with pytest.raises(SourceError, match=message) as caught:
        Folder(str(tmp_path)).tracks()
    assert str(caught.value).startswith(str(tmp_path / "artists.csv"))


def test_artists_csv_in_another_encoding(tmp_path):
    touch(tmp_path, "rock/a.wav")
    (tmp_path / "artists.csv").write_bytes("file,genre,artist\nrock/a.wav,rock,Björk\n".encode("latin-1"))
    with pytest.raises(SourceError, match=r"artists.csv: .*UTF-8"):
        Folder(str(tmp_path)).tracks()


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3", "wav"])
def test_artists_from_tags_fill_what_the_table_lacks(tmp_path, suffix):
    name = "Björk" if suffix in ("flac", "ogg") else "Queen"  # libsndfile writes no other letters into the others
    write(tmp_path / f"rock/tagged.{suffix}", 1, artist=name)
    write(tmp_path / f"rock/both.{suffix}", 2, artist="From Tag")
    write(tmp_path / f"rock/none.{suffix}", 3)
    (tmp_path / "artists.csv").write_text(f"file,genre,artist\nrock/both.{suffix},rock,From Table\n")
    tracks = collect(Folder(str(tmp_path)), 8000, cache_dir=str(tmp_path / "stores")).tracks
    artists = {track.id: track.artist for track in tracks}
    assert artists == {
        f"rock/tagged.{suffix}": name,
        f"rock/both.{suffix}": "From Table",
        f"rock/none.{suffix}": None,
    }


def test_nothing_is_written_to_the_collection(music, tmp_path):
    copy = tmp_path / "music"
    shutil.copytree(music, copy)
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    source = Folder(str(copy))
    source.prepare()
    assert source.tracks()
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


def test_emotify(shared_data):
    source = Folder(str(shared_data / "emotify"))
    assert source.genres == ("classical", "electronic", "pop", "rock")
    assert all(track.artist for track in source.tracks())
