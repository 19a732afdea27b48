from functools import partial
from pathlib import Path

import pytest
import yaml
from torch import nn

from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.datamodules.waveform import WaveformWindows
from musicgen_cls.errors import UsageError
from musicgen_cls.models.classifiers.cnn5 import CNN5
from musicgen_cls.models.classifiers.vgg import VGG
from musicgen_cls.sources.folder import Folder
from musicgen_cls.sources.synthetic import SyntheticGenres
from musicgen_cls.specs import arguments_of, class_path, current, init_arguments, plain
from musicgen_cls.trust import check_described, make


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
    with pytest.raises(UsageError, match="a checkpoint cannot store a function"):
        plain(value)


@pytest.mark.parametrize("value", [nn.Identity(), nn.Sequential(nn.ReLU()), {1, 2}])
def test_instances_that_do_not_tell_their_arguments_are_refused(value):
    """Such as `augment=nn.Identity()`, given from Python."""
    with pytest.raises(UsageError):
        plain(value)


def described(**values: object) -> str:
    return str(values)


class Base:
    def __init__(self, part: Folder | None = None, rate: int = 8, unit: str = "s") -> None:
        self.part, self.rate, self.unit = part, rate, unit


class Middle(Base):
    def __init__(self, rate: int = 9, size: float = 0.5, **kwargs) -> None:
        """Gives `rate` on under its own name, which is thereby still an argument."""
        self.size = size
        described(unit="not this call", **{})
        super().__init__(rate=rate, **kwargs)


class Without(Middle):
    pass


class Own(Without):
    def __init__(self, gain: float = 1.0, **options) -> None:
        self.gain = gain
        super().__init__(size=0.25, **options)


class First(Base):
    def __init__(self, gain: float = 1.0, **kwargs) -> None:
        self.gain = gain
        super().__init__(None, 7, **kwargs)


class Direct(Base):
    def __init__(self, gain: float = 1.0, **kwargs) -> None:
        self.gain = gain
        Base.__init__(self, None, rate=7, **kwargs)


class Keeps(Base):
    def __init__(self, gain: float = 1.0, **kwargs) -> None:
        self.gain, self.others = gain, kwargs
        super().__init__()


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        (Base, ["part", "rate", "unit"]),
        (Middle, ["rate", "size", "part", "unit"]),
        (Without, ["rate", "size", "part", "unit"]),
        (Own, ["gain", "rate", "part", "unit"]),
        (First, ["gain", "unit"]),
        (Direct, ["gain", "unit"]),
    ],
)
def test_arguments_that_are_handed_on(cls, names):
    assert list(arguments_of(cls)) == names
    assert arguments_of(cls)["unit"].default == "s"
    values = {"part": Folder("music"), "rate": 3, "unit": "ms", "size": 4.0, "gain": 5.0}
    instance = cls(**{name: values[name] for name in names})
    spec = plain(instance)
    assert spec["init_args"] == {name: plain(values[name]) for name in names}
    assert plain(make(spec)) == spec


def test_classes_are_found_in_arguments_that_are_handed_on():
    spec = {"class_path": class_path(Own), "init_args": {"part": {"class_path": "os.system"}}}
    with pytest.raises(UsageError, match="--trust os"):
        check_described(spec, Base, trust=[Own.__module__])
    with pytest.raises(UsageError, match="Own has no argument size"):
        check_described({"class_path": class_path(Own), "init_args": {"size": 1.0}}, Base, trust=[Own.__module__])


def test_arguments_that_are_not_handed_on_stay_unknown():
    assert list(arguments_of(Keeps)) == ["gain", "kwargs"]
    with pytest.raises(UsageError, match="has no attribute with the name of its argument 'kwargs'"):
        plain(Keeps())


def test_a_class_without_source_code():
    names = {}
    exec(
        "class Typed(Base):\n    def __init__(self, gain=1.0, **kwargs):\n        super().__init__(**kwargs)",
        globals(),
        names,
    )
    assert list(arguments_of(names["Typed"])) == ["gain", "part", "rate", "unit"]


def test_the_default_of_the_class_itself_counts():
    assert arguments_of(Middle)["rate"].default == 9
    assert arguments_of(MelSlices)["sample_rate"].default == 22050
    assert arguments_of(WaveformWindows)["sample_rate"].default == 10_000
    assert "seconds" not in arguments_of(WaveformWindows)


def test_positional_arguments_of_a_partial_are_not_lost_in_silence():
    """`partial(Pair, 1)` is called as `Pair(1, num_classes)`: a checkpoint that forgot the 1 would rebuild another."""
    with pytest.raises(UsageError, match="partial"):
        plain(partial(Pair, 1))


@pytest.mark.parametrize("path", ["WaveformWindows", "musicgen_cls.datamodules.waveform.WaveformWindows"])
def test_older_names_of_arguments(path):
    older = {"data": {"class_path": path, "init_args": {"takes": 3, "genre": "jazz"}}}
    assert current(older)["data"]["init_args"] == {"samples_per_prompt": 3, "genre": "jazz"}


def test_arguments_of_other_classes_keep_their_names():
    own = {"class_path": "mine.Windows", "init_args": {"takes": 3, "source": {"class_path": "Folder"}}}
    assert current(own) == own
    assert current({"takes": 3, "class_path": None, "init_args": [1]}) == {
        "takes": 3,
        "class_path": None,
        "init_args": [1],
    }
