"""GTZAN: the layouts it finds, and the tables of the package, held against the lists they were made from."""

import csv
import os
import re
from collections import Counter, defaultdict
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_cls.errors import SourceError
from musicgen_cls.sources.gtzan import GENRES, GTZAN, _column

ALL_IDS = {f"{genre}.{n:05d}" for genre in GENRES for n in range(100)}
SHARED = Path(os.environ.get("MUSICLI_SHARED_DATA") or Path(__file__).parents[3] / "shared/data")


def shared(path: str) -> Path:
    """A file of the shared development data; skips the test where it is absent."""
    if not (SHARED / path).exists():
        pytest.skip(f"no {path} in the shared data folder (MUSICLI_SHARED_DATA)")
    return SHARED / path


def write(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".au":
            soundfile.write(path, np.zeros(2205), 22050, format="AU", subtype="PCM_16")
        else:
            soundfile.write(path, np.zeros(2205), 22050)


def groups() -> dict[str, list[str]]:
    """Ids of each group of duplicates."""
    members = defaultdict(list)
    for track, group in _column("duplicates", "group").items():
        members[group].append(track)
    return members


# Files and folders


def test_making_one_touches_nothing(tmp_path):
    source = GTZAN(str(tmp_path / "missing"), download=True)
    assert source.genres == GENRES == tuple(sorted(GENRES))
    assert source.name == "gtzan"
    assert source.location == tmp_path / "missing"
    assert not source.location.exists()


def test_music_that_is_no_track_is_named(tmp_path):
    blues = tmp_path / "genres" / "blues"
    write(blues / "blues.00000.wav", blues / "blues.00000.au", blues / "song.wav", blues / "._blues.00001.wav")
    for name in ("blues.00002.m4p", "notes.txt", "blues.00000.mp4"):
        (blues / name).touch()
    named = {problem.path.name: problem.reason for problem in GTZAN(str(tmp_path)).problems()}
    assert named.keys() == {"song.wav", "blues.00002.m4p"}
    assert "cannot be decoded" in named["blues.00002.m4p"]


@pytest.mark.parametrize(
    "layout",
    ["", "genres", "Data/genres_original", "genres_original", "gtzan_mini-main/genres", "gtzan_mini-main"],
)
@pytest.mark.parametrize("suffix", [".wav", ".au", ".flac", ".ogg"])
def test_layouts(tmp_path, layout, suffix):
    names = ["jazz/jazz.00054", "blues/blues.00099", "blues/blues.00000"]
    write(*(tmp_path / layout / f"{name}{suffix}" for name in names))
    tracks = GTZAN(str(tmp_path)).tracks()
    assert [track.id for track in tracks] == ["blues.00000", "blues.00099", "jazz.00054"]
    assert [track.genre for track in tracks] == ["blues", "blues", "jazz"]
    assert tracks[0].path == tmp_path / layout / f"blues/blues.00000{suffix}"


def test_foreign_files_are_passed_by(tmp_path):
    folder = tmp_path / "genres/metal"
    write(folder / "metal.00000.WAV")
    for name in ("._metal.00001.wav", "metal.00002.mf", "metal.1.wav", "rock.00000.wav", "metal.00003.part.wav"):
        (folder / name).touch()
    assert [track.id for track in GTZAN(str(tmp_path)).tracks()] == ["metal.00000"]


def test_two_formats_of_one_track_are_one_track(tmp_path):
    write(tmp_path / "pop/pop.00000.flac", tmp_path / "pop/pop.00000.wav")
    (track,) = GTZAN(str(tmp_path)).tracks()
    assert track.path.suffix == ".wav"


def test_tracks_know_artist_and_group(tmp_path):
    write(*(tmp_path / f"{i.split('.')[0]}/{i}.wav" for i in ("metal.00058", "rock.00016", "jazz.00054")))
    unknown, metal, rock = GTZAN(str(tmp_path)).tracks()
    assert metal.artist == rock.artist == "Queen"
    assert metal.group == rock.group == "metal.00058"
    assert unknown.artist is None
    assert unknown.group is None


@pytest.mark.parametrize("present", [True, False])
def test_absence_is_one_line_with_three_remedies(tmp_path, present):
    root = tmp_path if present else tmp_path / "missing"
    with pytest.raises(SourceError) as caught:
        GTZAN(str(root)).tracks()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{root}: {'no GTZAN in it' if present else 'no such folder'}")
    for part in (
        "genres_original",
        "--data.source.root",
        "--data.source.download true",
        "https://huggingface.co/datasets/marsyas/gtzan",
        "--data.source SyntheticGenres",
    ):
        assert part in message


def test_unknown_subset():
    with pytest.raises(SourceError, match="'tiny'"):
        GTZAN(subset="tiny")


# The tables of the package


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("fault_filtered", {"train": 443, "validation": 197, "test": 290}),
    ],
)
def test_official_splits(name, counts):
    split = GTZAN().official_split(name)
    assert Counter(split.values()) == counts
    assert split.keys() <= ALL_IDS


def test_unknown_split():
    assert GTZAN().official_split("duplicates") is None


@pytest.mark.parametrize("table", ["artists", "duplicates", "faults", "fault_filtered"])
def test_no_track_has_two_rows(table):
    text = resources.files("musicgen_cls").joinpath(f"data/gtzan/{table}.csv").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if not line.startswith("#")][1:]
    assert len(rows) == len(_column(table, "id"))
    assert _column(table, "id").keys() <= ALL_IDS


def test_duplicates_never_straddle_the_fault_filtered_sides():
    split = GTZAN().official_split("fault_filtered")
    assert len(groups()) == 57
    for group, members in groups().items():
        assert group == min(members)
        assert len(members) > 1
        assert sum(track in split for track in members) <= 1


def test_what_the_fault_filtered_split_leaves_out_is_a_duplicate_or_has_a_reason():
    left_out = ALL_IDS - GTZAN().official_split("fault_filtered").keys()
    assert left_out - _column("duplicates", "group").keys() == {"reggae.00086", "country.00052"}


def test_no_artist_is_on_two_fault_filtered_sides():
    artists = _column("artists", "artist")
    sides = defaultdict(set)
    for track, side in GTZAN().official_split("fault_filtered").items():
        if track in artists:
            sides[artists[track]].add(side)
    assert all(len(found) == 1 for found in sides.values())


def test_kinds_of_duplicates():
    kinds = _column("duplicates", "kind")
    assert Counter(kinds.values()) == {"bit-exact": 28, "recording": 96}


def test_artists():
    artists = _column("artists", "artist")
    assert len(artists) == 919
    assert len(set(artists.values())) == 242
    assert Counter(artists.values()).most_common(1) == [("Bob Marley", 35)]
    assert all(name == name.strip() for name in artists.values())


def test_notes_are_notes_that_drop_nothing(tmp_path):
    write(tmp_path / "jazz/jazz.00054.wav")
    source = GTZAN(str(tmp_path))
    assert "Kaggle" in source.notes()["jazz.00054"]
    assert source.problems() == []
    assert [track.id for track in source.tracks()] == ["jazz.00054"]


# Against the shared development data


def test_identical_feature_rows_are_the_bit_exact_duplicates():
    with shared("features/features_30_sec.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    same = defaultdict(set)
    for row in rows:
        same[tuple(value for name, value in row.items() if name not in ("filename", "label"))].add(row["filename"][:-4])
    kinds = _column("duplicates", "kind")
    expected = {frozenset(ids) for ids in same.values() if len(ids) > 1}
    found = {frozenset(track for track in ids if kinds[track] == "bit-exact") for ids in groups().values()}
    assert found - {frozenset()} == expected
    assert len(expected) == 14


@pytest.mark.parametrize(("name", "file"), [("fault_filtered", "filtered")])
@pytest.mark.parametrize(("side", "prefix"), [("train", "train"), ("validation", "valid"), ("test", "test")])
def test_splits_are_the_published_lists(name, file, side, prefix):
    published = shared(f"splits/fault_filtered_kereliuk/{prefix}_{file}.txt").read_text().split()
    split = GTZAN().official_split(name)
    assert sorted(Path(path).stem for path in published) == sorted(id for id in split if split[id] == side)


def test_artists_and_duplicates_follow_the_index():
    index = {}
    for line in shared("splits/sturm_gtzan_index.txt").read_text(encoding="ascii").splitlines():
        if not line.startswith("#"):
            file, artist, title = (part.strip() for part in line.split(":::"))
            index[file.removesuffix(".wav")] = (artist, re.sub(r"[^a-z0-9]", "", title.lower()))
    assert {track for track, (artist, _) in index.items() if artist} == _column("artists", "artist").keys()
    for members in groups().values():
        titles = sorted({index[track] for track in members})
        assert titles[0][0]
        assert all(title.startswith(titles[0][1]) and artist == titles[0][0] for artist, title in titles)


def test_opens_the_shared_tracks():
    tracks = GTZAN(str(shared("gtzan_tracks"))).tracks()
    assert len(tracks) == 103
    assert {track.genre for track in tracks} == set(GENRES)
