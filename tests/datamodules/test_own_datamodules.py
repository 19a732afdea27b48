"""Datamodules of a plain file beside the user's config go through every command as those of this package do."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

import musicgen_cls
from musicgen_cls.__main__ import main
from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.cli.help import class_help
from musicgen_cls.errors import CheckpointError
from musicgen_cls.specs import arguments_of, class_path, plain
from musicgen_cls.trust import make

CODE = '''
import numpy as np
import torch
from musicgen_cls.audio.io import read
from musicgen_cls.audio.mel import Standardise
from musicgen_cls.collection.collection import join
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.datamodules.front_end import FrontEnd
from musicgen_cls.datamodules.mel import MelSlices

class Flat(torch.nn.Module):
    def __init__(self, num_classes: int, n_mels: int = 16):
        super().__init__()
        self.n_mels = n_mels
        self.dense = torch.nn.Linear(n_mels, num_classes)
    def forward(self, x):
        return self.dense(x.mean(dim=2))

class QuietMel(MelSlices):
    """Mel spectrograms of quieter music.

    Args:
        gain: factor on the waveforms.
    """
    INPUT_ARGUMENTS = (*MelSlices.INPUT_ARGUMENTS, "gain")
    def __init__(self, gain: float = 0.5, **kwargs):
        self.gain = gain
        super().__init__(n_mels=16, **kwargs)
        scale = self.front_end.scale
        self.front_end.scale = lambda items: gain * scale(items)

class Envelopes(GenreDataModule):
    """Loudness by hundredths of a second.

    Args:
        frames: hundredths in a window.
    """
    INPUT_ARGUMENTS = ("frames",)
    NETWORK_SIZES = ("n_mels",)
    n_mels = 1
    def __init__(self, frames: int = 50, **kwargs):
        self.frames = frames
        super().__init__(**kwargs)
        self.front_end = FrontEnd(None, lambda x: x.transpose(1, 2), Standardise(1, min_std=1e-3))
    @property
    def window_length(self):
        return self.frames
    def blank_window(self):
        return torch.zeros(1, self.frames, 1)
    def read_tracks(self):
        tracks = self.source.tracks()
        sounds = [read(track.path, 4000) for track in tracks]
        parts = [np.log10(1e-6 + s[: len(s) // 40 * 40].reshape(-1, 40).std(axis=1))[:, None] for s in sounds]
        return join(tracks, [], [part.astype("f4") for part in parts], 100.0)
'''
Call = Callable[..., tuple[int, str, str]]
OPTIONS = {"fractions": [0.5, 0.25, 0.25], "batch_size": 4}
KINDS = {
    "QuietMel": ({"seconds": 0.5, "sample_rate": 4000, "n_fft": 256, "windows_per_track": 3, "gain": 0.25}, 16),
    "Envelopes": ({"frames": 40}, 1),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the plain file `own_data.py`, which can be imported."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_data.py").write_text(CODE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        patch.setattr(sys, "argv", ["musiccli"])
        yield folder
    sys.modules.pop("own_data", None)


@pytest.fixture
def call(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs a command line in that folder: status, and what it printed."""
    monkeypatch.chdir(home)

    def run(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(arg) for arg in args])
        return (status, *capsys.readouterr())

    return run


@pytest.fixture(scope="module", params=KINDS)
def trained(request: pytest.FixtureRequest, home: Path, songs: Path) -> tuple[str, Path]:
    """A name of a class, and the checkpoint of a network that was trained on it for an epoch."""
    name = request.param
    options, bands = KINDS[name]
    source = {"class_path": "Folder", "init_args": {"root": str(songs)}}
    logger = {"class_path": "TensorBoardLogger", "init_args": {"save_dir": "logs", "name": name}}
    network = {"class_path": "own_data.Flat", "init_args": {"n_mels": bands}}
    config = {
        "model": {"class_path": "GenreClassifier", "init_args": {"network": network, "lr": 0.01}},
        "data": {"class_path": f"own_data.{name}", "init_args": {"source": source, **OPTIONS, **options}},
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False, "logger": logger},
        "test_after_fit": False,
    }
    Path(f"{name}.yaml").write_text(yaml.safe_dump(config))
    assert main(["fit", "--config", f"{name}.yaml"]) == 0
    return name, home / "logs" / name / "version_0" / "checkpoints" / "best.ckpt"


def test_the_checkpoint_knows_every_argument(trained: tuple[str, Path]) -> None:
    name, checkpoint = trained
    saved = read_checkpoint(checkpoint, trust=["own_data"])
    assert saved.data["class_path"] == f"own_data.{name}"
    assert saved.data["init_args"].items() >= ({**OPTIONS, **KINDS[name][0]}).items()
    assert "n_mels" not in saved.data["init_args"]
    assert len(saved.trained_on) == 6
    rebuilt = make(saved.data)
    assert plain(rebuilt)["init_args"] | {"files": None} == saved.data["init_args"]
    assert rebuilt.front_end.train()(rebuilt.blank_window()).shape[1] == KINDS[name][1]


def test_its_own_checkpoint_is_tested(trained: tuple[str, Path], call: Call) -> None:
    name, checkpoint = trained
    status, _, err = call("test", "--ckpt_path", checkpoint, "--trust", "own_data", "--out", f"{name}-test")
    assert status == 0, err
    report = json.loads(Path(f"{name}-test/report.json").read_text())
    assert (report["tracks"], report["can_leak"]) == (2, False)
    assert (report["level_offset_db"] is None) == (name == "Envelopes")
    assert Path(f"{name}-test/report.html").is_file()


def test_it_predicts_files_if_it_reads_audio(trained: tuple[str, Path], call: Call, songs: Path) -> None:
    name, checkpoint = trained
    song = songs / "jazz" / "0.wav"
    args = "predict", "--ckpt_path", checkpoint, "--trust", "own_data", "--data.files", song, "--out", f"{name}-said"
    status, _, err = call(*args)
    if name == "QuietMel":
        assert status == 0, err
        (row,) = pd.read_csv(f"{name}-said/predictions.csv").to_dict("records")
        probabilities = musicgen_cls.load(checkpoint, trust=["own_data"])(song)
        assert {genre: pytest.approx(row[genre], abs=1e-4) for genre in ("jazz", "metal")} == probabilities
    else:
        assert status == 2
        assert "predict: takes audio files, but this checkpoint was trained on Envelopes" in err
        with pytest.raises(CheckpointError, match="trained on Envelopes, not on audio; use musiccli test"):
            musicgen_cls.load(checkpoint, trust=["own_data"])


def test_it_is_resumed(trained: tuple[str, Path], call: Call) -> None:
    name, checkpoint = trained
    last = checkpoint.with_name("last.ckpt")
    args = "fit", "--config", f"{name}.yaml", "--trust", "own_data", "--trainer.max_epochs", 2, "--ckpt_path", last
    status, _, err = call(*args)
    assert status == 0, err
    assert read_checkpoint(checkpoint.parents[2] / "version_1/checkpoints/last.ckpt", trust=["own_data"]).epoch == 1


def test_what_it_feeds_networks_cannot_change(trained: tuple[str, Path], call: Call) -> None:
    name, checkpoint = trained
    option = ("--data.gain", 1) if name == "QuietMel" else ("--data.frames", 30)
    status, _, err = call("test", "--config", f"{name}.yaml", "--ckpt_path", checkpoint, "--trust", "own_data", *option)
    assert status == 2
    assert f"trained with {option[0].removeprefix('--')}" in err


def test_a_network_of_another_size(trained: tuple[str, Path], call: Call) -> None:
    name, _ = trained
    status, _, err = call("fit", "--config", f"{name}.yaml", "--model.network.n_mels", 9)
    assert status == 2
    assert f"set --model.network.n_mels {KINDS[name][1]}" in err


def test_export_asks_the_datamodule(trained: tuple[str, Path], home: Path) -> None:
    from musicgen_cls.commands.export.module import Exported
    from musicgen_cls.recogniser import load_parts

    name, checkpoint = trained
    task, data = load_parts(read_checkpoint(checkpoint, trust=["own_data"]), torch.device("cpu"))
    if name == "Envelopes":
        with pytest.raises(CheckpointError, match=r"Envelopes: `musiccli export` does not know its input"):
            Exported(data, task)
        return
    whole = Exported(data, task).eval()
    items = whole.input.trials()
    want = task.probabilities(data.network_input(items))
    torch.testing.assert_close(whole(whole.input.from_items(items)), want)


def test_help_explains_inherited_arguments(trained: tuple[str, Path]) -> None:
    cls = getattr(sys.modules["own_data"], trained[0])
    text = class_help(cls, "--data")
    assert class_path(cls) == f"own_data.{trained[0]}"
    for name in arguments_of(cls):
        lines = text.splitlines()
        (at,) = (i for i, line in enumerate(lines) if line.split(":")[0].split(" =")[0] == f"  --data.{name}")
        assert len(lines[at + 1].strip()) > 3, name
    assert "kwargs" not in text
    assert list(inspect.signature(cls).parameters)[-1] == "kwargs"
