import os
import shutil
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from musicgen_cls.collection.collection import collect, write_tables
from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.errors import SourceError
from musicgen_cls.sources.base import AUDIO_SUFFIXES
from musicgen_cls.sources.folder import Folder


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
    assert [track.id for track in source.with_suffixes((".npy",)).tracks()] == ["rock/b.npy"]
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
        tmp_path, "rock/a.wav", "rock/cover.jpg", "rock/x/notes", "lists/a.m3u", "artists.txt", "top.wav", "rock/b.m4p"
    )
    source = Folder(str(tmp_path))
    assert {problem.path.name: problem.reason for problem in source.problems()} == {
        **dict.fromkeys(("notes", "a.m3u"), "not audio, by its suffix"),  # a picture is nobody's mistake
        "b.m4p": "m4p is copy-protected and cannot be decoded; use a copy without protection",
        "top.wav": "not in the sub-folder of a genre",
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
        ("file,genre\nrock/a.wav,rock\n", "no column artist; it needs the columns file,genre,artist"),
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


# Names


def composed_and_decomposed(name: str) -> tuple[str, str]:
    return unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)


def test_one_genre_composed_and_decomposed(tmp_path):
    composed, decomposed = composed_and_decomposed("Café")
    touch(tmp_path, f"{composed}/a.wav", f"{decomposed}/b.wav")
    source = Folder(str(tmp_path))
    assert source.genres == (composed,)
    assert {track.id for track in source.tracks()} == {f"{composed}/a.wav", f"{decomposed}/b.wav"}


def test_files_in_artists_csv_are_found_by_the_rule_for_names(tmp_path):
    composed, decomposed = composed_and_decomposed("Été")
    touch(tmp_path, f"rock/{decomposed}.wav", "rock/Live 1.wav", "rock/x.wav", "rock/X.wav")
    rows = [f"rock/{composed}.wav,A", "Rock/live-1.WAV,B", "rock\\X.wav,C", "rock/gone.wav,D"]
    (tmp_path / "artists.csv").write_text("\n".join(["file,artist", *rows]) + "\n", encoding="utf-8")
    source = Folder(str(tmp_path))
    artists = {track.id: track.artist for track in source.tracks()}
    assert artists == {f"rock/{decomposed}.wav": "A", "rock/Live 1.wav": "B", "rock/X.wav": "C", "rock/x.wav": None}
    assert [problem.path.name for problem in source.problems()] == ["gone.wav"]
    with (tmp_path / "artists.csv").open("a", encoding="utf-8") as file:
        file.write("rock/x.WAV,E\n")
    with pytest.raises(SourceError, match=r"artists\.csv line 6: 'rock/x\.WAV' can be 'rock/X\.wav' or 'rock/x\.wav'"):
        Folder(str(tmp_path)).tracks()


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text there")
def test_a_name_that_is_not_utf8_can_be_printed(tmp_path):
    (tmp_path / "rock").mkdir()
    path = Path(os.fsdecode(os.fsencode(tmp_path / "rock") + b"/caf\xe9.wav"))
    write(tmp_path / "rock" / "a.wav", 1)  # soundfile takes no such name to write to
    (tmp_path / "rock" / "a.wav").rename(path)
    write(tmp_path / "rock" / "b.wav", 2)
    track = Folder(str(tmp_path)).tracks()[1]
    assert track.id == "rock/caf\\xe9.wav"
    assert track.path == path
    found = collect(Folder(str(tmp_path)), 8000)
    assert len(found.tracks) == 2
    tables = write_tables(found)
    assert "caf\\xe9.wav" in tables[0].read_text(encoding="utf-8-sig")


# Parts of tracks


def test_clips_of_a_track_are_one_track(tmp_path):
    for genre in ("blues", "jazz"):
        for number in range(6):
            write(tmp_path / genre / f"{genre}.{number // 3:05d}.{number % 3}.wav", ord(genre[0]) + number)
    for number in (5, 6):
        write(tmp_path / "jazz" / f"Symphony No.{number}.wav", number)
    found = collect(Folder(str(tmp_path)), 8000)
    assert found.whole_tracks == 6
    groups = Counter(track.group for track in found.tracks)
    songs = ("blues/blues.00000", "blues/blues.00001", "jazz/jazz.00000", "jazz/jazz.00001")
    assert groups == {**dict.fromkeys(songs, 3), None: 2}
    names = [found.name(row) for row in range(len(found.tracks))]
    assert names[:4] == ["blues/blues.00000"] * 3 + ["blues/blues.00001"]
    assert set(names) >= {"jazz/Symphony No.5.wav", "jazz/Symphony No.6.wav"}
    assert found.before[:4].tolist() == [0, 8000, 16000, 0]
    assert found.grouped == ["12 clips are parts of 4 tracks by their names, as blues.00000.0.wav"]


def test_a_whole_beside_its_clips_is_in_their_group(tmp_path):
    for number in range(3):
        write(tmp_path / "jazz" / f"song.{number}.wav", number)
    write(tmp_path / "jazz" / "song.wav", 9)
    found = collect(Folder(str(tmp_path)), 8000)
    assert {track.group for track in found.tracks} == {"jazz/song"}


def test_clips_count_as_one_track_in_a_test(tmp_path):
    for genre in ("blues", "jazz"):
        for number in range(18):
            write(tmp_path / genre / f"{genre}.{number // 3:05d}.{number % 3}.wav", 100 * ord(genre[0]) + number)
    data = MelSlices(Folder(str(tmp_path)), sample_rate=8000, seconds=0.5, n_fft=256, n_mels=16)
    data.prepare_data()
    data.setup("fit")
    batches = list(data.test_dataloader())
    tracks = torch.cat([batch["track"] for batch in batches])
    starts = torch.cat([batch["start_s"] for batch in batches])
    assert len(set(tracks.tolist())) == 2
    assert starts[tracks == tracks[0]].tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert data.grouped(data.collection) == [
        "36 clips are parts of 12 tracks by their names, as blues.00000.0.wav; they stay on one side"
    ]
