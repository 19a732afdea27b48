"""A split of one's own: what its rows mean, what is told of it, what is refused."""

import logging
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from musicgen_cls.audio.features import COLUMNS
from musicgen_cls.datamodules.feature_table import FeatureTable
from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.datamodules.spectrograms import Spectrograms
from musicgen_cls.errors import SourceError, SplitError, UsageError
from musicgen_cls.sources.base import SIDES, Track
from musicgen_cls.sources.folder import Folder
from musicgen_cls.sources.lists import divide


def table(path: Path, *rows: str, head: str = "file,subset") -> str:
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return str(path)


def track(name: str, artist: str | None = None, group: str | None = None) -> Track:
    return Track(name, Path("/music") / name, name.split("/")[0], artist, group=group)


TRACKS = [track("jazz/Été.wav"), track("jazz/b.wav"), track("rock/b.wav"), track("rock/c d.flac"), track("rock/e.wav")]


def sides(split: str, tracks: list[Track] = TRACKS, needed=()):
    return divide(split, tracks, [track.id for track in tracks], Path("/music"), needed)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("jazz/Été.wav", 0),
        (unicodedata.normalize("NFD", "jazz/Été.wav"), 0),
        ("Été.wav", 0),
        ("été", 0),
        ("/music/jazz/Été.wav", 0),
        ("./jazz/b.wav", 1),
        ("/music/jazz/../rock/b.wav", 2),
        ("rock/b", 2),
        ("C-D.FLAC", 3),
        ("rock/x.wav", None),
    ],
)
def test_what_a_row_means(tmp_path, name, row):
    found = sides(table(tmp_path / "l.csv", f"{name},test")).sides
    assert [n for n, side in enumerate(found) if side] == ([] if row is None else [row])


@pytest.mark.parametrize(
    ("subset", "side"),
    [("train", "train"), ("Training", "train"), ("valid", "validation"), ("val", "validation"), (" TEST ", "test")],
)
def test_subsets(tmp_path, subset, side):
    assert sides(table(tmp_path / "l.csv", f"e.wav,{subset}")).sides == [None] * 4 + [side]


def test_numbers_without_leading_zeros(tmp_path):
    tracks = [
        Track("000002", Path("/fma/000/000002.mp3"), "Rock"),
        Track("000020", Path("/fma/000/000020.mp3"), "Rock"),
    ]
    assert sides(table(tmp_path / "l.csv", "2,train", "20,test", head="id,subset"), tracks).sides == ["train", "test"]


def test_unmatched_rows_and_tracks_are_reported(tmp_path):
    found = sides(table(tmp_path / "l.csv", "jazz/b.wav,train", "x1,train", "x2,train", "x3,test", "x4,test"))
    assert found.notes == [
        "4 of 5 rows of l.csv match no track: x1, x2, x3 and 1 more",
        "4 of 5 tracks are in no row of l.csv and are left out",
    ]
    assert found.leaks == []


def test_what_leaks_is_named(tmp_path):
    tracks = [track("a/1", "Zoë", "g"), track("a/2", "ZOË"), track("a/3", group="g"), track("a/4", "Cher")]
    split = table(tmp_path / "l.csv", "1,train", "2,test", "3,validation", "4,test")
    assert sides(split, tracks).leaks == [
        "1 recordings have copies on more than one side: a/1",
        "1 artists have tracks on more than one side: Zoë",
    ]


def test_the_digest_is_of_the_content_of_the_list(tmp_path):
    first = sides(table(tmp_path / "l.csv", "jazz/b.wav,train", "e.wav,test")).digest
    again = sides(table(tmp_path / "m.csv", "e.wav,test,x", "jazz/b.wav,training,y", head="file,subset,note")).digest
    assert first == again
    assert sides(table(tmp_path / "n.csv", "jazz/b.wav,train", "e.wav,train")).digest != first


@pytest.mark.parametrize(
    ("rows", "head", "error", "said"),
    [
        ([], "file,side", SourceError, "l.csv: no column subset; it needs the columns subset, and file or id"),
        (["train"], "subset", SourceError, "l.csv: no column file, and no column id; it needs"),
        (["b.wav;train"], "file;subset", SourceError, "separated by semicolons, save it with commas"),
        (
            ["e.wav,train", "e.wav,tset"],
            "file,subset",
            SourceError,
            "l.csv line 3: the subset 'tset' is not one of train",
        ),
        ([",train"], "file,subset", SourceError, "l.csv line 2: no file and no id"),
        (
            ["e.wav,train", "rock/e.wav,test"],
            "file,subset",
            SplitError,
            "line 3: rock/e.wav is in test here and in train",
        ),
        (["b.wav,train"], "file,subset", SplitError, "line 2: 'b.wav' can be 'jazz/b.wav' or 'rock/b.wav'; write its"),
        (["e.wav,train"], "file,subset", SplitError, "l.csv: no validation tracks of /music; add rows with the subset"),
        (
            ["x.wav,train"],
            "file,subset",
            SplitError,
            "no train tracks of /music.*; 1 of 1 rows match no track, first x.wav",
        ),
    ],
)
def test_lists_that_are_not_right(tmp_path, rows, head, error, said):
    with pytest.raises(error, match=said):
        sides(table(tmp_path / "l.csv", *rows, head=head), needed=SIDES)


def test_a_list_that_is_not_there(tmp_path):
    with pytest.raises(SourceError, match=r"gone\.csv: no such file; it needs the columns subset"):
        sides(str(tmp_path / "gone.csv"))


# In datamodules


@pytest.fixture
def listed(tmp_path, music) -> str:
    """All tracks of `music` but one: two artists of each genre on one side each, one on two."""
    subsets = ("train", "train", "validation", "test", "train", "test")
    names = [
        f"{genre}/{path.name}" for genre in ("blues", "jazz", "metal") for path in sorted((music / genre).iterdir())
    ]
    rows = [f"{name},{subset}" for name, subset in zip(names, subsets * 3, strict=True)]
    return table(tmp_path / "own.csv", *rows[1:])


def make(data, stage: str = "fit"):
    data.prepare_data()
    data.setup(stage)
    return data


def test_a_list_divides_audio(music, listed, caplog):
    with caplog.at_level(logging.WARNING):
        data = make(MelSlices(Folder(str(music)), seconds=1.0, split=listed))
    found = {side: {data.collection.tracks[row].id for row in windows.track} for side, windows in data.windows.items()}
    assert {side: len(own) for side, own in found.items()} == {"train": 8, "validation": 3, "test": 6}
    assert "blues/5.wav" in found["test"]
    assert data.leaks
    assert data.split_name == "own.csv"
    assert data.known_leaks == [
        "split 'own.csv': 6 artists have tracks on more than one side: "
        "blues band 1, blues band 2, jazz band 1 and 3 more"
    ]
    assert "1 of 18 tracks are in no row of own.csv" in caplog.text
    assert "6 artists have tracks on more than one side" in caplog.text
    assert data.grouped(data.collection) == data.listed.notes


def test_a_checkpoint_is_of_one_list(music, listed, tmp_path):
    data = make(MelSlices(Folder(str(music)), seconds=1.0, split=listed))
    saved = data.state_dict()
    same = make(MelSlices(Folder(str(music)), seconds=1.0, split=listed))
    same.load_state_dict(saved)
    text = Path(listed).read_text(encoding="utf-8")
    Path(listed).write_text(text.replace("blues/3.mp3,test", "blues/3.mp3,train"), encoding="utf-8")
    changed = make(MelSlices(Folder(str(music)), seconds=1.0, split=listed))
    with pytest.raises(SplitError, match=r"own\.csv: differs from the list that the checkpoint was trained"):
        changed.load_state_dict(saved)


def test_a_list_is_read_only_where_it_is_used():
    data = MelSlices(Folder("nowhere"), split="gone.csv", genres=["a", "b"])
    assert data.hparams["split"] == "gone.csv"


def test_names_of_splits():
    with pytest.raises(UsageError, match=r"--data\.split 'trakc': not one of track, .*did you mean 'track'\?"):
        MelSlices(Folder("nowhere"), split="trakc", genres=["a", "b"])
    with pytest.raises(UsageError, match=r"split 'own\.csv' has no folds"):
        MelSlices(Folder("nowhere"), split="own.csv", fold="1 of 3", genres=["a", "b"])


def test_a_list_divides_a_table_of_features(tmp_path):
    names = [f"{genre}.{n:05d}.{part}.wav" for genre in ("a", "b") for n in range(4) for part in range(3)]
    numbers = np.random.default_rng(0).normal(size=(len(names), len(COLUMNS)))
    features = pd.DataFrame(numbers, columns=list(COLUMNS)).assign(length=66150)
    features.insert(0, "filename", names)
    features.assign(label=[name[0] for name in names]).to_csv(tmp_path / "f.csv", index=False)
    rows = [f"{g}.{n:05d}{e},{s}" for g in "ab" for n, (e, s) in enumerate(zip(
        ("", ".wav", ".2.wav", ""), ("train", "train", "valid", "test"), strict=True))]  # fmt: skip
    data = make(FeatureTable(str(tmp_path / "f.csv"), split=table(tmp_path / "l.csv", *rows)))
    assert {side: len(windows) for side, windows in data.windows.items()} == {"train": 12, "validation": 6, "test": 6}
    assert not data.leaks


def test_a_list_divides_spectrograms(tmp_path):
    for genre in ("a", "b"):
        (tmp_path / "in" / genre).mkdir(parents=True)
        for n in range(3):
            np.save(
                tmp_path / "in" / genre / f"{n}.npy",
                np.random.default_rng([genre == "a", n % 2]).normal(size=(8, 20)).astype("f4"),
            )
    rows = [f"{g}/{n}.npy,{side}" for g in "ab" for n, side in enumerate(SIDES)]
    data = make(Spectrograms(Folder(str(tmp_path / "in")), 8, 8, split=table(tmp_path / "l.csv", *rows)))
    assert [len(np.unique(data.windows[side].track)) for side in SIDES] == [2, 2, 2]
    assert data.known_leaks == ["split 'l.csv': 2 recordings have copies on more than one side: a/0.npy, b/0.npy"]


def test_clips_on_two_sides_are_named(tmp_path):
    for genre in ("a", "b"):
        (tmp_path / "in" / genre).mkdir(parents=True)
        for n in range(6):
            noise = np.random.default_rng([n, genre == "a"]).normal(size=8000) * 0.1
            soundfile.write(tmp_path / "in" / genre / f"s{n // 2}.{n % 2}.wav", noise, 8000)
    subsets = ("train", "test", "train", "train", "valid", "valid")
    rows = [f"{g}/s{n // 2}.{n % 2}.wav,{subset}" for g in "ab" for n, subset in enumerate(subsets)]
    split = table(tmp_path / "l.csv", *rows)
    data = make(MelSlices(Folder(str(tmp_path / "in")), sample_rate=8000, seconds=0.5, n_fft=256, split=split))
    assert data.known_leaks == ["split 'l.csv': 2 tracks have parts on more than one side: a/s0, b/s0"]
