"""Every option that takes a path is given one that no file can have: one line that names the option, and status 2."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

import musicgen_cls
from musicgen_cls.__main__ import main

CONFIGS = Path(musicgen_cls.__file__).parent / "configs"
LONG = "a" * 300
FIT = ["fit", "--config", str(CONFIGS / "vgg.yaml"), "--data.source", "Folder", "--data.source.root"]
MLP = ["fit", "--config", str(CONFIGS / "feature_mlp.yaml")]
VGG = ["prepare", "--config", str(CONFIGS / "vgg.yaml")]

COMMANDS = {
    "--data.source.root": [*FIT, LONG],
    "--data.cache_dir": [
        *VGG,
        "--data.source",
        "SyntheticGenres",
        "--data.source.seconds",
        "1",
        "--data.cache_dir",
        LONG,
    ],
    "--trainer.logger.save_dir": [*FIT, "MUSIC", "--trainer.logger.save_dir", LONG],
    "--trainer.logger.save_dir and .name": [*FIT, "MUSIC", "--trainer.logger.name", LONG],
    "--checkpoint.dirpath": [*FIT, "MUSIC", "--checkpoint.dirpath", LONG],
    "--trainer.default_root_dir": [*FIT, "MUSIC", "--trainer.logger", "false", "--trainer.default_root_dir", LONG],
    "--ckpt_path": ["test", "--ckpt_path", LONG],
    "--config": ["fit", "--config", LONG],
    "--data.table": [*MLP, "--data.table", LONG],
    "--data.source.folder": [*VGG, "--data.source", "SyntheticGenres", "--data.source.folder", LONG],
    "features --data.source.root": ["features", "--source", "Folder", "--source.root", LONG, "--out", "x.csv"],
    "features --out": ["features", "--source", "Folder", "--source.root", "MUSIC", "--out", LONG],
    "embed FILE": ["embed", LONG],
    "embed --out": ["embed", "MUSIC", "--out", LONG],
    "RUN": ["compare", LONG],
    "RUN of a pattern": ["compare", f"A={LONG}"],
    "compare --out": ["compare", "x", "--out", LONG],
    "FILE": ["plot", LONG],
    "plot --out": ["plot", "MUSIC", "--out", LONG],
    "plot --ckpt_path": ["plot", "MUSIC", "--ckpt_path", LONG],
    "GENERATED": ["judge", LONG, "MUSIC"],
    "judge --out": ["judge", "MUSIC", "MUSIC", "--out", LONG],
    "--judge": ["judge", "MUSIC", "MUSIC", "--judge", LONG],
    "CHECKPOINT": ["export", LONG],
    "--fit": ["sweep", "--fit", LONG, "--space", "{model.lr: [0.1]}"],
    "sweep --config": ["sweep", "--config", LONG],
}


@pytest.mark.parametrize("option", COMMANDS)
def test_names_that_are_too_long(
    option: str, songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musiccli"])
    assert main([str(songs) if arg == "MUSIC" else arg for arg in COMMANDS[option]]) == 2
    err = capsys.readouterr().err
    (said,) = [line for line in err.splitlines() if line.startswith("musiccli: error: ")]
    assert len(said) < 700
    assert not [path for path in tmp_path.iterdir() if path.name not in ("comparison", "judged", "plots")]


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no devices here")
@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["fit", "--config", "/dev/zero"], "--config /dev/zero: a device or a pipe, not a file"),
        ([*MLP, "--data.table", "/dev/zero"], "--data.table /dev/zero: a device or a pipe, not a file"),
        (["test", "--ckpt_path", "/dev/zero"], "/dev/zero: no such file"),
        (["features", "--source", "Folder", "--source.root", "MUSIC", "--out", "/dev/null"], "exists"),
    ],
)
def test_devices(args: list[str], said: str, songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(songs) if arg == "MUSIC" else arg for arg in args]) == 2
    assert said in capsys.readouterr().err


def test_the_content_of_a_file_named_by_mistake_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret").write_text("the-password: 12345\n")
    for option in ("--data.source", "--model.network", "--data", "--trainer", "--data.genres", "--trainer.logger"):
        main(["fit", "--config", str(CONFIGS / "vgg.yaml"), option, str(tmp_path / "secret")])
        printed = capsys.readouterr()
        assert "12345" not in printed.err + printed.out
        assert "password" not in printed.err + printed.out
        assert "musiccli: error: " in printed.err


def test_a_value_of_any_length_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--config", str(CONFIGS / "vgg.yaml"), "--data.split", "x" * 200_000]) == 2
    assert len(capsys.readouterr().err) < 1000


def test_a_full_disk_under_tensorboard_is_one_line(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tensorboard.summary.writer.record_writer.RecordWriter.write", full)
    small = ["--data.seconds", "1", "--data.sample_rate", "4000", "--data.n_mels", "32", "--model.network.width", "2"]
    sides = ["--data.fractions", "[0.5,0.25,0.25]", "--data.hop_length", "64", "--trainer.max_epochs", "1"]
    assert main([*FIT, str(songs), *small, *sides, "--trainer.accelerator", "cpu"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    where = Path("lightning_logs", "vgg", "version_0")
    assert f"musiccli: error: {where}: cannot be written (No space left on device); free space" in err.splitlines()[-1]
