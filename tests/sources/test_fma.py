"""FMA: a small tree true to its format, and one of 8000 tracks by name."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from musicgen_cls.audio.synth import render
from musicgen_cls.collection import collect
from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.errors import SourceError
from musicgen_cls.sources.fma import FMA

COLUMNS = [
    *(("album", "id"), ("album", "title"), ("artist", "id"), ("artist", "name"), ("set", "split"), ("set", "subset")),
    *(("track", "bit_rate"), ("track", "duration"), ("track", "genre_top"), ("track", "genres"), ("track", "title")),
]


def metadata(root: Path, rows: list[dict]) -> Path:
    """`tracks.csv` as it is: two rows of headings, a third that names the index, titles of several lines."""
    table = pd.DataFrame([{("album", "title"): "a\nb", ("track", "title"): 'of "x", y', **row} for row in rows])
    table = table.reindex(columns=["id", *COLUMNS]).set_index("id").rename_axis("track_id")
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    path = root / "fma_metadata" / "tracks.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path)
    assert path.read_text().splitlines()[2].startswith("track_id,,,")
    return path


def row(number: int, genre: str | None, artist: int, split: str = "training", subset: str = "small") -> dict:
    return {
        "id": number,
        ("track", "genre_top"): genre,
        ("artist", "id"): artist,
        ("set", "split"): split,
        ("set", "subset"): subset,
    }


def song(root: Path, number: int, genre: str = "blues", seconds: float = 3.0, subset: str = "small") -> Path:
    path = root / f"fma_{subset}" / f"{number:06d}"[:3] / f"{number:06d}.mp3"
    path.parent.mkdir(parents=True, exist_ok=True)
    waveform = np.stack([render(genre, number, seconds=seconds, sample_rate=44100)] * 2, axis=1)
    soundfile.write(path, waveform, 44100, format="MP3")
    return path


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """Two genres of six mp3s, two on each side, by three artists each; one more of medium, one without genre."""
    root = tmp_path_factory.mktemp("fma")
    rows, number = [], 2
    for genre, like in (("Hip-Hop", "blues"), ("Rock", "metal")):
        for side, split in enumerate(("training", "validation", "test")):
            for _ in range(2):
                rows.append(row(number, genre, 10 * side + len(genre), split))
                song(root, number, like)
                number += 997
    metadata(root, [*rows, row(20000, "Jazz", 5, subset="medium"), row(20001, None, 6), row(20002, "Rock", 7)])
    return root


def test_making_one_touches_nothing(tmp_path):
    source = FMA(str(tmp_path / "missing"), download=True)
    assert (source.name, source.location) == ("fma_small", tmp_path / "missing")


def test_tracks(tree):
    source = FMA(str(tree))
    tracks = source.tracks()
    assert source.genres == ("Hip-Hop", "Rock")
    assert [track.id for track in tracks] == [f"{2 + 997 * i:06d}" for i in range(12)]
    assert tracks[2].path == tree / "fma_small" / "001" / "001996.mp3"
    assert Counter(track.genre for track in tracks) == {"Hip-Hop": 6, "Rock": 6}
    assert len({track.artist for track in tracks}) == 6
    assert [str(problem) for problem in source.problems()] == [
        f"{tree}/fma_small/020/020002.mp3: in tracks.csv, but not there"
    ]


def test_a_subset_holds_the_smaller_ones(tree):
    assert [t.id for t in FMA(str(tree), "medium").described() if t.genre == "Jazz"] == ["020000"]
    assert FMA(str(tree), "medium").genres == ("Hip-Hop", "Jazz", "Rock")


def test_the_official_split_through_the_datamodule(tree):
    data = MelSlices(FMA(str(tree)), seconds=1.0, windows_per_track=2, split="official")
    data.prepare_data()
    data.setup("fit")
    artists = {
        side: {data.collection.tracks[r].artist for r in windows.track} for side, windows in data.windows.items()
    }
    assert [len(names) for names in artists.values()] == [2, 2, 2]
    assert len(set.union(*artists.values())) == 6
    assert {side: len(windows) for side, windows in data.windows.items()} == {"train": 8, "validation": 8, "test": 8}


def test_a_file_known_to_be_short_is_named_with_what_is_known(tmp_path):
    metadata(tmp_path, [row(2, "Rock", 1), row(1486, "Rock", 2), row(99134, "Folk", 3)])
    song(tmp_path, 2)
    song(tmp_path, 1486, seconds=0.5)
    soundfile.write(song(tmp_path, 99134), np.zeros((44100, 2)), 44100, format="MP3")
    source = FMA(str(tmp_path))
    assert source.notes()["001486"] == "shorter than 30 s: 14.4 s"
    assert len(source.notes()) == 21
    problems = [str(problem) for problem in collect(source, 22050, min_seconds=1.0).problems]
    assert any("001486.mp3: too short" in problem for problem in problems)
    assert any("099134.mp3" in problem and "(known: no audio)" in problem for problem in problems)


def test_8000_tracks_by_name(tmp_path):
    genres = [f"genre {i}" for i in range(8)]
    sides = ["training"] * 8 + ["validation", "test"]
    metadata(tmp_path, [row(3 * n, genres[n % 8], n // 40, sides[n // 40 % 10]) for n in range(1, 8001)])
    for n in range(1, 8001):
        path = tmp_path / "fma_small" / f"{3 * n:06d}"[:3] / f"{3 * n:06d}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    source = FMA(str(tmp_path))
    assert (len(source.tracks()), len(source.genres), source.problems()) == (8000, 8, [])
    assert Counter(source.official_split("official").values()) == {"train": 6400, "validation": 800, "test": 800}
    assert source.official_split("fault_filtered") is None


def test_not_there(tmp_path):
    with pytest.raises(
        SourceError, match=r"tracks\.csv does not exist; point --data.source.root at a copy, let it down"
    ):
        FMA(str(tmp_path)).tracks()
    metadata(tmp_path, [row(2, "Rock", 1)])
    with pytest.raises(
        SourceError, match=r"fma_small does not exist, the folder of FMA small: looked for 000/000002\.mp3"
    ):
        FMA(str(tmp_path)).tracks()
    (tmp_path / "fma_small").mkdir()
    with pytest.raises(SourceError, match="fma_small holds no track of FMA small"):
        FMA(str(tmp_path)).tracks()
    with pytest.raises(SourceError, match="subset 'tiny' of FMA is unknown: small, medium, large"):
        FMA(str(tmp_path), "tiny")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "track_id,genre\n2,Rock\n",
            "no column 'set split' under its two rows of headings: not the version of May 2017",
        ),
        ("", "not a table that can be read"),
        (",a,a\n,b,c\n1,2\n3,4,5,6,7,8\n", "not a table that can be read|no column 'set split'"),
    ],
)
def test_metadata_of_another_version(tmp_path, text, said):
    path = metadata(tmp_path, [row(2, "Rock", 1)])
    path.write_text(text)
    with pytest.raises(SourceError, match=rf"tracks\.csv: ({said})"):
        FMA(str(tmp_path)).tracks()


def test_sides_of_another_name(tmp_path):
    metadata(tmp_path, [row(2, "Rock", 1, split="train")])
    with pytest.raises(SourceError, match=r"splits \['train'\], not \['test', 'training', 'validation'\]"):
        FMA(str(tmp_path)).tracks()


def test_download_that_fails_tells_the_ways_on(tmp_path, monkeypatch):
    asked = []

    def fetch(name, addresses, folder):
        asked.append((name, addresses, folder))
        if name != "FMA metadata":
            raise SourceError(f"{name} could not be downloaded")

    monkeypatch.setattr("musicgen_cls.sources.fma.fetch", fetch)
    with pytest.raises(
        SourceError, match=r"FMA small could not be downloaded; point --data\.source\.root at a copy, get it"
    ):
        FMA(str(tmp_path), download=True).prepare()
    (name, [(url, checksum)], folder), _ = asked
    assert (name, folder) == ("FMA metadata", tmp_path)
    assert url.endswith("/fma_metadata.zip")
    assert checksum.startswith("sha1:")
    FMA(str(tmp_path)).prepare()
    assert len(asked) == 2
