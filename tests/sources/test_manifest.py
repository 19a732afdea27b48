import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicgen_cls.collection.collection import collect, write_tables
from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.errors import MusicClsError, SourceError, UsageError
from musicgen_cls.sources import Folder, Manifest, Track
from musicgen_cls.sources.splits import assign, spellings

COLUMNS = ("path", "genre", "id", "artist", "seconds", "group", "split")
ROWS = [
    ("rock/1.mp3", "Rock", "one", "Ann", 12.5, None, "train"),
    ("/music/2.mp3", "Jazz", "two", None, None, "live", "Test"),
    ("rock/3.mp3", "Rock", "three", "=Bob", 3.0, "live", None),
    ("ü/4.mp3", "Jazz", "four", "Ann", 4.0, None, "dev"),
]


def write(path: Path, rows=ROWS, columns=COLUMNS) -> Path:
    """A manifest in the format of its suffix."""
    if path.suffix == ".parquet":
        pq.write_table(pa.table({name: [row[i] for row in rows] for i, name in enumerate(columns)}), path)
    else:
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            csv.writer(file).writerows([columns, *([None if c == "" else c for c in row] for row in rows)])
    return path


@pytest.fixture(params=[".parquet", ".csv"])
def suffix(request):
    return request.param


def test_a_row_is_a_track(tmp_path, suffix):
    source = Manifest(str(write(tmp_path / f"List{suffix}")))
    assert list(source.tracks()) == [
        Track("one", tmp_path / "rock/1.mp3", "Rock", "Ann", 12.5, None),
        Track("two", Path("/music/2.mp3"), "Jazz", None, None, "live"),
        Track("three", tmp_path / "rock/3.mp3", "Rock", "=Bob", 3.0, "live"),
        Track("four", tmp_path / "ü/4.mp3", "Jazz", "Ann", 4.0, None),
    ]
    assert source.genres == ("Jazz", "Rock")
    assert source.location == tmp_path
    assert source.name == tmp_path.name.lower()
    assert source.official_split("official") == {"one": "train", "two": "test", "four": "validation"}
    assert source.official_split("fault_filtered") is None


def test_only_path_and_genre_are_needed(tmp_path, suffix):
    rows = [(row[0], 7, row[1]) for row in ROWS]
    source = Manifest(str(write(tmp_path / f"list{suffix}", rows, ("path", "bpm", "genre"))))
    assert source.tracks()[1] == Track("/music/2.mp3", Path("/music/2.mp3"), "Jazz")
    assert source.official_split("official") is None


@pytest.mark.parametrize("name", ["می\u200cخواهم", "👨\u200d🎤", "co\u00adop", "\U0001fae9"])
def test_names_with_joiners(name, tmp_path, suffix):
    """As in Persian, in emoji, and with soft hyphens."""
    source = Manifest(str(write(tmp_path / f"list{suffix}", [(f"{name}.mp3", name)], ("path", "genre"))))
    assert source.tracks()[0] == Track(f"{name}.mp3", tmp_path / f"{name}.mp3", name)


def test_tracks_are_a_sequence(tmp_path):
    tracks = Manifest(str(write(tmp_path / "list.parquet"))).tracks()
    listed = list(tracks)
    assert len(tracks) == 4
    assert tracks[-1] == listed[-1]
    assert tracks[1:3] == listed[1:3]
    assert tracks[::-2] == listed[::-2]
    with pytest.raises(IndexError):
        tracks[4]


def test_a_division_is_that_of_a_list(tmp_path):
    rows = [(f"{n}.mp3", f"g{n % 3}", f"Band {n % 40}", f"r{n // 2}" if n % 5 else None) for n in range(200)]
    source = Manifest(str(write(tmp_path / "list.parquet", rows, ("path", "genre", "artist", "group"))))
    for split in ("track", "artist"):
        for fold in (None, "2 of 5"):
            rule = split, (0.7, 0.15, 0.15), fold, 1
            assert assign(source, source.tracks(), *rule) == assign(source, list(source.tracks()), *rule)
    assert spellings(source.tracks()) is None


def test_the_table_of_a_store_is_a_manifest(music, tmp_path, monkeypatch):
    """Also if the collection was named by a relative path."""
    monkeypatch.chdir(music.parent)
    collection = collect(Folder(music.name), 8000, cache_dir=str(tmp_path))
    source = Manifest(str(write_tables(collection)[0]))
    again = collect(source, 8000, cache_dir=str(tmp_path))
    assert again.digests == collection.digests
    assert [track.artist for track in again.tracks] == [track.artist for track in collection.tracks]
    assert [track.id for track in again.tracks] == [track.id for track in collection.tracks]
    assert again.whole.tolist() == collection.whole.tolist()


def test_a_split_of_the_manifest_divides_and_its_leaks_are_named(music, tmp_path):
    sides = ("train", "train", "train", "train", "valid", "test")
    files = sorted(music.rglob("*.wav"))
    rows = [(str(file), file.parent.name, "X", sides[n % 6]) for n, file in enumerate(files)]
    path = write(tmp_path / "list.csv", rows, ("path", "genre", "artist", "split"))
    data = MelSlices(Manifest(str(path)), seconds=0.5, sample_rate=8000, split="official", cache_dir=str(tmp_path))
    data.prepare_data()
    data.setup("test")
    assert data.leaks
    assert "artists have tracks on more than one side: X" in data.known_leaks[0]
    found = {int(row) for row in data.windows["test"].track}
    assert {data.collection.tracks[row].path for row in found} == {f for n, f in enumerate(files) if n % 6 == 5}


def test_a_missing_file_is_named_in_the_report(music, tmp_path):
    rows = [(str(next(music.rglob("*.wav"))), "a"), ("gone.wav", "b")]
    collection = collect(Manifest(str(write(tmp_path / "list.csv", rows, ("path", "genre")))), 8000)
    assert [problem.path for problem in collection.problems] == [tmp_path / "gone.wav"]


# Bad input

GENRE = ("path", "genre")


@pytest.mark.parametrize(
    ("rows", "columns", "reason"),
    [
        ([("a", "b")], ("path", "label"), "no column genre; it needs the columns path and genre"),
        ([("a", "b")], ("file", "label"), "no column path, genre; it needs"),
        ([], GENRE, "no rows; it needs"),
        ([("a", "x"), (None, "x")], GENRE, "row 2: no path; fill it in, or delete the row"),
        ([("a", "x"), ("b", " ")], GENRE, "row 2: no genre; fill it in"),
        ([("a", "x", "1"), ("b", "x", None)], ("path", "genre", "id"), "row 2: no id; fill"),
        ([("a", "x"), ("b", "x"), ("c", "x"), ("b", "x")], GENRE, "row 4: path 'b' is in row 2 too; delete one"),
        ([("a", "x", "1"), ("b", "x", "1")], ("path", "genre", "id"), "row 2: id '1' is in row 1 too"),
        ([("a", "x"), ("b", "../x")], GENRE, "row 2: genre '../x' is a path; write the name of a genre"),
        ([("a", "/x")], GENRE, "row 1: genre '/x' is a path"),
        ([("a", "C:\\x")], GENRE, "row 1: genre 'C:\\x' is a path"),
        ([("a", "x\ny")], GENRE, "row 1: genre 'x y' has unprintable characters; change it"),
        ([("a\0b", "x")], GENRE, r"row 1: path 'a\x00b' has unprintable characters"),
        (
            [("a", "Hip-Hop"), ("b", "hip hop")],
            GENRE,
            "row 2: the genre 'hip hop' is 'Hip-Hop' above; use one spelling",
        ),
        (
            [("a", "x", "train"), ("b", "x", "tset")],
            ("path", "genre", "split"),
            "row 2: the split 'tset' is not one of",
        ),
        ([("a", "x", "2:30")], ("path", "genre", "seconds"), "the column seconds is not numbers"),
        ([("a", "x", 2.0), ("b", "x", -1.0)], ("path", "genre", "seconds"), "row 2: seconds '-1.0' is not a length"),
        ([("a", "x", "nan")], ("path", "genre", "seconds"), "row 1: seconds 'nan' is not a length"),
    ],
)
def test_bad_rows(rows, columns, reason, tmp_path, suffix):
    path = write(tmp_path / f"list{suffix}", rows, columns)
    with pytest.raises(SourceError) as caught:
        _ = Manifest(str(path)).genres
    assert reason in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_genres_with_a_slash_are_genres(tmp_path, suffix):
    path = write(tmp_path / f"list{suffix}", [("a", "R&B/Soul"), ("b", "Old-Time / Historic")], GENRE)
    assert Manifest(str(path)).genres == ("Old-Time / Historic", "R&B/Soul")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"path,genre\n", "not a .parquet or .csv file"),
        ("a.parquet", b"", "not readable as Parquet"),
        ("a.parquet", b"path,genre\na,b\n", "not readable as Parquet"),
        ("a.csv", b"", "not readable as CSV in UTF-8"),
        ("a.csv", b"path,genre\na\n", "not readable as CSV in UTF-8"),
        ("a.csv", b"path,genre\na,\xff\n", "not readable as CSV in UTF-8"),
        ("a.csv", b"path;genre\na;b\n", "no column path, genre; it needs the columns path and genre; id, artist"),
        ("a.csv", b"path;genre\na;b\n", "separated by semicolons, save it with commas"),
        ("a.csv", b"path,genre,path\na,b,c\n", "the column path is there twice; remove one"),
    ],
)
def test_files_that_are_no_manifest(name, content, reason, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError) as caught:
        Manifest(str(tmp_path / name)).tracks()
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_columns_of_other_types(tmp_path):
    table = pa.table({"path": ["a"], "genre": [["x"]]})
    pq.write_table(table, tmp_path / "list.parquet")
    with pytest.raises(SourceError, match="the column genre is not text"):
        Manifest(str(tmp_path / "list.parquet")).tracks()


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(SourceError, match=r"--data.source.path .*gone.csv: no such file; name a manifest"):
        Manifest(str(tmp_path / "gone.csv")).tracks()
    (tmp_path / "dir.csv").mkdir()
    with pytest.raises(UsageError, match=r"dir.csv: a folder, not a file"):
        Manifest(str(tmp_path / "dir.csv")).tracks()


def test_pyarrow_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MusicClsError, match=r"pip install 'musicgen_cls\[manifest\]'"):
        Manifest(str(write(tmp_path / "list.csv"))).tracks()
