"""Help: short, grouped, true."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest

from musicgen_cls import __main__
from musicgen_cls.__main__ import main
from musicgen_cls.cli import help
from musicgen_cls.cli.registry import BY_OPTION
from musicgen_cls.specs import arguments_of


def options_of(text: str) -> set[str]:
    lines = re.findall(r"^  (-.*)", text, re.MULTILINE)
    return {name for line in lines for name in re.findall(r"(?:^|, )(--[\w.]+)", line)}


@pytest.mark.parametrize("command", help.COMMANDS)
@pytest.mark.parametrize("columns", ["80", "200"])
def test_short_help_is_short_and_in_groups(command, columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    assert main([command, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 125
    assert "Examples:" in lines
    assert sum(line.endswith(":") and not line.startswith(" ") for line in lines) >= 4


@pytest.mark.parametrize("command", help.COMMANDS)
def test_every_option_of_the_short_help_is_there(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help-all"])
    known = options_of(capsys.readouterr().out)
    ours = {
        "--trust",
        "--accept_licence",
        "--help",
        "--data.help",
        "--print_config",
        "--engine",
        "--address",
    }  # taken before the parser; or printed otherwise
    arguments = {
        f"--{option}.{name}" for option, classes in BY_OPTION.items() for cls in classes for name in arguments_of(cls)
    }
    arguments |= {f"--trainer.logger.{name}" for name in ("save_dir", "name")} | {"--model.network.ARG"}
    arguments |= {"--data.source", "--data.augment", "--data.mask"}
    text = help.command_help(command)
    assert "--config" in known
    assert options_of(text) - known - ours - arguments == set()


@pytest.mark.parametrize("command", sorted(__main__.COMMANDS.keys() - help.COMMANDS.keys()))
def test_help_of_the_other_commands_is_short_too(command, capsys):
    with suppress(SystemExit):
        main([command, "--help"])
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) <= 60
    assert f"musiccli {command}" in printed


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--data.help", "MelSlices"], "--data.n_mels: int = 64"),
        (["--data.help=FeatureTable"], "--data.look_back: int = 0"),
        (["--model.help", "GenreClassifier"], "--model.lr: float = 0.001"),
        (["--model.network.help", "VGG"], "--model.network.width: int = 32"),
        (["--data.source.help", "Folder"], "--data.source.root: str"),
        (["--data.help", "musicgen_cls.datamodules.MelSlices"], "--data.n_mels: int = 64"),
        (["--model.network.help", "torch.nn.Linear"], "--model.network.in_features"),
        (
            ["--data.source.help"],
            "FMA, GTZAN, Folder, HubDataset, Manifest, MidiFolder, Shards, SyntheticGenres, SyntheticScores",
        ),
        (["--data.source.help", "MidiFolder"], "--data.source.root: str"),
        (["--data.help", "Nothing"], "explains one of: Embeddings, FeatureTable, MelSlices"),
    ],
)
def test_classes_are_explained_shortly(args, said, capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["fit", *args])
    assert leaving.value.code == 0
    printed = capsys.readouterr().out
    assert said in printed
    assert len(printed.splitlines()) <= 60


@pytest.mark.parametrize("name", ["nowhere.Net", "torch.nn.Nothing", "torch.nn.functional"])
def test_a_class_that_is_none(name, capsys):
    assert main(["fit", "--model.network.help", name]) == 2
    assert f"--model.network.help {name}: no" in capsys.readouterr().err
