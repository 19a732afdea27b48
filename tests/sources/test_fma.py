"""FMA: a small tree true to its format, and one of 8000 tracks by name."""

import hashlib
import shutil
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from PIL import Image

import musicgen_cls
from musicgen_cls.collection.collection import collect
from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.datamodules.spectrograms import Spectrograms
from musicgen_cls.errors import SourceError, SplitError
from musicgen_cls.sources import fma
from musicgen_cls.sources.base import Track
from musicgen_cls.sources.fma import FMA, SMALL
from musicgen_cls.sources.splits import assign
from musicgen_cls.synth.render import render

SIDES = ("training", "validation", "test")

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
        f"{tree}/fma_small/020/020002.mp3: in tracks.csv, but the file is missing"
    ]


def test_a_subset_holds_the_smaller_ones(tree):
    assert [t.id for t in FMA(str(tree), "medium").all_tracks() if t.genre == "Jazz"] == ["020000"]
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
    with pytest.raises(SourceError, match=r"tracks\.csv: no such file; set --data.source.root to a copy, set"):
        FMA(str(tmp_path)).tracks()
    metadata(tmp_path, [row(2, "Rock", 1)])
    with pytest.raises(SourceError, match=r"fma_small: no such folder \(expected files like 000/000002\.mp3"):
        FMA(str(tmp_path)).tracks()
    (tmp_path / "fma_small").mkdir()
    with pytest.raises(SourceError, match="fma_small: no track of FMA small in it"):
        FMA(str(tmp_path)).tracks()
    with pytest.raises(SourceError, match="subset 'tiny': FMA has small, medium, large"):
        FMA(str(tmp_path), "tiny")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "track_id,genre\n2,Rock\n",
            "no column 'set split' in its two header rows: not the version of May 2017",
        ),
        ("", "not a readable table"),
        (",a,a\n,b,c\n1,2\n3,4,5,6,7,8\n", "not a readable table|no column 'set split'"),
    ],
)
def test_metadata_of_another_version(tmp_path, text, said):
    path = metadata(tmp_path, [row(2, "Rock", 1)])
    path.write_text(text)
    with pytest.raises(SourceError, match=rf"tracks\.csv: ({said})"):
        FMA(str(tmp_path)).tracks()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("\n2,", "\nabc,"), r"track_id 'abc' is not a number: not the version of May 2017"),
        (
            lambda text: text.replace(",small,", ",medium,"),
            "no track of the subset 'small' has a genre; name another",
        ),
        (lambda text: text.replace("\n3,", "\n2,"), "track_id 2 twice: not the version of May 2017"),
        (lambda text: text.replace("Rock", " "), "no track of the subset 'small' has a genre"),
        (lambda text: text[: len(text) // 2], "incomplete, it ends in the middle of a line|not a readable table"),
    ],
)
def test_damaged_metadata(tmp_path, change, said):
    path = metadata(tmp_path, [row(n, "Rock", n) for n in range(2, 9)])
    path.write_text(change(path.read_text()))
    with pytest.raises(SourceError, match=rf"tracks\.csv: ({said}).*set --data\.source\.root to a copy"):
        MelSlices(FMA(str(tmp_path)))


def test_an_artist_on_two_sides_is_not_the_official_split(tmp_path):
    rows = [row(n, genre, n, SIDES[n % 3]) for n, genre in enumerate(["Pop"] * 3 + ["Rock"] * 3)]
    tracks = [Track(f"{n:06d}", tmp_path, r["track", "genre_top"], str(n)) for n, r in enumerate(rows)]
    metadata(tmp_path, rows)

    def divide(tracks):
        return assign(FMA(str(tmp_path)), tracks, "official", (0.8, 0.1, 0.1), None, 0)

    assert divide(tracks) == ["train", "validation", "test"] * 2
    assert divide([replace(track, artist=None) for track in tracks]) == ["train", "validation", "test"] * 2
    with pytest.raises(
        SplitError, match=r"puts artist '7' on 3 sides; choose another split, such as --data\.split artist"
    ):
        divide([replace(track, artist="7") for track in tracks])


def test_unknown_artists_are_none(tmp_path):
    metadata(tmp_path, [row(2, "Rock", None), row(3, "Pop", 7)])
    assert [track.artist is None for track in FMA(str(tmp_path)).all_tracks()] == [True, False]


@pytest.mark.parametrize("suffix", [".npy", ".png"])
def test_spectrograms_of_either_kind(tmp_path, suffix):
    rows = [row(n, genre, n, split) for n, (genre, split) in enumerate(product(("Pop", "Rock"), SIDES))]
    metadata(tmp_path, rows)
    folder = tmp_path / "fma_small" / "000"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for n in range(len(rows)):
        if suffix == ".npy":
            np.save(folder / f"{n:06d}.npy", rng.normal(size=(16, 40)))
        else:
            Image.fromarray(rng.integers(0, 255, (16, 40), dtype=np.uint8)).save(folder / f"{n:06d}.png")
    data = Spectrograms(FMA(str(tmp_path)), n_mels=16, frames=16, split="official")
    data.setup("fit")
    assert len(data.collection.tracks) == 6
    assert data.collection.problems == []


def test_the_config_divides_by_tracks_as_the_study_did():
    config = yaml.safe_load((Path(musicgen_cls.__file__).parent / "configs" / "temporal_pooling_fma.yaml").read_text())
    data = config["data"]["init_args"]
    assert (data["split"], data["fractions"]) == ("official", [0.7, 0.2, 0.1])


def zipped(root: Path, name: str) -> bytes:
    archive = shutil.make_archive(str(root / f"as_{name}"), "zip", root, name)
    return Path(archive).read_bytes()


def test_a_fresh_machine_downloads_through_the_datamodule(site, tmp_path, monkeypatch):
    """The genres are known before the metadata is there; the metadata then agrees."""
    there, here = tmp_path / "there", tmp_path / "here"
    rng, rows = np.random.default_rng(0), []
    for n, (genre, split) in enumerate(product(SMALL, SIDES)):
        rows.append(row(n, genre, n, split))
        path = there / "fma_small" / "000" / f"{n:06d}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.normal(0, 0.1, 12000), 8000, format="MP3")
    metadata(there, rows)
    for name in ("metadata", "small"):
        site.files[f"/fma_{name}.zip"] = zipped(there, f"fma_{name}")
        sums = "sha1:" + hashlib.sha1(site.files[f"/fma_{name}.zip"]).hexdigest()
        monkeypatch.setitem(fma.SUMS, name, sums)
    monkeypatch.setattr(fma, "ADDRESS", site.url + "/fma_{name}.zip")
    data = MelSlices(FMA(str(here), download=True), seconds=1.0, sample_rate=8000, n_fft=256, split="official")
    assert data.genres == list(SMALL)
    assert not here.exists()
    data.prepare_data()
    data.setup("fit")
    assert len(data.collection.tracks) == 24
    assert data.source.genres == SMALL
    assert (len(SMALL), len(FMA(str(here / "else"), "medium", download=True).genres)) == (8, 16)


def test_sides_of_another_name(tmp_path):
    metadata(tmp_path, [row(2, "Rock", 1, split="train")])
    with pytest.raises(SourceError, match=r"splits \['train'\], not \['test', 'training', 'validation'\]"):
        FMA(str(tmp_path)).tracks()


def test_a_failed_download_names_the_remedies(tmp_path, monkeypatch):
    asked = []

    def fetch(name, addresses, folder):
        asked.append((name, addresses, folder))
        if name != "FMA metadata":
            raise SourceError(f"{name} could not be downloaded")

    monkeypatch.setattr("musicgen_cls.sources.fma.fetch", fetch)
    with pytest.raises(
        SourceError, match=r"FMA small could not be downloaded; set --data\.source\.root to a copy, download it"
    ):
        FMA(str(tmp_path), download=True).prepare()
    (name, [(url, checksum)], folder), _ = asked
    assert (name, folder) == ("FMA metadata", tmp_path)
    assert url.endswith("/fma_metadata.zip")
    assert checksum.startswith("sha1:")
    FMA(str(tmp_path)).prepare()
    assert len(asked) == 2


def test_genres_are_those_at_the_top_of_the_published_table(shared_data: Path):
    table = pd.read_csv(shared_data / "splits" / "fma_genres.csv")
    assert sorted(table.title[table.parent == 0]) == list(fma.GENRES)
