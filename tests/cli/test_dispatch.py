"""Commands that are functions: positional arguments, flags, configs, options of fit."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType

import pytest

from musicgen_cls.cli.command import Command
from musicgen_cls.cli.dispatch import run
from musicgen_cls.commands import COMMANDS
from musicgen_cls.errors import UsageError


def echo(
    first: str,
    files: Sequence[str] = (),
    count: int = 1,
    overwrite: bool = False,
    fit_options: Sequence[str] = (),
    config: str | None = None,
) -> tuple[object, ...]:
    """Return the arguments.

    Args:
        first: a word.
        files: the other words.
        count: a number.
        overwrite: a flag.
        fit_options: options of fit.
        config: the config file.
    """
    return first, list(files), count, overwrite, list(fit_options), config


@pytest.fixture
def command(monkeypatch):
    module = ModuleType("echo_command")
    module.echo = echo
    monkeypatch.setitem(sys.modules, "echo_command", module)
    return Command("", "musiccli echo", "echo_command:echo", positional=("first", "files..."), extends_fit=True)


def test_words_flags_and_options_of_fit(command):
    args = ["a", "[b]", "~c", "--count", "3", "--overwrite", "--data.seconds", "2", "--model", "X"]
    assert run("echo", command, args) == ("a", ["[b]", "~c"], 3, True, ["--data.seconds", "2", "--model", "X"], None)


def test_the_old_forms_stay(command):
    args = ["--first", "a", "--files=[b, c]", "--overwrite", "true"]
    assert run("echo", command, args)[:4] == ("a", ["b", "c"], 1, True)


def test_a_word_behind_a_flag_is_no_value_of_it(command):
    assert run("echo", command, ["a", "--overwrite", "b.wav"])[1:4] == (["b.wav"], 1, True)


def test_a_config_sets_options_and_the_command_line_overrides_them(command, tmp_path):
    (tmp_path / "c.yaml").write_text("first: x\ncount: 2\n")
    config = str(tmp_path / "c.yaml")
    assert run("echo", command, ["--config", config, "--count=5"]) == ("x", [], 5, False, [], config)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "missing: first; musiccli COMMAND --help explains it"),
        (["a", "--count", "x"], "count: 'x' is not a whole number"),
        (["a", "--count"], "--count: has no value; give one, as --count VALUE"),
        (["--first="], "--first: the value is empty"),
    ],
)
def test_errors(command, args, said):
    with pytest.raises(UsageError) as caught:
        run("echo", command, args)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.function])
def test_every_command_of_the_registry_is_a_documented_function(name):
    function = COMMANDS[name].load()
    assert function.__doc__
    assert COMMANDS[name].example.startswith(f"musiccli {name}")
    for parameter in COMMANDS[name].positional:
        assert f"{parameter.removesuffix('...')}: " in function.__doc__


def test_a_word_too_many():
    with pytest.raises(UsageError, match="'c': judge takes no such argument"):
        run("judge", COMMANDS["judge"], ["a", "b", "c"])
