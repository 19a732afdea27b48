"""Models of the Hugging Face hub on the command line: trust, licences, checkpoints, and one line for each error."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

import hub_models
import musicgen_cls
from hub_models import REVISION, put_into_cache, write_card
from musicgen_cls.__main__ import main
from musicgen_cls.cli.command_line import allowing
from musicgen_cls.errors import UsageError
from musicgen_cls.synth.render import render
from musicgen_cls.trust import ACCEPT_VARIABLE, TRUST_VARIABLE

pytestmark = pytest.mark.usefixtures("reports_without_figures")

BEST = Path("lightning_logs/pretrained/version_0/checkpoints/best.ckpt")
CODE = f"org/code@{REVISION}"
OPTIONS = [
    *(
        "--config",
        "pretrained",
        "--data.split",
        "track",
        "--data.fractions",
        "[0.5, 0.25, 0.25]",
        "--data.seconds",
        "1",
    ),
    *("--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the hub with three models. Read only."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("hubert", "remote"):
        (folder / name).mkdir()
        getattr(hub_models, f"save_{name}")(folder / name)
    put_into_cache(folder / "hubert", folder / "hub", "org/tiny")
    put_into_cache(folder / "remote", folder / "hub", "org/code")
    write_card(put_into_cache(folder / "hubert", folder / "hub", "org/free_for_study"), "cc-by-nc-4.0")
    return folder / "hub"


@pytest.fixture
def home(models: Path, code_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run commands in, and a copy of that cache."""
    from huggingface_hub import constants

    cache = shutil.copytree(models, tmp_path / "hub")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musiccli"])
    return tmp_path


def fit(songs: Path, backbone: str, *more: str) -> int:
    source = ["--data.source", "Folder", "--data.source.root", str(songs)]
    return main(["fit", *OPTIONS, *source, "--data.backbones", backbone, "--test_after_fit", "false", *more])


def test_a_model_of_the_hub_embeds_predicts_and_loads(home, songs):
    assert fit(songs, f"org/tiny@{REVISION}:1") == 0
    assert main(["test", str(BEST), "--out", "report"]) == 0
    assert main(["predict", str(songs / "jazz"), "--ckpt_path", str(BEST)]) == 0
    probabilities = musicgen_cls.load(BEST)(render("jazz", 0, seconds=2.0, sample_rate=16000))
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4)


def test_other_weights_than_in_training_are_refused(home, songs, capsys):
    assert fit(songs, "org/tiny") == 0
    other = hub_models.save_hubert(home / "other", seed=1)
    snapshot = home / "hub" / "models--org--tiny" / "snapshots" / REVISION
    shutil.copy(other / "model.safetensors", snapshot)
    assert main(["test", str(BEST)]) == 2
    assert "trained on embeddings of org/tiny with the digest" in capsys.readouterr().err


def test_code_runs_with_trust_only(home, code_folder, songs, capsys):
    assert fit(songs, CODE) == 2
    assert f"add --trust {CODE}" in capsys.readouterr().err
    config = home / "more.yaml"
    config.write_text(f"data: {{init_args: {{backbones: [{CODE}]}}}}")
    assert fit(songs, CODE, "--config", str(config)) == 2  # a config cannot trust it
    assert not list(code_folder.rglob("it_ran"))
    assert fit(songs, CODE, "--trust", CODE) == 0
    assert list(code_folder.rglob("it_ran"))
    assert TRUST_VARIABLE not in os.environ
    assert main(["test", str(BEST)]) == 2
    with pytest.raises(musicgen_cls.errors.MusicClsError, match="--trust"):
        musicgen_cls.load(BEST)
    assert musicgen_cls.load(BEST, trust=[CODE]).genres == ["jazz", "metal"]


def test_a_licence_must_be_accepted(home, songs, capsys):
    assert fit(songs, "org/free_for_study") == 2
    assert "non-commercial use only (licence cc-by-nc-4.0)" in capsys.readouterr().err
    assert fit(songs, "org/free_for_study", "--accept_licence") == 0
    assert ACCEPT_VARIABLE not in os.environ


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [
        ("org/gone", "org/gone@main: the hub cannot be reached (HF_HUB_OFFLINE is set)"),
        (f"org/tiny@{REVISION}:7", "layer 7: hubert has the layers 0 to 2"),
        ("org/tiny@v3", "org/tiny@v3: the hub cannot be reached"),
        ("./nowhere/else", "not a name of the hub"),
    ],
)
def test_errors_are_one_line(home, songs, backbone, expected, capsys):
    assert fit(songs, backbone) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("musiccli: error: ")
    assert expected in lines[0]


@pytest.mark.parametrize(
    ("args", "rest", "accepted"),
    [
        (["--accept_licence"], [], "1"),
        (["--accept_licence", "a.mp3"], ["a.mp3"], "1"),
        (["--accept_licence", "true", "a.mp3"], ["a.mp3"], "1"),
        (["--accept_licence=false", "x"], ["x"], None),
        (["x"], ["x"], None),
    ],
)
def test_the_option_is_taken_from_the_command_line(args, rest, accepted, monkeypatch):
    monkeypatch.delenv(ACCEPT_VARIABLE, raising=False)
    with allowing(["predict", *args]) as left:
        assert left == ["predict", *rest]
        assert os.environ.get(ACCEPT_VARIABLE) == accepted
    assert ACCEPT_VARIABLE not in os.environ


def test_a_value_that_is_neither():
    with pytest.raises(UsageError, match="--accept_licence maybe"), allowing(["--accept_licence=maybe"]):
        pass


def test_several_are_trusted_and_forgotten(monkeypatch):
    monkeypatch.setenv(TRUST_VARIABLE, "one")
    with allowing(["test", "--trust", "two,three", f"--trust={CODE}"]) as left:
        assert left == ["test"]
        assert os.environ[TRUST_VARIABLE] == f"one,two,three,{CODE}"
    assert os.environ[TRUST_VARIABLE] == "one"
