"""`musiccli embed`: its vectors are those of the datamodule Embeddings, and it resumes where it was stopped."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import soundfile
import torch
from filelock import FileLock

from musicgen_cls.__main__ import main
from musicgen_cls.commands import embed as command
from musicgen_cls.commands.embed import TrackVectors, embed
from musicgen_cls.commands.journal import Journal
from musicgen_cls.datamodules import Embeddings
from musicgen_cls.errors import RecordError, SourceError, UsageError
from musicgen_cls.models.backbones import Backbone
from musicgen_cls.sources import Folder, MidiFolder
from musicgen_cls.synth.render import render

RATE = 16000


class Bands(Backbone):
    """Four numbers every 0.1 s, from a waveform: a network that costs nothing."""

    sample_rate, dim, hop_seconds, licence, trained_on = RATE, 4, 0.1, "MIT", "nothing"

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(4.0) + 1)

    def embed(self, waveform: torch.Tensor) -> torch.Tensor:
        level = waveform.unfold(1, 1600, 1600).abs().mean(2, keepdim=True)
        return level * self.weight


@pytest.fixture(autouse=True)
def bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """`bands` is the name of `Bands`."""
    known = command.load
    monkeypatch.setattr(command, "load", lambda name: Bands().eval() if name == "bands" else known(name))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two genres of two tracks of 2.3 s, one at another rate; files that cannot be used. Read only."""
    root = tmp_path_factory.mktemp("library") / "Music"
    for genre in ("blues", "metal"):
        (root / genre / "album").mkdir(parents=True)
        for index, rate in enumerate((RATE, 22050)):
            waveform = render(genre, index, seconds=2.3, sample_rate=rate)
            soundfile.write(root / genre / "album" / f"{index}.wav", waveform, rate)
    soundfile.write(root / "blues" / "short.wav", render("blues", 3, seconds=0.7, sample_rate=RATE), RATE)
    soundfile.write(root / "metal" / "blip.wav", render("metal", 3, seconds=0.3, sample_rate=RATE), RATE)
    soundfile.write(root / "metal" / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(root / "loose.wav", render("jazz", 0, seconds=1.0, sample_rate=RATE), RATE)
    (root / "notes.txt").write_text("not music")
    return root


def opened(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        return dict(file)


def test_vectors_are_those_of_the_datamodule(library: Path, tmp_path: Path) -> None:
    data = Embeddings(Folder(str(library)), "random_yamnet", seconds=1.0, split="external")
    rows = data.read_tracks()
    name = ["--backbone", "random_yamnet", "--seconds", "1", "--out"]
    assert main(["embed", str(library), *name, str(tmp_path / "windows.npz"), "--pool", "windows"]) == 0
    assert main(["embed", str(library), *name, str(tmp_path / "tracks.npz")]) == 0
    windows, tracks = opened(tmp_path / "windows.npz"), opened(tmp_path / "tracks.npz")
    assert len(rows.tracks) == 5
    for track, start, length in zip(rows.tracks, rows.offset, rows.lengths, strict=True):
        wanted = rows.items[start : start + length]
        own = windows["paths"] == str(track.path)
        np.testing.assert_allclose(windows["embeddings"][own], wanted, rtol=1e-5, atol=1e-6)
        assert windows["start_s"][own].tolist() == list(range(length))
        assert set(windows["genres"][own]) == {track.genre}
        (mean,) = tracks["embeddings"][tracks["paths"] == str(track.path)]
        np.testing.assert_allclose(mean, wanted.mean(0), rtol=1e-5, atol=1e-6)
    assert len(tracks["paths"]) == 6  # the datamodule leaves out the file outside of the folders of genres
    assert tracks["genres"][tracks["paths"] == str(library / "loose.wav")] == [""]


def test_every_format_has_the_same_rows(library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for suffix in ("npz", "parquet", "csv"):
        embed([str(library)], backbone="bands", out=str(tmp_path / f"x.{suffix}"), pool="windows", seconds=1.0)
    found = opened(tmp_path / "x.npz")
    assert found["embeddings"].shape == (10, 4)
    assert found["embeddings"].dtype == np.float32
    assert (found["backbone"], found["pool"], found["licence"]) == ("bands", "windows", "MIT")
    parquet, csv = pd.read_parquet(tmp_path / "x.parquet"), pd.read_csv(tmp_path / "x.csv", keep_default_na=False)
    assert np.array_equal(np.stack(list(parquet["embedding"])), found["embeddings"])
    assert np.array_equal(csv[["e0", "e1", "e2", "e3"]].to_numpy(np.float32), found["embeddings"])
    for table in (parquet, csv):
        for column, array in (("path", "paths"), ("genre", "genres"), ("start_s", "start_s")):
            assert table[column].tolist() == found[array].tolist()
    metadata = pyarrow.parquet.read_schema(tmp_path / "x.parquet").metadata
    assert metadata[b"seconds"] == b"1"
    assert {path.name for path in tmp_path.iterdir()} == {"x.npz", "x.parquet", "x.csv"}
    printed = capsys.readouterr().out
    assert "10 vectors of 4 numbers, 6 recordings: " in printed
    assert "bands: pretrained on nothing, licence MIT" in printed
    assert "3 files left out:\n  " in printed
    assert "blip.wav: too short: 0.30 s, but 0.5 s are needed" in printed
    assert "silent.wav: silent throughout" in printed
    assert "notes.txt: not audio" in printed


def test_many_rows_in_parquet(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musicgen_cls.formats.vectors._AT_ONCE", 3)
    embed([str(library)], backbone="bands", out=str(tmp_path / "x.parquet"), pool="windows", seconds=1.0)
    embed([str(library)], backbone="bands", out=str(tmp_path / "x.npz"), pool="windows", seconds=1.0)
    parquet = pd.read_parquet(tmp_path / "x.parquet")
    assert np.array_equal(np.stack(list(parquet["embedding"])), opened(tmp_path / "x.npz")["embeddings"])


@pytest.fixture
def stopped(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, list[Path]]]:
    """A copy of the library whose run was stopped, and the files that are read from then on."""
    root = tmp_path / "Music"
    shutil.copytree(library, root)
    compute, asked = command._vectors, list[Path]()

    def stopping(track: Any, stop: Event, **settings: Any) -> Any:
        asked.append(track.path)
        if len(asked) == 6:
            raise KeyboardInterrupt
        return compute(track, stop, **settings)

    monkeypatch.setattr(command, "_vectors", stopping)
    with pytest.raises(KeyboardInterrupt):
        embed([str(root)], backbone="bands", out=str(tmp_path / "x.npz"), seconds=1.0)
    asked.clear()
    monkeypatch.setattr(command, "_vectors", lambda track, *a, **b: asked.append(track.path) or compute(track, *a, **b))
    yield root, asked
    assert not list(tmp_path.glob("*.partial"))


def finished(tmp_path: Path) -> list[Path]:
    """The files in the journal of the stopped run."""
    lines = (tmp_path / "x.npz.partial").read_text().splitlines()
    return [Path(json.loads(line)["track"]) for line in lines[1:]]


def whole_run(root: Path, tmp_path: Path) -> bytes:
    """What a run that was not stopped writes."""
    return embed([str(root)], backbone="bands", out=str(tmp_path / "whole.npz"), seconds=1.0).read_bytes()


def test_a_stopped_run_is_resumed(stopped: tuple[Path, list[Path]], tmp_path: Path) -> None:
    root, asked = stopped
    done = finished(tmp_path)
    assert 0 < len(done) < 6
    with (tmp_path / "x.npz.partial").open("a") as file:
        file.write('{"check": "')  # as a kill leaves it
    resumed = embed([str(root)], backbone="bands", out=str(tmp_path / "x.npz"), seconds=1.0)
    assert sorted([*done, *asked]) == sorted(root.rglob("*.wav"))
    assert resumed.read_bytes() == whole_run(root, tmp_path)


def test_a_file_that_changed_since_is_read_again(stopped: tuple[Path, list[Path]], tmp_path: Path) -> None:
    root, asked = stopped
    changed = finished(tmp_path)[0]
    soundfile.write(changed, render("metal", 9, seconds=2.0, sample_rate=RATE), RATE)
    resumed = embed([str(root)], backbone="bands", out=str(tmp_path / "x.npz"), seconds=1.0)
    assert changed in asked
    assert resumed.read_bytes() == whole_run(root, tmp_path)


def test_vectors_of_other_arguments_are_not_taken_over_nor_lost(
    stopped: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    root, _ = stopped
    partial = tmp_path / "x.npz.partial"
    before = partial.read_bytes()
    with pytest.raises(UsageError, match=r"of a stopped run on --backbone bands \(.*--pool track, not .*--pool win"):
        embed([str(root)], backbone="bands", out=str(tmp_path / "x.npz"), seconds=1.0, pool="windows")
    assert partial.read_bytes() == before
    partial.unlink()


def test_a_run_without_a_finished_track_blocks_no_other(tmp_path: Path) -> None:
    for pool in ("track", "windows"):
        header = command.RunHeader("bands", "0", 1.0, pool)
        Journal(tmp_path / "x.npz", header, TrackVectors, {"a": "1"})
        assert f'"{pool}"' in (tmp_path / "x.npz.partial").read_text()


def test_a_journal_that_is_damaged_meanwhile(library: Path, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "x.npz", command.RunHeader("bands", "0", 1.0, "track"), TrackVectors, {"a": "1"})
    journal.record((line for line in [("a", ["AAAA"])]), "Embedding")
    assert list(journal.found(["a"])) == [[b"\0\0\0"]]
    content = journal.path.read_bytes()
    journal.path.write_bytes(content.replace(b"AAAA", b"AAAB"))
    with pytest.raises(RecordError, match=r"x\.npz\.partial: its checksum is wrong; the same command computes"):
        list(journal.found(["a"]))


def test_two_processes_do_not_write_one_file(library: Path, tmp_path: Path) -> None:
    with FileLock(tmp_path / ".x.npz.lock"), pytest.raises(UsageError, match="another process is writing it"):
        embed([str(library)], backbone="bands", out=str(tmp_path / "x.npz"))


def test_genres_are_the_folders_in_a_named_folder(library: Path, tmp_path: Path) -> None:
    names = [str(library / "blues"), str(library / "metal" / "album" / "0.wav"), str(library / "*" / "*" / "1.wav")]
    embed(names, backbone="bands", out=str(tmp_path / "x.npz"))
    found = opened(tmp_path / "x.npz")
    genres = {
        Path(path).relative_to(library).as_posix(): g for path, g in zip(found["paths"], found["genres"], strict=True)
    }
    assert genres == {
        "blues/album/0.wav": "album",
        "blues/album/1.wav": "album",
        "blues/short.wav": "",
        "metal/album/0.wav": "",
        "metal/album/1.wav": "",
    }


def test_a_collection_instead_of_files(library: Path, tmp_path: Path) -> None:
    words = ["--source", "Folder", "--source.root", str(library), "--out", str(tmp_path / "x.npz")]
    assert main(["embed", *words, "--backbone", "bands"]) == 0
    assert opened(tmp_path / "x.npz")["genres"].tolist() == ["blues"] * 3 + ["metal"] * 2
    with pytest.raises(SourceError, match="MidiFolder: has no files of recordings"):
        embed(source=MidiFolder(str(library)), out=str(tmp_path / "y.npz"))


def test_numbers_that_are_not_finite(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bands, "embed", lambda self, waveform: torch.full((len(waveform), 1, 4), torch.nan))
    with pytest.raises(SourceError, match=r"no recording can be used; the first: .*the network gives numbers"):
        embed([str(library)], backbone="bands", out=str(tmp_path / "x.npz"))
    assert not list(tmp_path.iterdir())


def test_a_file_within_the_named_folder(library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(library / "loose.wav", tmp_path / "a.wav")
    embed([str(tmp_path)], backbone="bands", out=str(tmp_path / "x.npz"))
    assert "left out" not in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_names_that_are_not_text(library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(library / "loose.wav", tmp_path / "a\udce9.wav")
    shutil.copy(library / "loose.wav", tmp_path / "[b]=c, d.wav")
    words = ["--backbone", "bands", "--out", str(tmp_path / "x.npz")]
    assert main(["embed", str(tmp_path / "a\udce9.wav"), *words]) == 2
    assert "not valid UTF-8, which settings need; rename that file" in capsys.readouterr().err
    assert main(["embed", str(tmp_path), str(tmp_path / "[b]=c, d.wav"), *words]) == 0
    names = [Path(path).name for path in opened(tmp_path / "x.npz")["paths"]]
    assert names == ["[b]=c, d.wav", "a\\xe9.wav"]


def test_what_is_refused(library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there.npz").write_text("mine")
    (tmp_path / "file").write_text("not a folder")
    silent, music, out = str(library / "metal" / "silent.wav"), str(library), ["--out", str(tmp_path / "x.npz")]
    for args, said in (
        (out, "embed: needs either files or --source"),
        ([music, "--source", "Folder", "--source.root", music, *out], "needs either files or --source"),
        (["gone", *out], "FILE gone: no such file"),
        ([music, "--out", str(tmp_path / "x.txt")], "x.txt: must end in .npz or .parquet or .csv"),
        ([music, "--out", str(tmp_path / "there.npz")], "there.npz: exists; delete it"),
        ([music, "--out", str(tmp_path / "file" / "x.npz")], "file: cannot be written"),
        ([music, "--backbone", "yamnt", *out], "--backbone 'yamnt': no pretrained network of this name; did you mean"),
        ([music, "--backbone", "basic_pitch", *out], "--backbone 'basic_pitch': not a network with embeddings"),
        ([music, "--backbone", "yamnet:3", *out], "--backbone 'yamnet:3': yamnet has one layer only"),
        ([music, "--seconds", "0", *out], "--seconds 0.0: must be more than 0"),
        ([music, "--backbone", "bands", "--seconds", "1e-9", *out], "--seconds 1e-09: shorter than one sample"),
        ([music, "--pool", "max", *out], "--pool: 'max' is not one of track, windows"),
        ([music, "--address", "x", *out], "--address x: needs --engine ray"),
        ([silent, "--backbone", "bands", *out], "no recording can be used; the first: "),
    ):
        assert main(["embed", *args]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert "Traceback" not in err
    assert (tmp_path / "there.npz").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"there.npz", "file"}


def test_weights_that_cannot_be_fetched(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("musicgen_cls.pretrained.fetch.download", lambda *_: (None, "no connection"))
    monkeypatch.setenv("MUSICGEN_CLS_CACHE", str(tmp_path / "cache"))
    assert main(["embed", str(library), "--out", str(tmp_path / "x.npz")]) == 2
    assert "run: musiccli pretrained fetch yamnet --from FOLDER" in capsys.readouterr().err
    assert not list(tmp_path.glob("x.npz*"))


def test_parquet_needs_pyarrow(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"x\.parquet: needs pyarrow.*pip install 'musicgen_cls\[manifest\]'"):
        embed([str(library)], out=str(tmp_path / "x.parquet"))
