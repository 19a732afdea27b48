"""Data sets in the formats of the Hugging Face hub, written here with synthesised audio. Nothing is downloaded."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

import hub_models
from musicgen_cls.datamodules import MelSlices
from musicgen_cls.errors import SourceError, SplitError
from musicgen_cls.sources import HubDataset
from musicgen_cls.synth.render import render

GENRES = ("metal", "jazz")  # not in the order of the alphabet
Rows = dict[str, list[tuple[str, int]]]
USUAL: Rows = {
    split: [(genre, first + n) for genre in GENRES for n in range(count)]
    for split, first, count in (("train", 0, 4), ("validation", 4, 2), ("test", 6, 2))
}


def audio(genre: str, number: int, kind: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, render(genre, number, seconds=1.0, sample_rate=4000), 4000, format=kind)
    return buffer.getvalue()


def write_parquet(root: Path, rows: Rows = USUAL, label: str = "genre", classes: bool = True, **more: Any) -> Path:
    """A data set as the hub converts them: a Parquet file for each split."""
    from datasets import Audio, ClassLabel, Features, Value

    kind = ClassLabel(names=[*GENRES, "unused"]) if classes else Value("string")
    features = Features({"audio": Audio(), label: kind} | {name: Value("string") for name in more})
    (root / "data").mkdir(parents=True)
    for split, own in rows.items():
        sounds = [{"bytes": audio(genre, n), "path": f"{genre}.{n:05d}.wav"} for genre, n in own]
        labels = [GENRES.index(genre) if classes else genre for genre, _ in own]
        columns = {"audio": sounds, label: labels} | {name: [make(g, n) for g, n in own] for name, make in more.items()}
        table = pa.table(columns, schema=features.arrow_schema)
        pq.write_table(table, root / "data" / f"{split}-00000-of-00001.parquet")
    return root


def write_folder(root: Path, rows: Rows = USUAL) -> Path:
    """A data set as an audio folder: split, label, file."""
    for split, own in rows.items():
        for genre, n in own:
            (root / split / genre).mkdir(parents=True, exist_ok=True)
            (root / split / genre / f"{genre}.{n:05d}.wav").write_bytes(audio(genre, n))
    return root


def datamodule(path: Path, **options: Any) -> MelSlices:
    data = MelSlices(HubDataset(str(path)), seconds=0.5, sample_rate=4000, n_fft=256, n_mels=16, **options)
    data.prepare_data()
    data._open_once()
    return data


def ids_on(data: MelSlices, side: str) -> list[str]:
    assert data.collection is not None
    return sorted({data.collection.tracks[row].id for row in data.windows[side].track})


@pytest.mark.parametrize("write", [write_parquet, write_folder])
def test_each_format(write, tmp_path):
    source = HubDataset(str(write(tmp_path / "Songs")))
    tracks = source.tracks()
    assert source.name == "songs"
    assert source.genres == (GENRES if write is write_parquet else tuple(sorted(GENRES)))  # of the data set
    assert len(tracks) == 16
    assert len({track.id for track in tracks}) == 16
    for track in tracks:
        split, _, name = track.id.partition("/")
        genre, number = name.partition("_")[2].split(".")
        assert genre == track.genre
        assert (genre, int(number)) in USUAL[split]
        assert track.path.read_bytes() == audio(genre, int(number))
    sides = source.official_split("official")
    assert sides is not None
    assert all(side == id.partition("/")[0] for id, side in sides.items())
    assert source.official_split("fault_filtered") is None


def test_files_of_a_folder_are_not_copied(tmp_path):
    root = write_folder(tmp_path / "songs")
    assert all(root in track.path.parents for track in HubDataset(str(root)).tracks())


def test_a_stopped_run_resumes(tmp_path, monkeypatch):
    root = write_parquet(tmp_path / "songs")
    first = HubDataset(str(root)).tracks()
    index = next(parent for parent in first[0].path.parents if (parent / "index.json").is_file()) / "index.json"
    (index.with_name("lock")).unlink(missing_ok=True)
    stamps = {track.path: track.path.stat().st_mtime_ns for track in first}
    for damage in ("", "{", '{"tracks": [[1]]}'):
        index.write_text(damage)
        first[3].path.unlink()  # as if it had not been written yet
        again = HubDataset(str(root)).tracks()
        assert again == first
        assert sum(path.stat().st_mtime_ns != stamp for path, stamp in stamps.items()) == 1
        assert json.loads(index.read_text())["genres"] == list(GENRES)
    from musicgen_cls.sources import hub

    monkeypatch.setattr(hub, "RowReader", lambda *args: pytest.fail("read again"))
    assert HubDataset(str(root)).tracks() == first


@pytest.mark.parametrize("place", ["songs", ".cache/huggingface/songs"])
def test_a_changed_data_set_is_read_again(tmp_path, place):
    root = write_folder(tmp_path / place)
    assert len(HubDataset(str(root)).tracks()) == 16
    (root / "train" / "jazz" / "more.wav").write_bytes(audio("jazz", 99))
    assert len(HubDataset(str(root)).tracks()) == 17


@pytest.mark.parametrize(
    "names", [("train", "valid", "test"), ("training", "dev", "testing"), ("train", "val", "test")]
)
def test_names_of_splits(names, tmp_path):
    from musicgen_cls.sources.lists import SIDE_NAMES

    root = tmp_path / "songs"
    write_parquet(root, dict(zip(("a", "b", "c"), USUAL.values(), strict=True)))
    files = sorted((root / "data").glob("*"))
    lines = "".join(f"  - split: {name}\n    path: data/{file.name}\n" for name, file in zip(names, files, strict=True))
    (root / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files:\n{lines}---\n")
    sides = HubDataset(str(root)).official_split("official")
    assert sides is not None
    assert sorted(sides.values()) == ["test"] * 4 + ["train"] * 8 + ["validation"] * 4
    assert all(SIDE_NAMES[id.partition("/")[0]] == side for id, side in sides.items())


class TestOfficial:
    def test_the_splits_are_kept(self, tmp_path):
        data = datamodule(write_parquet(tmp_path / "songs"), split="official")
        for side in ("train", "validation", "test"):
            assert {id.partition("/")[0] for id in ids_on(data, side)} == {side}
        assert data.known_leaks == []

    def test_without_validation_a_share_of_train_validates(self, tmp_path, caplog):
        numbers = {"train": range(8), "test": range(8, 10)}
        rows = {split: [(genre, n) for genre in GENRES for n in own] for split, own in numbers.items()}
        root = write_parquet(tmp_path / "songs", rows, artist=lambda genre, n: f"{genre} band {n // 2}")
        data = datamodule(root, split="official", fractions=[0.6, 0.2, 0.2])
        validating = ids_on(data, "validation")
        assert all(id.startswith("train/") for id in validating)
        assert len(validating) == 4
        artists = {
            side: {data.collection.tracks[row].artist for row in data.windows[side].track} for side in data.windows
        }
        assert not artists["train"] & artists["validation"]
        note = "split 'official' has no validation tracks; 25 % of its training tracks are taken"
        assert note in caplog.text
        assert note in data.grouped(data.collection)

    def test_other_splits_are_left_out(self, tmp_path):
        root = write_parquet(tmp_path / "songs", USUAL | {"bonus": [("jazz", 20), ("metal", 21)]})
        files = sorted((root / "data").glob("*"))
        names = {file.name.partition("-")[0]: file.name for file in files}
        lines = "".join(f"  - split: {name}\n    path: data/{file}\n" for name, file in names.items())
        (root / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files:\n{lines}---\n")
        data = datamodule(root, split="official")
        assert len(data.collection.tracks) == 18
        assert sum(len(ids_on(data, side)) for side in data.windows) == 16
        assert "2 of 18 tracks are in other splits of songs and are left out" in data.grouped(data.collection)

    def test_a_copy_on_two_sides_is_a_leak(self, tmp_path):
        rows = USUAL | {"test": [*USUAL["test"], ("metal", 0), ("jazz", 4)]}
        root = write_parquet(tmp_path / "songs", rows)
        data = datamodule(root, split="official", duplicates="keep")
        assert len(data.known_leaks) == 1
        assert "split 'official': 2 recordings have copies on more than one side: " in data.known_leaks[0]
        assert data.leaks
        dropped = datamodule(root, split="official")  # as in all collections, the second copy is left out
        assert dropped.known_leaks == []
        assert len(dropped.collection.problems) == 2

    def test_an_artist_on_two_sides_is_a_leak(self, tmp_path):
        root = write_parquet(tmp_path / "songs", artist=lambda genre, n: f"{genre} band {n % 5}")
        data = datamodule(root, split="official")
        assert any("artists have tracks on more than one side" in leak for leak in data.known_leaks)

    def test_a_recording_in_two_formats_is_a_leak(self, tmp_path):
        root = write_folder(tmp_path / "songs")
        song = render("jazz", 0, seconds=12.0, sample_rate=11025)
        soundfile.write(root / "train" / "jazz" / "long.wav", song, 11025)
        soundfile.write(root / "test" / "jazz" / "other.flac", 0.7 * song, 11025)
        data = MelSlices(HubDataset(str(root)), seconds=0.5, sample_rate=11025, split="official", duplicates="near")
        data.prepare_data()
        data._open_once()
        assert any("1 recordings have copies" in leak for leak in data.known_leaks)

    def test_no_test_split(self, tmp_path):
        root = write_parquet(tmp_path / "songs", {"train": USUAL["train"]})
        with pytest.raises(SplitError, match=r"songs has no test split; use --data\.split track"):
            datamodule(root, split="official")
        assert ids_on(datamodule(root, split="track", fractions=[0.5, 0.25, 0.25]), "test")


class TestColumns:
    def test_strings_as_labels(self, tmp_path):
        source = HubDataset(str(write_parquet(tmp_path / "songs", classes=False)))
        assert source.genres == tuple(sorted(GENRES))

    def test_tables_without_types(self, tmp_path):
        root = write_parquet(tmp_path / "songs", classes=False)
        for file in root.rglob("*.parquet"):
            pq.write_table(pq.read_table(file).replace_schema_metadata(None), file)
        assert len(HubDataset(str(root)).tracks()) == 16

    def test_named_columns(self, tmp_path):
        root = write_parquet(tmp_path / "songs", label="mood", classes=False, singer=lambda genre, n: f"{genre} {n}")
        tracks = HubDataset(str(root), label="mood", artist="singer", audio="audio").tracks()
        assert {track.artist for track in tracks} == {f"{track.genre} {int(track.path.stem[-5:])}" for track in tracks}

    def test_no_labels(self, tmp_path):
        root = write_parquet(tmp_path / "songs", label="mood", classes=False)
        with pytest.raises(SourceError, match=r"no column of labels; it has audio, mood; .*--data\.source\.label"):
            HubDataset(str(root)).tracks()

    def test_no_audio(self, tmp_path):
        pq.write_table(pa.table({"text": ["a"], "label": [0]}), tmp_path / "train.parquet")
        with pytest.raises(SourceError, match="no column of audio; it has text, label"):
            HubDataset(str(tmp_path)).tracks()

    @pytest.mark.parametrize("role", ["audio", "label", "artist"])
    def test_an_unknown_column(self, role, tmp_path):
        root = write_parquet(tmp_path / "songs")
        with pytest.raises(SourceError, match=f"--data.source.{role} genres: .*no such column.*did you mean 'genre'"):
            HubDataset(str(root), **{role: "genres"}).tracks()

    def test_rows_without_a_label_are_left_out(self, tmp_path):
        root = write_parquet(tmp_path / "songs")
        file = root / "data" / "test-00000-of-00001.parquet"
        table = pq.read_table(file)
        labels = pa.array([-1, None, *table.column("genre").to_pylist()[2:]], pa.int64())
        pq.write_table(table.set_column(1, table.schema.field("genre"), labels), file)
        source = HubDataset(str(root))
        assert len(source.tracks()) == 14
        assert [problem.reason for problem in source.problems()] == [f"row {n} of test has no label" for n in (0, 1)]

    def test_several_labels(self, tmp_path):
        root = write_parquet(tmp_path / "songs", classes=False)
        file = root / "data" / "train-00000-of-00001.parquet"
        for other in (root / "data").glob("[!t]*"):
            other.unlink()
        (root / "data" / "test-00000-of-00001.parquet").unlink()
        table = pq.read_table(file).replace_schema_metadata(None)
        several = pa.array([[label] for label in table.column("genre").to_pylist()])
        pq.write_table(table.drop_columns("genre").append_column("genre", several), file)
        with pytest.raises(SourceError, match="several labels"):
            HubDataset(str(root)).tracks()


class TestAbsent:
    def test_no_data_set(self, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(SourceError, match="empty: cannot be read as a data set"):
            HubDataset(str(tmp_path / "empty")).tracks()

    def test_a_damaged_table(self, tmp_path):
        root = write_parquet(tmp_path / "songs")
        for file in root.rglob("*.parquet"):
            os.truncate(file, 500)
        with pytest.raises(SourceError, match="songs: "):
            HubDataset(str(root)).tracks()

    def test_a_script_is_not_run(self, tmp_path):
        root = tmp_path / "songs"
        root.mkdir()
        (root / "songs.py").write_text("raise SystemExit(3)")
        with pytest.raises(SourceError, match="refs/convert/parquet"):
            HubDataset(str(root)).tracks()

    def test_no_folder_and_no_name(self):
        with pytest.raises(SourceError, match="nowhere: no such folder, and no name of the hub"):
            HubDataset("nowhere").tracks()

    def test_a_checkpoint_needs_no_data_set(self):
        assert MelSlices(HubDataset("org/gone"), genres=list(GENRES)).source_name == "gone"


class TestHub:
    @pytest.fixture
    def hub_cache(self, tmp_path, monkeypatch):
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        return tmp_path / "hub"

    def test_a_data_set_in_the_cache_needs_no_network(self, tmp_path, hub_cache):
        hub_models.put_into_cache(write_parquet(tmp_path / "songs"), hub_cache, "org/songs", "datasets")
        source = HubDataset("org/songs")
        assert len(source.tracks()) == 16
        assert source.name == "songs"
        assert source.location in source.tracks()[0].path.parents

    def test_no_hub(self, hub_cache):
        with pytest.raises(SourceError, match=r"org/songs@main: the hub cannot be reached .*--repo-type dataset"):
            HubDataset("org/songs").tracks()
