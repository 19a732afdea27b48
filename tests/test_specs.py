from functools import partial
from pathlib import Path

import pytest
import yaml
from torch import nn

from musicgen_cls.errors import UsageError
from musicgen_cls.models.classifiers.cnn5 import CNN5
from musicgen_cls.models.classifiers.vgg import VGG
from musicgen_cls.sources.folder import Folder
from musicgen_cls.sources.synthetic import SyntheticGenres
from musicgen_cls.specs import class_path, init_arguments, plain


class Pair:
    """Keeps its arguments, one of them another object."""

    def __init__(self, first: object, second: float = 2.0) -> None:
        self.first = first
        self.second = second


@pytest.mark.parametrize("value", [None, True, 3, 0.5, "text", [1, [2, None]], {"a": {"b": [1.5]}}, [], {}])
def test_primitives_stay(value):
    assert plain(value) == value
    assert type(plain(value)) is type(value)


def test_paths_and_tuples():
    assert plain((1, (Path("a/b"), "c"))) == [1, ["a/b", "c"]]


def test_a_class():
    assert plain(VGG) == {"class_path": "musicgen_cls.models.VGG", "init_args": {}}


@pytest.mark.parametrize(
    "value",
    [
        partial(VGG, width=8, dropout=0.1),
        partial(partial(VGG, width=8), dropout=0.1),
        partial(lambda make, cls, *args, **kwargs: None, print, VGG, width=8, dropout=0.1),  # as jsonargparse does
    ],
)
def test_a_partial_class(value):
    assert plain(value) == {
        "class_path": "musicgen_cls.models.VGG",
        "init_args": {"width": 8, "dropout": 0.1},
    }


def test_instances():
    assert plain(Folder("music")) == {
        "class_path": "musicgen_cls.sources.Folder",
        "init_args": {"root": "music"},
    }
    assert init_arguments(SyntheticGenres(tracks_per_genre=3, seed=7)) == {
        "tracks_per_genre": 3,
        "seconds": 30.0,
        "seed": 7,
        "sample_rate": 22050,
        "folder": None,
    }


def test_instances_in_instances_and_classes_in_them():
    described = plain(Pair(Pair(CNN5, 1.0)))
    assert described["class_path"] == class_path(Pair)
    assert described["init_args"]["first"]["init_args"]["first"]["class_path"] == "musicgen_cls.models.CNN5"
    assert yaml.safe_load(yaml.safe_dump(described)) == described


@pytest.mark.parametrize("value", [lambda n: VGG(n), test_a_class, partial(test_a_class, 1)])
def test_functions_are_refused(value):
    with pytest.raises(UsageError, match="a function cannot be kept in checkpoints"):
        plain(value)


@pytest.mark.parametrize("value", [nn.Identity(), nn.Sequential(nn.ReLU()), {1, 2}])
def test_instances_that_do_not_tell_their_arguments_are_refused(value):
    """Such as `augment=nn.Identity()`, given from Python."""
    with pytest.raises(UsageError):
        plain(value)


def test_positional_arguments_of_a_partial_are_not_lost_in_silence():
    """`partial(Pair, 1)` is called as `Pair(1, num_classes)`: a checkpoint that forgot the 1 would rebuild another."""
    with pytest.raises(UsageError, match="partial"):
        plain(partial(Pair, 1))
