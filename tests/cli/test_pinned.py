"""What the command line relies on beyond the documented interfaces of jsonargparse and Lightning.

These tests fail first when a new version changes one of these. `pyproject.toml` pins both packages narrowly.
"""

from __future__ import annotations

import inspect
from typing import Literal

import pytest
from jsonargparse import ArgumentParser, _actions, _loaders_dumpers, _typehints, _util
from lightning.pytorch.cli import LightningCLI
from torch import nn

from musicgen_cls.cli.lightning import MusicCLI
from musicgen_cls.cli.messages import explain
from musicgen_cls.cli.patches import patched
from musicgen_cls.sources import Source


class Text(Exception):
    """The text of a parser's error."""


class Parser(ArgumentParser):
    def error(self, message, ex=None):
        raise Text(message) from ex


def train(
    out: str,
    steps: int = 1,
    kind: Literal["cpu", "gpu"] = "cpu",
    size: Literal["all"] | int = 1,
    network: nn.Module | None = None,
    source: Source | None = None,
) -> None:
    """Train."""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--out=x", "--stepps=1"], "no option '--stepps=1'; did you mean 'steps'?"),
        (["--out=x", "song.mp3"], "no option 'song.mp3'"),
        ([], "missing: out; musiccli COMMAND --help explains it"),
        (["--out"], "--out: has no value; give one, as --out VALUE"),
        (["--out=x", "--steps=two"], "steps: 'two' is not a whole number"),
        (["--out=x", "--kind=cpuu"], "kind: 'cpuu' is not one of cpu, gpu; did you mean 'cpu'?"),
        (["--out=x", "--size=al"], "size: 'al' is none of Literal['all'], int; did you mean 'all'?"),
        (["--out=x", "--network=VGGG"], "network: no class 'VGGG'; did you mean 'VGG'?"),
        (["--out=x", "--network=VGG", "--network.widht=8"], "no option 'widht'; did you mean 'width'?"),
        (["--out=x", "--source.root=x"], "name the class before its arguments, --source before --source.root"),
    ],
)
def test_the_texts_of_errors(args, said):
    parser = Parser()
    parser.add_function_arguments(train)
    with pytest.raises(Text) as caught:
        parser.parse_args(args)
    assert explain(str(caught.value), ["steps", "width", "out"], ["VGG", "CNN5"]) == said


def test_what_is_patched_is_there_and_put_back():
    before = _typehints.resolve_class_path_by_name, _actions.parse_value_or_config
    assert list(inspect.signature(before[0]).parameters) == ["cls", "name"]
    assert "enable_path" in inspect.signature(_util.parse_value_or_config).parameters
    assert "_enable_path" in inspect.getsource(_typehints.ActionTypeHint)
    with patched():
        assert _typehints.resolve_class_path_by_name is not before[0]
        assert _typehints.resolve_class_path_by_name(nn.Module, "VGG") == "musicgen_cls.models.VGG"
        assert _typehints.resolve_class_path_by_name(nn.Module, "Identity") == "torch.nn.Identity"
    assert (_typehints.resolve_class_path_by_name, _actions.parse_value_or_config) == before
    assert "_enable_path" not in vars(_typehints.ActionTypeHint)


def test_a_short_name_means_ours_where_others_have_one_too(monkeypatch):
    class Other(nn.Module):
        """Another package's class of a name of ours."""

    Other.__name__ = Other.__qualname__ = "VGG"
    Other.__module__ = __name__
    monkeypatch.setitem(globals(), "VGG", Other)
    parser = Parser()
    parser.add_function_arguments(train)
    with patched():
        found = parser.parse_args(["--out=x", "--network=VGG", "--network.num_classes=2"])
    assert found.network.class_path == "musicgen_cls.models.VGG"


def test_a_class_that_must_be_named_first():
    parser = Parser()
    parser.add_argument("--source", type=Source)
    with pytest.raises(Text) as caught:
        parser.parse_args(["--source.root=x"])
    assert explain(str(caught.value)) == "name the class before its arguments: --source CLASS before --source.ARGUMENT"


def test_a_value_that_is_the_name_of_a_file_stays_a_value(tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("steps: 3")
    monkeypatch.chdir(tmp_path)
    parser = Parser()
    parser.add_function_arguments(train)
    with patched(), pytest.raises(Text) as caught:
        parser.parse_args(["--out=x", "--network=secret"])
    assert "steps" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("_prepare_subcommand_parser", ["self", "klass", "subcommand", "kwargs"]),
        ("_parse_ckpt_path", ["self"]),
        ("_instantiate_trainer", ["self", "config", "callbacks"]),
        ("_parser", ["self", "subcommand"]),
        ("_get", ["self", "config", "key", "default"]),
        ("_set_seed", ["self"]),
        ("_run_subcommand", ["self", "subcommand"]),
    ],
)
def test_methods_of_lightning_that_are_overridden_or_called(name, parameters):
    assert list(inspect.signature(getattr(LightningCLI, name)).parameters) == parameters


def test_no_other_private_method_is_overridden():
    ours = {name for name in vars(MusicCLI) if name.startswith("_") and not name.startswith("__")}
    theirs = {name for name in vars(LightningCLI) if name.startswith("_")}
    assert ours & theirs == {"_prepare_subcommand_parser", "_parse_ckpt_path", "_instantiate_trainer"}


def test_the_order_of_hooks():
    source = inspect.getsource(LightningCLI.__init__)
    names = ["parse_arguments", "_parse_ckpt_path", "_set_seed", "before_instantiate_classes", "instantiate_classes"]
    places = [source.index(f"self.{name}(") for name in [*names, "after_instantiate_classes", "_run_subcommand"]]
    assert places == sorted(places)


def test_configs_are_written_as_jsonargparse_does_it():
    config = {"on": [1, 2.5, None, True, "yes"], "ö": {"long": "word " * 40, "lines": "a\nb", "none": {}}, "x": "1e3"}
    assert _loaders_dumpers.dumpers["yaml"](config) == _loaders_dumpers.yaml_dump(config)
