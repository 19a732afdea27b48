"""Configs of a command line."""

from __future__ import annotations

import io
import sys

import pytest
import yaml

from musicgen_cls.cli.configs import Config, checked, dumped, named_modules, trusted_modules
from musicgen_cls.errors import UsageError

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(9)
)


def test_sound_ones_are_left_as_they_are(tmp_path):
    (tmp_path / "a.yaml").write_text("model: {lr: 1}\n")
    for args in (["--config", str(tmp_path / "a.yaml")], [f"-c={tmp_path / 'a.yaml'}"]):
        found, configs = checked([*args, "--data.seconds", "2"])
        assert found == [*args, "--data.seconds", "2"]
        assert configs == [Config(tmp_path / "a.yaml", {"model": {"lr": 1}})]
    assert checked(["--config", "{model: {lr: 2}}"])[1] == [Config(None, {"model": {"lr": 2}})]


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("data: {root: '🎵'}\n"))
    (_, text), configs = checked(["--config", "-"])
    assert [config.settings for config in configs] == [{"data": {"root": "🎵"}}]
    assert yaml.safe_load(text) == configs[0].settings
    assert configs[0].path is None
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
        ("a: &a [*a]\n", "'a' contains itself"),
        ("a: &a {b: [1, {c: *a}]}\n", "'a' contains itself"),
        ("[" * 5000 + "]" * 5000, "over 100000 values or 60 levels|not YAML"),
        ("a: *gone\n", "not YAML"),
        ("a: [1\n", "not YAML, line 2"),
        ("a: !!python/object/apply:os.system [ls]\n", "not YAML"),
        ("words", "has no settings"),
        ("", "has no settings"),
    ],
)
def test_texts_that_are_none(tmp_path, text, said):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(UsageError, match=said) as caught:
        checked(["--config", str(tmp_path / "bad.yaml")])
    assert str(caught.value).startswith(f"--config {tmp_path / 'bad.yaml'}: ")


def test_aliases_within_reason_are_fine(tmp_path):
    (tmp_path / "a.yaml").write_text("a: &a {x: 1}\nb: [*a, *a]\n")
    (config,) = checked(["--config", str(tmp_path / "a.yaml")])[1]
    assert config.settings == {"a": {"x": 1}, "b": [{"x": 1}, {"x": 1}]}


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


class TestTrust:
    """Of configs beside a checkpoint, which may come from an unknown person, and of others."""

    @pytest.fixture
    def folder(self, tmp_path, monkeypatch):
        """A current folder with a module that can be imported, and a folder with a checkpoint below it."""
        (tmp_path / "evil.py").write_text("raise AssertionError('imported')\n")
        (tmp_path / "run" / "checkpoints").mkdir(parents=True)
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
        return tmp_path / "run"

    def trusted(self, folder, place, settings):
        place.write_text(yaml.safe_dump(settings))
        args, configs = checked(["--config", str(place)])
        return trusted_modules(args, configs, folder / "checkpoints" / "best.ckpt")

    @pytest.mark.parametrize("place", ["config.yaml", "checkpoints/mine.yaml", "checkpoints/deep.yaml"])
    @pytest.mark.parametrize(
        "settings",
        [
            {"model": {"class_path": "evil.Net"}},
            {"model": {"init_args": {"network": "evil.Net"}}},
            {"model": {"init_args": {"metrics": {"f1": "evil.F1"}}}},
            {"model": {"class_path": "musicgen_cls.tasks.classification.GenreClassifier"}, "data": "evil.Data"},
            {"trainer": {"callbacks": [{"class_path": "evil.sub.Callback"}]}},
            {"trainer": {"callbacks": "os.system"}},
        ],
    )
    def test_a_config_beside_the_checkpoint_makes_no_module_trusted(self, folder, place, settings):
        with pytest.raises(UsageError, match=r"names '(evil|os)\..*add --trust"):
            self.trusted(folder, folder / place, settings)

    def test_neither_does_a_link_to_one(self, folder):
        (folder / "config.yaml").write_text("model: evil.Net\n")
        other = folder.parent / "elsewhere"
        other.mkdir()
        (other / "link.yaml").symlink_to(folder / "config.yaml")
        with pytest.raises(UsageError, match=r"names 'evil\.Net'"):
            trusted_modules([], checked(["--config", str(other / "link.yaml")])[1], folder / "checkpoints/best.ckpt")

    def test_names_of_files_and_of_lightnings_classes_are_no_fault(self, folder):
        settings = {"trainer": {"logger": {"class_path": "lightning.pytorch.loggers.CSVLogger"}}}
        settings |= {"data": {"init_args": {"split": "own.csv", "table": "features_3_sec.csv"}}}
        settings |= {"model": {"init_args": {"network": {"class_path": "musicgen_cls.models.VGG"}}}}
        assert self.trusted(folder, folder / "config.yaml", settings) == set()

    def test_a_config_elsewhere_does(self, folder):
        place = folder.parent.parent / f"{folder.parent.name}.yaml"
        assert self.trusted(folder, place, {"model": {"class_path": "evil.Net"}}) == {"evil"}
        place.unlink()

    def test_the_command_line_does(self, folder):
        (folder / "config.yaml").write_text("model: evil.Net\n")
        args, configs = checked(["--model", "evil.Net", "--config", str(folder / "config.yaml")])
        assert trusted_modules(args, configs, folder / "checkpoints" / "best.ckpt") == {"evil"}
