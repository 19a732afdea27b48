"""Configs of a command line."""

from __future__ import annotations

import io
import sys

import pytest
import yaml

from musicgen_cls.cli.configs import checked, dumped, named_modules
from musicgen_cls.errors import UsageError

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(9)
)


def test_sound_ones_are_left_as_they_are(tmp_path):
    (tmp_path / "a.yaml").write_text("model: {lr: 1}\n")
    for args in (["--config", str(tmp_path / "a.yaml")], [f"-c={tmp_path / 'a.yaml'}"]):
        found, settings = checked([*args, "--data.seconds", "2"])
        assert found == [*args, "--data.seconds", "2"]
        assert settings == [{"model": {"lr": 1}}]
    assert checked(["--config", "{model: {lr: 2}}"])[1] == [{"model": {"lr": 2}}]


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("data: {root: '🎵'}\n"))
    (_, text), settings = checked(["--config", "-"])
    assert settings == [{"data": {"root": "🎵"}}]
    assert yaml.safe_load(text) == settings[0]
    assert text.isascii()


@pytest.mark.parametrize("value", [{"a": ["🎵", "𝓶", "日本", "é"], "b": None, "c": "x" * 5000}, ["a: b", "#"]])
def test_dumped_values_come_back(value):
    for loader in (yaml.SafeLoader, yaml.CSafeLoader):
        assert yaml.load(dumped(value), Loader=loader) == value
    assert "\n" not in dumped(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "over 100000 values"),
        ("a: &a [*a]\n", "'a' holds itself"),
        ("a: &a {b: [1, {c: *a}]}\n", "'a' holds itself"),
        ("[" * 5000 + "]" * 5000, "over 100000 values or 60 levels|not YAML"),
        ("a: *gone\n", "not YAML"),
        ("a: [1\n", "not YAML, line 2"),
        ("a: !!python/object/apply:os.system [ls]\n", "not YAML"),
        ("words", "holds no settings"),
        ("", "holds no settings"),
    ],
)
def test_texts_that_are_none(tmp_path, text, said):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(UsageError, match=said) as caught:
        checked(["--config", str(tmp_path / "bad.yaml")])
    assert str(caught.value).startswith(f"--config {tmp_path / 'bad.yaml'}: ")


def test_aliases_within_reason_are_fine(tmp_path):
    (tmp_path / "a.yaml").write_text("a: &a {x: 1}\nb: [*a, *a]\n")
    assert checked(["--config", str(tmp_path / "a.yaml")])[1] == [{"a": {"x": 1}, "b": [{"x": 1}, {"x": 1}]}]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone.yaml", "no such file"),
        (".", "a folder, not a file"),
        ("/dev/zero", "a device or a pipe, not a file"),
        ("/proc/self/mem", "cannot be read|not text|MB"),
        ("a" * 300, "a name in it has 300 bytes"),
    ],
)
def test_files_that_are_none(name, said):
    with pytest.raises(UsageError, match=said):
        checked(["--config", name])


def test_a_file_too_large_is_not_read(tmp_path):
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UsageError, match=r"1 MB is the limit"):
        checked(["--config", str(tmp_path / "large.yaml")])


def test_modules_that_the_user_names():
    args = ["--model.network", "mine.Net", "--data.source=my.own.Source", "--data.files", "song.mp3", "--out", "a.b"]
    settings = [{"data": {"augment": {"class_path": "other.Noise"}}, "ckpt_path": "x/y.ckpt"}]
    assert named_modules(args, settings) == {"mine", "my.own", "other"}
    assert named_modules([], []) == set()
