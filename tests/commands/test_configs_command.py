"""`musiccli configs`, and configs by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from musicgen_cls.__main__ import main
from musicgen_cls.cli.configs import SHIPPED, find_config, shipped
from musicgen_cls.errors import UsageError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_list_has_a_line_for_each_config(capsys):
    assert main(["configs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(shipped())
    assert {"quickstart", "vgg", "sweeps/vgg", "finders/lr"} <= shipped().keys()
    assert all(len(line.split(maxsplit=1)[1]) > 10 for line in lines)


@pytest.mark.parametrize("name", list(shipped()))
def test_the_first_line_is_a_title(name):
    first, second = shipped()[name].read_text().splitlines()[:2]
    assert first.startswith("# ")
    assert len(first) <= 90
    assert second == "#"


def test_a_copy_is_the_config(capsys):
    assert main(["configs", "sweeps/vgg"]) == 0
    assert "Config:      vgg.yaml; use it with --config vgg.yaml" in capsys.readouterr().out
    assert Path("vgg.yaml").read_bytes() == (SHIPPED / "sweeps" / "vgg.yaml").read_bytes()
    assert main(["configs", "gru", "--out", "mine.yaml"]) == 0
    assert yaml.safe_load(Path("mine.yaml").read_text())["model"]["init_args"]["network"]["class_path"] == "Recurrent"


def test_a_file_goes_before_a_config_of_its_name():
    assert find_config("vgg") == SHIPPED / "vgg.yaml"
    Path("vgg").write_text("model: {}")
    assert find_config("vgg") == Path("vgg")


@pytest.mark.parametrize("name", ["configs/vgg.yaml", "vgg.yaml", "vg"])
def test_a_name_that_is_nearly_right(name):
    with pytest.raises(UsageError, match="did you mean 'vgg'\\?"):
        find_config(name)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nothing_like_it"], "NAME nothing_like_it: no such file or config; name a YAML file"),
        (["vgg", "gru"], "'gru': configs takes no such argument"),
        (["vgg", "--out", "there.yaml"], "there.yaml: exists already; remove it, or name another file with --out"),
        (["vgg", "--out", "no/such/folder/x.yaml"], ""),
    ],
)
def test_errors(args, said, capsys):
    Path("there.yaml").write_text("kept")
    status = main(["configs", *args])
    assert status == (2 if said else 0)
    assert said in capsys.readouterr().err
    assert Path("there.yaml").read_text() == "kept"
