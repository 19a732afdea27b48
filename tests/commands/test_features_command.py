"""`musiccli features`: its table is what `feature_row` says, and goes on where it was stopped."""

import shutil
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

import musicgen_cls
from musicgen_cls.__main__ import main
from musicgen_cls.audio.features import COLUMNS, feature_row
from musicgen_cls.audio.io import read
from musicgen_cls.commands import features as extract
from musicgen_cls.datamodules.feature_table import FeatureTable
from musicgen_cls.errors import SourceError, UsageError
from musicgen_cls.formats.records import seal
from musicgen_cls.sources import Manifest
from musicgen_cls.sources.base import Source
from musicgen_cls.sources.folder import Folder
from musicgen_cls.synth.render import render

RATE = 22050


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """Two genres of two tracks of 1.3 s, one at another rate; one silent file. Read only."""
    root = tmp_path_factory.mktemp("features") / "songs"
    for genre in ("blues", "metal"):
        (root / genre).mkdir(parents=True)
        for index, rate in enumerate((RATE, 44100)):
            soundfile.write(root / genre / f"{index}.wav", render(genre, index, seconds=1.3, sample_rate=rate), rate)
    soundfile.write(root / "metal" / "silent.wav", np.zeros(RATE), RATE)
    return root


@pytest.fixture
def songs(kept, tmp_path) -> Path:
    """A copy of `kept`."""
    return shutil.copytree(kept, tmp_path / "songs")


@pytest.fixture(scope="module")
def whole(kept) -> tuple[Path, str]:
    """The table of `kept` in parts of 0.5 s, and what the command printed. Read only."""
    with redirect_stdout(StringIO()) as printed:
        path = extract.features(Folder(str(kept)), str(kept.with_name("whole") / "table.csv"), seconds=0.5, jobs=1)
    return path, printed.getvalue()


def test_a_row_a_part(kept, whole):
    path, printed = whole
    table = pd.read_csv(path)
    assert list(table.columns) == ["filename", *COLUMNS, "label"]
    assert table["filename"].tolist() == [
        f"{g}/{i}.{part}.wav" for g in ("blues", "metal") for i in (0, 1) for part in (0, 1)
    ]
    assert set(table["length"]) == {RATE // 2}
    waveform = read(kept / "metal" / "1.wav", RATE)
    want = feature_row(waveform[RATE // 2 : RATE], RATE)
    np.testing.assert_allclose(table.iloc[-1][list(COLUMNS)].astype(float), list(want.values()), rtol=1e-6)
    assert list(path.parent.iterdir()) == [path]
    assert "8 rows of 4 tracks" in printed
    assert "1 file left out:\n  " in printed
    assert "silent.wav: " in printed
    data = FeatureTable(str(path), Folder(str(kept)), split="track", fractions=(0.5, 0.0, 0.5))
    data.setup("fit")
    assert len(data.collection.tracks) == 4


def test_a_track_of_less_than_two_parts_is_one_whole(songs, tmp_path):
    table = pd.read_csv(extract.features(Folder(str(songs)), str(tmp_path / "table.csv"), seconds=1.0, jobs=1))
    assert table["filename"].tolist() == ["blues/0.wav", "blues/1.wav", "metal/0.wav", "metal/1.wav"]
    assert table["length"].between(1.29 * RATE, 1.31 * RATE).all()


def stopped_run(songs: Path | Source, table: Path, monkeypatch: pytest.MonkeyPatch, at: int = 3) -> list[str]:
    """Stop the command at its third track, or another; the tracks that it has begun, and later runs begin."""
    compute, asked = extract._rows, list[str]()

    def stopping(track, seconds):
        asked.append(track.id)
        if len(asked) == at:
            raise KeyboardInterrupt
        return compute(track, seconds)

    monkeypatch.setattr(extract, "_rows", stopping)
    source = songs if isinstance(songs, Source) else Folder(str(songs))
    with pytest.raises(KeyboardInterrupt):
        extract.features(source, str(table), seconds=0.5, jobs=1)
    return asked


def test_a_stopped_run_is_resumed(songs, whole, tmp_path, monkeypatch):
    partial, asked = tmp_path / "table.csv.partial", stopped_run(songs, tmp_path / "table.csv", monkeypatch)
    assert len(partial.read_text().splitlines()) == 3
    with partial.open("a") as file:
        file.write('["metal/0.wav", [{"filena')  # as a kill leaves it
    table = extract.features(Folder(str(songs)), str(tmp_path / "table.csv"), seconds=0.5, jobs=1)
    assert len(asked) == 3 + 3
    assert table.read_bytes() == whole[0].read_bytes()
    assert not partial.exists()


def test_a_file_that_changed_since_a_stopped_run_is_read_again(songs, whole, tmp_path, monkeypatch):
    asked = stopped_run(songs, tmp_path / "table.csv", monkeypatch)
    changed = songs / asked[0]
    waveform, rate = soundfile.read(changed)
    soundfile.write(changed, waveform[::-1], rate)
    resumed = extract.features(Folder(str(songs)), str(tmp_path / "table.csv"), seconds=0.5, jobs=1)
    assert asked.count(asked[0]) == 2
    now, before = (pd.read_csv(path).set_index("filename") for path in (resumed, whole[0]))
    own = now.index.str.startswith(asked[0].removesuffix("wav"))
    pd.testing.assert_frame_equal(now[~own], before[~own])
    parts = read(changed, RATE)[: RATE // 2 * 2].reshape(2, -1)
    want = [list(feature_row(part, RATE).values()) for part in parts]
    np.testing.assert_allclose(now.loc[own, list(COLUMNS)].astype(float), want, rtol=1e-6)
    assert not np.allclose(now.loc[own, list(COLUMNS)].astype(float), before.loc[own, list(COLUMNS)].astype(float))


def test_a_genre_that_is_corrected_after_a_stopped_run(songs, tmp_path, monkeypatch):
    files = sorted(songs.rglob("[0-9].wav"))
    manifest = tmp_path / "list.csv"

    def source(genre):
        rows = "".join(f"{file},{genre if 'blues' in file.parts else 'metal'}\n" for file in files)
        manifest.write_text(f"path,genre\n{rows}")
        return Manifest(str(manifest))

    stopped_run(source("bleus"), tmp_path / "table.csv", monkeypatch)
    table = pd.read_csv(extract.features(source("blues"), str(tmp_path / "table.csv"), seconds=0.5, jobs=1))
    assert table.groupby("label").size().to_dict() == {"blues": 4, "metal": 4}


@pytest.fixture(scope="module")
def nearly_done(kept) -> tuple[list[bytes], list[str]]:
    """The lines of a run that was stopped at its last file, and the tracks of all lines but the first. Read only."""
    table = kept.with_name("stopped") / "rest.csv"
    with pytest.MonkeyPatch.context() as patch:
        asked = stopped_run(kept, table, patch, at=5)
    return table.with_name("rest.csv.partial").read_bytes().splitlines(keepends=True), asked[:4]


@pytest.mark.parametrize("damage", ['{"broken"\n', "5\n", '["x", [{"filename": 1}]]\n', '["x", 5]\n', "[]\n", "\xff\n"])
def test_a_damaged_line_of_a_stopped_run_costs_its_track_only(kept, whole, nearly_done, tmp_path, damage, monkeypatch):
    (head, first, _, *others), tracks = nearly_done
    (tmp_path / "rest.csv.partial").write_bytes(b"".join([head, first, damage.encode("latin-1"), *others]))
    compute, asked = extract._rows, []
    monkeypatch.setattr(extract, "_rows", lambda track, seconds: asked.append(track.id) or compute(track, seconds))
    again = extract.features(Folder(str(kept)), str(tmp_path / "rest.csv"), seconds=0.5, jobs=1)
    assert asked == [tracks[1], "metal/silent.wav"]
    assert again.read_bytes() == whole[0].read_bytes()


def test_a_file_named_as_a_part_of_another(songs, tmp_path):
    song = next((songs / "metal").glob("*.wav"))
    part = song.with_name(f"{song.stem}.1.wav")
    shutil.copy(song, part)
    soundfile.write(part, soundfile.read(song)[0][:22050], 22050)
    extract.features(Folder(str(songs)), str(tmp_path / "x.csv"), seconds=1.0, jobs=1)
    names = pd.read_csv(tmp_path / "x.csv")["filename"]
    assert names.is_unique
    assert f"metal/{song.stem}.1.0.wav" in set(names)
    data = FeatureTable(str(tmp_path / "x.csv"), Folder(str(songs)), split="external")
    data.prepare_data()
    found = data.open_collection()
    assert {f"metal/{song.name}", f"metal/{part.name}"} <= {track.id for track in found.tracks}


def test_rows_of_another_kind_are_not_taken_over_nor_lost(songs, tmp_path):
    partial = tmp_path / "table.csv.partial"
    left = seal({"location": str(songs), "seconds": 3.0}) + seal({"track": "blues/0.wav", "found": []})
    partial.write_bytes(left)
    with pytest.raises(UsageError, match=r"table\.csv\.partial: of a stopped run on .*--seconds 3, not "):
        extract.features(Folder(str(songs)), str(tmp_path / "table.csv"), seconds=0.5, jobs=1)
    assert partial.read_bytes() == left


def test_a_config_names_the_arguments(songs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["musiccli"])
    config = tmp_path / "features.yaml"
    settings = {"source": {"class_path": "Folder", "init_args": {"root": str(songs)}}, "seconds": 0.5, "jobs": 1}
    config.write_text(yaml.safe_dump({**settings, "out": str(tmp_path / "table.csv")}))
    assert main(["features", "--config", str(config)]) == 0
    assert len(pd.read_csv(tmp_path / "table.csv")) == 8
    of_fit = Path(musicgen_cls.__file__).parent / "configs" / "vgg.yaml"
    assert main(["features", "--config", str(of_fit), "--out", str(tmp_path / "x.csv")]) == 2
    assert (
        "--config: a config of fit; features takes address, engine, jobs, out, seconds, source only"
        in capsys.readouterr().err
    )


def test_what_is_refused(songs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["musiccli"])
    (tmp_path / "there.csv").write_text("mine")
    with pytest.raises(UsageError, match=r"there\.csv: exists"):
        extract.features(Folder(str(songs)), str(tmp_path / "there.csv"))
    assert (tmp_path / "there.csv").read_text() == "mine"
    for seconds, said in ((0, "must be more than 0"), (0.05, r"must be 0\.093 or more, the 2048 samples of a frame")):
        with pytest.raises(UsageError, match=rf"--seconds {seconds}: {said}"):
            extract.features(Folder(str(songs)), str(tmp_path / "x.csv"), seconds=seconds)
    (songs / "metal" / "silent.wav").rename(tmp_path / "silent.wav")
    silent = tmp_path / "quiet" / "a"
    silent.mkdir(parents=True)
    (tmp_path / "silent.wav").rename(silent / "silent.wav")
    with pytest.raises(SourceError, match=r"x\.csv: not written.*the first: .*silent\.wav: silent"):
        extract.features(Folder(str(tmp_path / "quiet")), str(tmp_path / "x.csv"), jobs=1)
    assert not list(tmp_path.glob("x.csv*"))
    for args, said in (
        ([], "missing: source, out"),
        (["--source", "Foldr", "--out", "x.csv"], "did you mean 'Folder'"),
        (["--source", "Folder", "--source.root", "gone", "--out", str(tmp_path / "x.csv")], "set --source.root"),
        (["--source", "Folder", "--source.root", str(songs), "--out", "x.csv", "--seconds", "soon"], "soon"),
        (
            ["--source", "Folder", "--source.root", str(songs), "--out", "x.csv", "--jobs", "0"],
            "--jobs 0: must be from 1 to 256",
        ),
    ):
        assert main(["features", *args]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert "Traceback" not in err
