from pathlib import Path

import pytest
import torch

from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.errors import CheckpointError

OURS = {
    "epoch": 4,
    "hyper_parameters": {"_class_path": "musicgen_cls.tasks.classification.GenreClassifier", "lr": 0.1},
    "datamodule_hyper_parameters": {"_class_path": "musicgen_cls.datamodules.mel.MelSlices", "genres": ["a", "b"]},
    "state_dict": {},
}


def save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def test_what_it_says(tmp_path):
    said = read_checkpoint(str(save(tmp_path / "a.ckpt", OURS)))
    assert said.path == tmp_path / "a.ckpt"
    assert said.epoch == 4
    assert said.genres == ["a", "b"]
    assert said.model == {
        "class_path": "musicgen_cls.tasks.classification.GenreClassifier",
        "init_args": {"lr": 0.1},
    }


@pytest.mark.parametrize("name", ["missing.ckpt", "."])
def test_missing(tmp_path, name):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read_checkpoint(tmp_path / name)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_cut_short(tmp_path, share):
    path = save(tmp_path / "a.ckpt", OURS | {"state_dict": {"w": torch.zeros(1000)}})
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CheckpointError, match=r"a.ckpt: not a checkpoint that can be read"):
        read_checkpoint(path)


def test_text(tmp_path):
    (tmp_path / "a.ckpt").write_text("epoch: 3")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        read_checkpoint(tmp_path / "a.ckpt")


def test_code_is_not_run(tmp_path):
    path = save(tmp_path / "a.ckpt", OURS | {"path": Path("x")})
    with pytest.raises(CheckpointError, match="not a checkpoint that can be read"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"state_dict": {}, "epoch": 1},
        OURS | {"hyper_parameters": {"_class_path": "somebody.else.Model"}},
        OURS | {"hyper_parameters": {"lr": 0.1}},
        OURS | {"datamodule_hyper_parameters": {}},
        OURS | {"datamodule_hyper_parameters": {"genres": ["a", "b"]}},
        torch.zeros(3),
        [1, 2],
    ],
)
def test_of_something_else(tmp_path, content):
    with pytest.raises(CheckpointError, match="this musicgen_cls did not write it"):
        read_checkpoint(save(tmp_path / "a.ckpt", content))


@pytest.mark.parametrize("part", ["hyper_parameters", "datamodule_hyper_parameters"])
@pytest.mark.parametrize("name", ["musicgen_cls.datamodules.gone.MelSlices", "musicgen_cls.datamodules.mel.Gone"])
def test_of_a_class_that_is_not_here(tmp_path, part, name):
    """As one written by another version of this package."""
    path = save(tmp_path / "a.ckpt", OURS | {part: OURS[part] | {"_class_path": name}})  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=r"a\.ckpt: "):
        read_checkpoint(path)
