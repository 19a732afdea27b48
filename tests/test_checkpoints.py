import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.errors import CheckpointError
from musicgen_cls.trust import TRUST_VARIABLE

OURS = {
    "epoch": 4,
    "global_step": 40,
    "pytorch-lightning_version": "2.6.6",
    "hyper_parameters": {"_class_path": "musicgen_cls.tasks.classification.GenreClassifier", "lr": 0.1},
    "datamodule_hyper_parameters": {"_class_path": "musicgen_cls.datamodules.mel.MelSlices", "genres": ["a", "b"]},
    "MelSlices": {"front_end": {}, "trained_on": ["x", "y"]},
    "state_dict": {},
}


def save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def changed(part: str, **arguments: object) -> dict:
    return OURS | {part: OURS[part] | arguments}  # type: ignore[operator]


def test_the_facts_of_a_checkpoint(tmp_path):
    said = read_checkpoint(str(save(tmp_path / "a.ckpt", OURS)))
    assert said.path == tmp_path / "a.ckpt"
    assert said.epoch == 4
    assert said.genres == ["a", "b"]
    assert said.trained_on == {"x", "y"}
    assert said.model == {
        "class_path": "musicgen_cls.tasks.GenreClassifier",
        "init_args": {"lr": 0.1},
    }


def test_the_key_of_older_checkpoints(tmp_path):
    older = OURS | {"MelSlices": {"front_end": {}, "heard": ["x", "z"]}}
    assert read_checkpoint(save(tmp_path / "a.ckpt", older)).trained_on == {"x", "z"}


@pytest.mark.parametrize(("name", "what"), [("missing.ckpt", "no such file"), (".", "a folder without a best.ckpt")])
def test_missing(tmp_path, name, what):
    with pytest.raises(CheckpointError, match=what):
        read_checkpoint(tmp_path / name)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_cut_short(tmp_path, share):
    path = save(tmp_path / "a.ckpt", OURS | {"state_dict": {"w": torch.zeros(1000)}})
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CheckpointError, match=r"a.ckpt: not a readable checkpoint"):
        read_checkpoint(path)


def test_text(tmp_path):
    (tmp_path / "a.ckpt").write_text("epoch: 3")
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        read_checkpoint(tmp_path / "a.ckpt")


def test_code_is_not_run(tmp_path):
    path = save(tmp_path / "a.ckpt", OURS | {"path": Path("x")})
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        read_checkpoint(path)


def test_a_flipped_byte_is_noticed_or_changes_nothing(tmp_path):
    """Torch reads changed weights without a word; the sums in the file tell."""
    weights = torch.arange(300.0)
    path = save(tmp_path / "a.ckpt", OURS | {"state_dict": {"w": weights}})
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    noticed = 0
    for place in rng.integers(len(whole), size=300):
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            said = read_checkpoint(path)
        except CheckpointError:
            noticed += 1
        else:
            assert (said.epoch, said.genres, said.trained_on) == (4, ["a", "b"], {"x", "y"})
            assert torch.equal(torch.load(path, weights_only=True)["state_dict"]["w"], weights)
    assert noticed > 150


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "'epoch' is missing"),
        ({"state_dict": {}, "epoch": 1}, "'global_step' is missing"),
        (OURS | {"epoch": "4"}, "'epoch' is missing, or has another type"),
        (OURS | {"epoch": -1}, "'epoch' is missing, or has another type"),
        (OURS | {"state_dict": {"w": 3}}, "'state_dict' is missing, or has another type"),
        ({k: v for k, v in OURS.items() if k != "pytorch-lightning_version"}, "'pytorch-lightning_version' is missing"),
        (OURS | {"hyper_parameters": {"lr": 0.1}}, "None is not the path of a class"),
        (OURS | {"datamodule_hyper_parameters": {"genres": ["a", "b"]}}, "None is not the path of a class"),
        (changed("datamodule_hyper_parameters", genres=[]), "a checkpoint without genres"),
        (changed("datamodule_hyper_parameters", genres="ab"), "a checkpoint without genres"),
        (changed("hyper_parameters", widht=3), "GenreClassifier has no argument widht"),
        (OURS | {"MelSlices": {"front_end": {}, "trained_on": 3}}, "'trained_on' is not a list of strings"),
        (OURS | {"MelSlices": {"front_end": {}, "heard": 3}}, "'trained_on' is not a list of strings"),
        (OURS | {"MelSlices": {"front_end": {}, "leaks": [3]}}, "'leaks' is not a list of strings"),
        (torch.zeros(3), "a checkpoint that musicgen_cls did not write"),
        ([1, 2], "a checkpoint that musicgen_cls did not write"),
    ],
)
def test_of_something_else(tmp_path, content, said):
    with pytest.raises(CheckpointError, match=said):
        read_checkpoint(save(tmp_path / "a.ckpt", content))


@pytest.mark.parametrize("part", ["hyper_parameters", "datamodule_hyper_parameters"])
@pytest.mark.parametrize("name", ["musicgen_cls.datamodules.gone.MelSlices", "musicgen_cls.datamodules.mel.Gone"])
def test_of_a_class_that_is_not_here(tmp_path, part, name):
    """As one written by another version of this package."""
    with pytest.raises(CheckpointError, match=r"a\.ckpt: names '.*', but it cannot be imported"):
        read_checkpoint(save(tmp_path / "a.ckpt", changed(part, _class_path=name)))


class TestStrangers:
    """A checkpoint imports nothing that only it names: an archive of a checkpoint and a .py file runs no code."""

    @pytest.fixture
    def ran(self, tmp_path, monkeypatch):
        """Says whether the stranger's module has been imported; it lies in the current folder."""
        code = "import torch\nclass Net(torch.nn.Module):\n    def __init__(self, num_classes): super().__init__()\n"
        (tmp_path / "stranger.py").write_text(code)
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        yield lambda: "stranger" in sys.modules
        sys.modules.pop("stranger", None)

    @pytest.mark.parametrize(
        ("part", "arguments", "said"),
        [
            ("hyper_parameters", {"_class_path": "stranger.Net"}, "add --trust stranger"),
            ("datamodule_hyper_parameters", {"_class_path": "stranger.Net"}, "add --trust stranger"),
            ("hyper_parameters", {"network": {"class_path": "stranger.Net"}}, "add --trust stranger"),
            ("hyper_parameters", {"network": "stranger.Net"}, "is not the description of a class"),
            ("hyper_parameters", {"lr": {"class_path": "stranger.Net"}}, "argument lr is a dict"),
            ("hyper_parameters", {"lr": ["x", {"class_path": "stranger.Net"}]}, "argument lr is a dict"),
            ("datamodule_hyper_parameters", {"augment": {"class_path": "stranger.Net"}}, "add --trust stranger"),
            ("datamodule_hyper_parameters", {"source": {"class_path": "stranger.Net"}}, "add --trust stranger"),
            ("hyper_parameters", {"network": {"class_path": "subprocess.Popen"}}, "add --trust subprocess"),
            ("hyper_parameters", {"network": {"class_path": "musicgen_cls.files.os.system"}}, "cannot be imported"),
            ("hyper_parameters", {"network": {"class_path": "musicgen_cls.files.Path"}}, "which is not a Module"),
            ("hyper_parameters", {"_class_path": "torch.nn.Linear"}, "which is not a LightningModule"),
            ("hyper_parameters", {"_class_path": ["a"]}, "is not the path of a class"),
        ],
    )
    def test_is_not_imported(self, tmp_path, ran, part, arguments, said):
        path = save(tmp_path / "a.ckpt", changed(part, **arguments))
        with pytest.raises(CheckpointError, match=said):
            read_checkpoint(path)
        assert not ran()

    def test_is_imported_once_trusted(self, tmp_path, ran, monkeypatch):
        path = save(tmp_path / "a.ckpt", changed("hyper_parameters", network={"class_path": "stranger.Net"}))
        assert read_checkpoint(path, trust=["stranger"]).model["init_args"]["network"] == {"class_path": "stranger.Net"}
        assert ran()
        monkeypatch.setenv(TRUST_VARIABLE, "other,stranger")
        assert read_checkpoint(path).epoch == 4
        monkeypatch.setenv(TRUST_VARIABLE, "strange")
        with pytest.raises(CheckpointError, match="--trust stranger"):
            read_checkpoint(path)
