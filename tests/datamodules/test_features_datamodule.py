"""Tables of features: whose rows train, how they are scaled, and what is refused."""

import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from musicgen_cls.audio.features import COLUMNS
from musicgen_cls.audio.mel import Standardise
from musicgen_cls.datamodules.feature_table import FeatureTable
from musicgen_cls.errors import SourceError, SplitError, UsageError
from musicgen_cls.sources.folder import Folder
from musicgen_cls.sources.gtzan import GTZAN
from musicgen_cls.sources.table import read_table

PARTS = 10


def rows(tracks: int = 8, genres: tuple[str, ...] = ("blues", "rock"), parts: int = PARTS) -> pd.DataFrame:
    """Ten parts of each of eight tracks of two genres, numbered at random."""
    rng = np.random.default_rng(0)
    names = [f"{g}.{n:05d}.{p}.wav" for g in genres for n in range(tracks) for p in range(parts)]
    table = pd.DataFrame(
        rng.normal(size=(len(names), len(COLUMNS))) * 10.0 ** np.linspace(-5, 8, 58), columns=list(COLUMNS)
    )
    table["length"] = 66150
    table.insert(0, "filename", names)
    table["label"] = [name.split(".")[0] for name in names]
    return table


@pytest.fixture
def table(tmp_path) -> Path:
    path = tmp_path / "features_3_sec.csv"
    rows().to_csv(path, index=False)
    return path


def make(table: Path, **options) -> FeatureTable:
    data = FeatureTable(str(table), **({"fractions": (0.5, 0.25, 0.25)} | options))
    data.prepare_data()
    data.setup("fit")
    return data


def test_rows_carry_their_track_which_is_on_one_side(table):
    data = make(table)
    assert [track.id for track in data.collection.tracks][:2] == ["blues.00000", "blues.00001"]
    tracks = {side: set(windows.track.tolist()) for side, windows in data.windows.items()}
    assert [len(tracks[side]) for side in ("train", "validation", "test")] == [8, 4, 4]
    assert len(set.union(*tracks.values())) == 16
    assert {len(windows) / len(tracks[side]) for side, windows in data.windows.items()} == {PARTS}
    assert not data.leaks
    assert make(table, split="segment").leaks


def test_columns_are_found_by_name(table, tmp_path):
    shuffled = tmp_path / "shuffled.csv"
    pd.read_csv(table).sample(frac=1, axis=1, random_state=0).to_csv(shuffled, index=False)
    np.testing.assert_array_equal(make(table).collection.items, make(shuffled).collection.items)


def test_rows_in_any_order_are_put_in_order(table, tmp_path):
    shuffled = tmp_path / "shuffled.csv"
    pd.read_csv(table).sample(frac=1, random_state=0).to_csv(shuffled, index=False)
    whole, other = make(table).collection, make(shuffled).collection
    place = {track.id: row for row, track in enumerate(other.tracks)}
    for row, track in enumerate(whole.tracks):
        a, b = whole.offset[row], other.offset[place[track.id]]
        np.testing.assert_array_equal(whole.items[a : a + PARTS], other.items[b : b + PARTS])


def test_z_scores_are_of_training_rows_only(table):
    data = make(table)
    rows_of = np.concatenate([np.arange(PARTS) + PARTS * track for track in np.unique(data.windows["train"].track)])
    training = data.collection.items[rows_of].astype(float)
    np.testing.assert_allclose(data.front_end.standardise.mean[:, 0], training.mean(axis=0), rtol=1e-3, atol=1e-12)
    batches = [data.on_after_batch_transfer(batch, 0)["x"] for batch in data.train_dataloader()]
    x = np.concatenate(batches)
    assert x.shape == (80, 58)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(x[:, 1:].std(axis=0), 1, atol=0.02)
    assert (x[:, 0] == 0).all()  # all are equally long
    assert data.front_end(torch.full((1, 1, 58), 1e6))[0, 0] == 0  # and one that is not is not blown up


def test_a_column_that_does_not_move_in_training_tells_nothing():
    front_end = Standardise(3, min_std=0.0)
    still = torch.tensor([0.1, 220500.3, 0.0])
    front_end.fit(still[None, :, None].expand(3000, 3, 1))
    assert (front_end(still[None, :, None]) == 0).all()
    assert (front_end(still[None, :, None] + 1) == 0).all()


def test_windows_foretell_the_row_after_and_stay_within_a_track(table):
    data = make(table, look_back=4)
    assert len(data.windows["train"]) == 8 * (PARTS - 4)
    collection, windows = data.collection, data.windows["test"]
    for track, start, genre in zip(windows.track, windows.start, windows.genre, strict=True):
        begin = collection.offset[track]
        assert begin <= start
        assert start + 4 < begin + PARTS
        assert data.genres[genre] == collection.tracks[track].genre
    batch = data.on_after_batch_transfer(next(iter(data.val_dataloader())), 0)
    assert batch["x"].shape[1:] == (4, 58)
    assert windows.start_s[:2].tolist() == [0, 3]


def test_windows_across_tracks_and_their_leak(table):
    data = make(table, look_back=50, across_tracks=True, split="segment")
    assert sum(len(windows) for windows in data.windows.values()) == 160 - 50
    assert data.leaks
    every = np.concatenate([windows.start for windows in data.windows.values()])
    assert sorted(every) == list(range(110))
    window = data.windows["train"]
    np.testing.assert_array_equal(window.track, (window.start + 50) // PARTS)
    with pytest.raises(UsageError, match=r"--data\.look_back and --data\.split segment too"):
        make(table, look_back=50, across_tracks=True)


def test_copies_are_on_one_side(tmp_path):
    table = rows()
    numbers = table[list(COLUMNS)].to_numpy().reshape(16, PARTS, 58)
    numbers[1:8] = numbers[0]
    table[list(COLUMNS)] = numbers.reshape(160, 58)
    table.to_csv(tmp_path / "copies.csv", index=False)
    with pytest.raises(SplitError, match="leaves genre 'blues' without"):
        make(tmp_path / "copies.csv")


def test_a_source_knows_published_lists_without_a_file_of_it(tmp_path):
    table = rows(tracks=100, genres=("blues", "rock"), parts=1)
    table["filename"] = table["filename"].str.replace(".0.wav", ".wav")
    table.to_csv(tmp_path / "whole.csv", index=False)
    data = make(tmp_path / "whole.csv", source=GTZAN("nowhere"), split="fault_filtered", genres=["blues", "rock"])
    assert data.source_name == "gtzan"  # so that tests of other networks on those tracks are told to be of the same
    listed = GTZAN("nowhere").official_split("fault_filtered")
    for side, windows in data.windows.items():
        assert {listed[data.collection.tracks[row].id] for row in windows.track} == {side}
    by_artist = make(tmp_path / "whole.csv", source=GTZAN("nowhere"), split="artist", genres=["blues", "rock"])
    artists = [{by_artist.collection.tracks[r].artist for r in w.track} for w in by_artist.windows.values()]
    assert not artists[0] & artists[2]


def test_names_as_in_a_folder(music, tmp_path):
    names = [track.id for track in Folder(str(music)).tracks()]
    table = rows(tracks=9).head(2 * len(names))
    table["filename"] = [f"{n.rpartition('.')[0]}.{part}.{n.rpartition('.')[2]}" for n in names for part in (0, 1)]
    table["label"] = [n.split("/")[0] for n in names for _ in (0, 1)]
    table.to_csv(tmp_path / "folder.csv", index=False)
    data = make(tmp_path / "folder.csv", source=Folder(str(music)))
    assert [track.id for track in data.collection.tracks] == names
    assert data.genres == ["blues", "jazz", "metal"]


@pytest.mark.parametrize("parts", [1, 3])
def test_names_without_an_ending(tmp_path, parts):
    table = rows(parts=parts)
    table["filename"] = [name.removesuffix(".wav") for name in table["filename"]]
    if parts == 1:
        table["filename"] = [name.removesuffix(".0") for name in table["filename"]]
    table.to_csv(tmp_path / "table.csv", index=False)
    for source in (None, GTZAN("nowhere")):
        data = make(tmp_path / "table.csv", source=source, genres=["blues", "rock"])
        assert [track.id for track in data.collection.tracks][:2] == ["blues.00000", "blues.00001"]
        assert data.collection.lengths.tolist() == [parts] * 16


def put(row, column, value):
    def change(table):
        table = table.astype({column: object})
        table.loc[row, column] = value
        return table

    return change


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: t.drop(columns="tempo"), "columns missing tempo; use those of"),
        (lambda t: t.assign(loudness=1), "columns extra loudness"),
        (lambda t: t.rename(columns={"tempo": "bpm"}), "columns missing tempo; extra bpm"),
        (put(3, "rms_mean", "loud"), "line 5: rms_mean is 'loud', not a finite number"),
        (put(3, "rms_mean", "inf"), "line 5: rms_mean is 'inf', not a finite number"),
        (put(3, "rms_mean", ""), "line 5: rms_mean is '', not a finite number"),
        (put(3, "rms_mean", "1e300"), "line 5: rms_mean is '1e300', not a finite number"),
        (put(0, "mfcc1_mean", "nan"), "line 2: mfcc1_mean is 'nan'"),
        (put(7, "label", ""), "line 9: no label"),
        (put(7, "label", "bl\0ues"), r"line 9: label 'bl\\x00ues' has unprintable characters"),
        (put(7, "length", "0"), "line 9: length is '0', but must be 1 or more"),
        (put(7, "length", -5), "line 9: length is '-5', but"),
        (put(7, "filename", " "), "line 9: no filename"),
        (put(7, "label", "rock"), "line 9: blues.00000.7.wav has the label 'rock', but its track has 'blues'"),
        (lambda t: t.head(0), "no rows"),
    ],
)
def test_tables_that_are_not_right(table, spoil, said):
    spoil(pd.read_csv(table)).to_csv(table, index=False)
    with pytest.raises(SourceError, match=said):
        make(table)


def test_a_row_of_a_track_that_is_not_in_the_source(table):
    changed = put(7, "filename", "blues.00100.0.wav")(pd.read_csv(table))
    changed.to_csv(table, index=False)
    with pytest.raises(SourceError, match=r"blues\.00100\.0\.wav is not a track of nowhere; delete the row"):
        make(table, source=GTZAN("nowhere"))


def test_a_label_that_is_none_of_the_genres(table):
    changed = pd.read_csv(table)
    changed.loc[changed["label"] == "rock", "label"] = "polka"
    changed.to_csv(table, index=False)
    with pytest.raises(SourceError, match="polka"):
        make(table, genres=["blues", "rock"])


def test_a_table_that_is_not_there_or_none(tmp_path):
    with pytest.raises(SourceError, match=r"gone\.csv: no such table; make one with musiccli features"):
        FeatureTable(str(tmp_path / "gone.csv"))
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.raises(SourceError, match=r"binary\.csv: not a readable table"):
        read_table(tmp_path / "binary.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(SourceError, match=r"empty\.csv: not a readable table"):
        read_table(tmp_path / "empty.csv")


def test_a_window_longer_than_the_track(table):
    with pytest.raises(UsageError, match=r"--data\.look_back 10: tracks have at most 10 rows; set it to 9"):
        make(table, look_back=10)


def test_a_window_longer_than_the_table(table):
    with pytest.raises(UsageError, match=r"longer than the table, which has 160 rows; set it to 159 or less"):
        make(table, look_back=500, across_tracks=True, split="segment")
    with pytest.raises(SplitError, match=r"split 'segment' leaves genre 'blues' without train windows"):
        make(table, look_back=150, across_tracks=True, split="segment")


def test_windows_on_whole_tracks(tmp_path):
    rows(parts=1).to_csv(tmp_path / "whole.csv", index=False)
    with pytest.raises(UsageError, match=r"each track has one row; use a table with rows of parts.*FeatureMLP"):
        make(tmp_path / "whole.csv", look_back=5)


def shortened(path: Path, tracks: str) -> Path:
    """The table with nothing but the first three rows of some tracks of blues."""
    table = rows()
    table[~table["filename"].str.contains(rf"blues\.0000{tracks}\.[3-9]\.")].to_csv(path, index=False)
    return path


def test_tracks_with_too_few_rows_are_left_out_by_name(table, caplog):
    data = make(shortened(table, "[0-3]"), look_back=5)
    assert [str(problem) for problem in data.collection.problems] == [
        f"blues.0000{n}.0.wav: too few rows for --data.look_back 5: 3" for n in range(4)
    ]
    assert "4 files left out" in caplog.text
    assert Counter(track.genre for track in data.collection.tracks) == {"blues": 4, "rock": 8}
    assert all(set(windows.genre) == {0, 1} for windows in data.windows.values())


def test_a_genre_whose_tracks_have_too_few_rows(table):
    with pytest.raises(SourceError, match=r"genre 'blues' has no usable track \(8 files left out.*00\.0\.wav: too few"):
        make(shortened(table, "."), look_back=5)
    with pytest.raises(
        SplitError, match=r"features_3_sec\.csv: split 'track' leaves genre 'blues' without test tracks"
    ):
        make(shortened(table, "[0-5]"), look_back=5)


def spoil_line(number: int, change):
    def spoil(lines: list[str]) -> list[str]:
        return [*lines[: number - 1], change(lines[number - 1]), *lines[number:]]

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda lines: [lines[0], *(f"{line}," for line in lines[1:])],
            "line 2: 61 values for 60 columns; fix the row",
        ),
        (lambda lines: [f"{line}," for line in lines], "columns extra one without a name; use those"),
        (spoil_line(7, lambda line: line.rpartition(",")[0]), "line 7: 59 values for 60 columns"),
        (spoil_line(7, lambda line: f'"{line}'), "line 7: not a readable row"),
        (lambda lines: [line.replace(",", ";") for line in lines], "the columns are separated by semicolons; save it"),
        (lambda lines: [line.replace(",", "\t") for line in lines], "the columns are separated by tabs; save it"),
        (
            lambda lines: [lines[0], "", "  ", *lines[1:3], "", lines[3].replace("66150", "long"), *lines[4:]],
            "line 7: length is 'long', not a finite number",
        ),
        (
            lambda lines: [*lines, lines[2]],
            "line 162: blues.00000.1.wav is the same part of its track as line 3",
        ),
        (spoil_line(3, lambda line: line.replace(",blues", ",Blues")), "line 3: the label 'Blues' is 'blues' above"),
        (
            lambda lines: [*lines[:-10], *(line.replace(",rock", ",rok") for line in lines[-10:])],
            "line 152: rock.00007 is the only track with the label 'rok'; fix",
        ),
        (
            lambda lines: lines[:81],
            r"features_3_sec\.csv: only one genre, \['blues'\]; a classifier needs at least two",
        ),
        (lambda lines: [lines[0].replace("tempo", "rms_var"), *lines[1:]], "missing tempo; extra rms_var"),
    ],
)
def test_files_that_are_not_right(table, spoil, said):
    table.write_text("\n".join(spoil(table.read_text().splitlines())) + "\n")
    with pytest.raises(SourceError, match=said):
        make(table)


def test_one_genre_given(table):
    with pytest.raises(SourceError, match=r"--data\.genres: only one genre, \['blues'\]"):
        make(table, genres=["blues"])


@pytest.mark.parametrize("name", ["split_seed", "num_workers", "look_back"])
def test_what_must_not_be_negative(table, name):
    with pytest.raises(UsageError, match=rf"--data\.{name} -1: must be 0 or more"):
        make(table, **{name: -1})


def test_predict_takes_audio(table):
    with pytest.raises(UsageError, match="predict: takes audio files, but this checkpoint was trained on FeatureTable"):
        make(table, files=["x.wav"]).predict_dataloader()


def test_the_published_tables(shared_data):
    data = make(shared_data / "features" / "features_10_sec.csv", source=GTZAN("nowhere"), split="fault_filtered")
    assert (len(data.collection.tracks), len(data.collection.items)) == (1000, 2991)
    assert len(np.unique(data.windows["test"].track)) == 290


# Names


def works(path: Path, names: list[str], length: int = 661500) -> Path:
    """A table with a row for each name, of one label, and twelve other tracks of another."""
    table = rows(tracks=12, parts=1)[["filename", *COLUMNS, "label"]]
    table = pd.concat([table, table]).head(12 + len(names)).assign(length=length)
    table["filename"] = names + [f"Take {n}.flac" for n in range(12)]
    table["label"] = ["classical"] * len(names) + ["jazz"] * 12
    table.to_csv(path, index=False)
    return path


def test_numbered_works_are_tracks(tmp_path):
    names = [f"Symphony No.{n}.flac" for n in range(1, 10)] + [f"mix.{n:02}.wav" for n in range(1, 4)]
    data = make(works(tmp_path / "works.csv", names))
    assert len(data.collection.tracks) == 24
    assert set(data.collection.lengths) == {1}
    assert data.grouped(data.collection) == []


def test_parts_are_reported(table):
    data = make(table)
    assert data.grouped(data.collection) == [
        "160 rows are parts of 16 tracks by their names, as blues.00000.0.wav; they stay on one side"
    ]


def test_rows_of_clips_that_were_cut_again_stay_together(tmp_path):
    """`musiccli features --seconds 1` of clips of 3 s."""
    table = rows(tracks=4, parts=9)
    songs = [f"{genre}.{n:05d}" for genre in ("blues", "rock") for n in range(4)]
    table["filename"] = [f"{song}.{part // 3}.{part % 3}.wav" for song in songs for part in range(9)]
    table.assign(length=22050).to_csv(tmp_path / "clips.csv", index=False)
    data = make(tmp_path / "clips.csv")
    assert len(data.collection.tracks) == 24
    assert data.collection.whole_tracks == 8
    assert len({track.group for track in data.collection.tracks}) == 8


def test_labels_and_ids_are_compared_as_names(tmp_path):
    table = rows(parts=2)
    table["label"] = [["Café", unicodedata.normalize("NFD", "Café")][n % 2] if n < 16 else "C++" for n in range(32)]
    table.to_csv(tmp_path / "t.csv", index=False)
    assert make(tmp_path / "t.csv").genres == ["C++", "Café"]
    assert make(tmp_path / "t.csv", genres=["CAFÉ", "c++"]).genres == ["CAFÉ", "c++"]
    table["label"] = ["C" if n < 16 else "C++" for n in range(32)]
    table.to_csv(tmp_path / "t.csv", index=False)
    assert make(tmp_path / "t.csv").genres == ["C", "C++"]


def test_names_as_a_source_has_them(music, tmp_path):
    names = [track.id for track in Folder(str(music)).tracks()]
    table = rows(tracks=9, parts=1).head(len(names))
    table["filename"] = [name.upper() for name in names]
    table["label"] = [name.split("/")[0].title() for name in names]
    table.to_csv(tmp_path / "t.csv", index=False)
    data = make(tmp_path / "t.csv", source=Folder(str(music)))
    assert [track.id for track in data.collection.tracks] == names
