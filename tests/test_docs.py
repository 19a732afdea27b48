"""README and documentation name commands, configs and files that exist."""

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from musicgen_cls.__main__ import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    """The words of every `musiccli` command in a page's shell blocks."""
    lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    words = [shlex.split(part, comments=True) for line in lines for part in re.split(r"&&|;", line)]
    return [line[line.index("musiccli") + 1 :] for line in words if "musiccli" in line]


def named_configs() -> set[str]:
    """The names of the configs that come with the package."""
    places = [place for place in (ROOT / "configs", ROOT / "src/musicgen_cls/configs") if place.is_dir()]
    return {path.relative_to(place).with_suffix("").as_posix() for place in places for path in place.rglob("*.yaml")}


def test_pages_name_commands_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    known = set(re.findall(r"^  ([a-z][a-z-]*) ", capsys.readouterr().out, re.MULTILINE))
    wrong = [(page.name, words[0]) for page in PAGES for words in commands(page) if words[0] not in known]
    assert not wrong


def test_pages_name_configs_that_exist() -> None:
    named = [
        (page.name, value)
        for page in PAGES
        for words in commands(page)
        for option, value in pairwise(words)
        if option == "--config" and "$" not in value
    ]
    shipped = named_configs()
    assert len(named) > 20
    assert not [(page, value) for page, value in named if value not in shipped and not (ROOT / value).is_file()]


def test_links_lead_to_files() -> None:
    links = [(page, link) for page in PAGES for link in LINK.findall(page.read_text(encoding="utf-8"))]
    assert len(links) > 100
    assert not [(page.name, link) for page, link in links if not (page.parent / link).exists()]


def test_benchmarks_of_the_pages_exist() -> None:
    named = {path for page in PAGES for path in re.findall(r"benchmarks/\w+\.py", page.read_text(encoding="utf-8"))}
    assert len(named) > 5
    assert not [path for path in named if not (ROOT / path).is_file()]


def test_python_of_the_pages_compiles() -> None:
    for page in PAGES:
        for block in blocks(page, "python"):
            compile(block, page.name, "exec")


def test_the_readme_is_a_front_door() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_index_of_the_results_has_every_page() -> None:
    folder = ROOT / "docs" / "results"
    index = (folder / "index.md").read_text(encoding="utf-8")
    assert {path.stem for path in folder.glob("*.md")} - {"index"} == set(re.findall(r"^[\w-]+$", index, re.MULTILINE))


def test_the_classes_of_the_page_on_extending_work(tmp_path: Path) -> None:
    parts: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / "extending.md", "python"):
        exec(block, parts)
    (tmp_path / "jazz_001.wav").touch()
    source = parts["Tagged"](str(tmp_path))
    assert [(track.id, track.genre) for track in source.tracks()] == [("jazz_001", "jazz")]
    data = parts["QuietMel"](source=source, genres=["jazz", "metal"], seconds=1.0)
    assert data.hparams["gain"] == 0.5
    task = parts["Smoothed"](network=parts["MyNetwork"], num_classes=data.num_classes, smoothing=0.2)
    assert task.hparams["smoothing"] == 0.2
    assert task(torch.zeros(3, 64, 9)).shape == (3, 2)
    backbone = parts["Loudness"]()
    assert backbone.embed(torch.zeros(3, 16000)).shape == (3, 20, backbone.dim)
    assert parts["Flip"]()(torch.ones(4, 8)).abs().eq(1).all()
    assert parts["COMMANDS"]["count"].positional == ("folder",)
