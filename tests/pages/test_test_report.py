"""The page of a test, opened in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from jinja2 import Environment, PackageLoader
from lightning.pytorch import Trainer

import musicgen_cls
from musicgen_cls.callbacks.report import TestReport
from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.errors import UsageError, counted
from musicgen_cls.models.classifiers.conv_lstm import ConvLSTM
from musicgen_cls.models.classifiers.vgg import VGG
from musicgen_cls.pages import test_report
from musicgen_cls.sources.folder import Folder
from musicgen_cls.tasks.classification import GenreClassifier

VGG_NARROW = partial(VGG, width=2)
CONV_LSTM_NARROW = partial(ConvLSTM, n_mels=64, filters=4, hidden=4)


def report_of(network: Any, music: Path, out: Path, windows: int) -> Path:
    """The report of an untrained network: it takes nearly everything for one genre."""
    torch.manual_seed(0)
    data = MelSlices(Folder(str(music)), windows_per_track=windows, fractions=(0.25, 0.25, 0.5), batch_size=5)
    task = GenreClassifier(network, num_classes=3)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    Trainer(callbacks=[TestReport(str(out))], enable_model_summary=False, **quiet).test(task, data, verbose=False)
    return out


@pytest.fixture(scope="module")
def report(music: Path, tmp_path_factory: pytest.TempPathFactory, few_mistakes: int) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_report, "_SHOWN", few_mistakes)
        return report_of(VGG_NARROW, music, tmp_path_factory.mktemp("report"), windows=2)


def test_mistakes_are_there_the_most_confident_first(report: Path) -> None:
    page = (report / "report.html").read_text()
    tracks = pd.read_csv(report / "tracks.csv", index_col=0)
    wrong = tracks[~tracks["correct"]]
    assert 1 <= len(wrong) <= 10
    order = wrong.filter(like="p_").max(axis=1).sort_values(ascending=False).index
    shown = re.findall(r"<h3>(.*?): \w+, predicted ", page)
    assert shown == list(order)
    assert f"predicts another genre for {len(wrong)} of {len(tracks)} tracks." in page
    assert "window by window" in page


def test_the_page_holds_everything_itself(report: Path) -> None:
    page = (report / "report.html").read_text()
    links = re.findall(r"""(?:src|href)=["']((?!data:)[^"']*)""", page)
    assert sorted(links) == ["report.json", "tracks.csv"]
    assert all((report / link).is_file() for link in links)
    assert "<script" not in page


def test_a_browser_shows_and_plays_it(report: Path, opened: Callable[[Path], dict[str, Any]]) -> None:
    wrong = int((~pd.read_csv(report / "tracks.csv")["correct"]).sum())
    found = opened(report / "report.html")
    assert found["complaints"] == found["fetched"] == []
    assert found["heading"] == "Test on music, split track"
    assert len(found["pictures"]) == 3 + wrong
    assert min(found["pictures"]) > 300
    assert len(found["sounds"]) == wrong
    assert all(3.9 < seconds < 6.2 for seconds in found["sounds"])  # tracks of the fixture: 4 to 6 s, and mp3's padding
    assert found["played_s"] > 0
    assert not found["wide"]
    accuracy = json.loads((report / "report.json").read_text())["track_accuracy"]["value"]
    assert f"{100 * accuracy:.1f} %" in found["text"]


def test_networks_with_steps_are_followed_step_by_step(music: Path, tmp_path: Path, monkeypatch) -> None:
    from musicgen_cls import plots

    drawn = []
    real = plots.timeline
    monkeypatch.setattr(plots, "timeline", lambda *args, **kw: drawn.append(args[:3]) or real(*args, **kw))
    page = (report_of(CONV_LSTM_NARROW, music, tmp_path, windows=1) / "report.html").read_text()
    assert "step by step" in page
    for start, end, probabilities in drawn:
        assert len(start) > 5
        np.testing.assert_allclose(start[1:], end[:-1])
        assert (start[0], end[-1]) == (0.0, pytest.approx(2.0, abs=1e-3)) or start[0] > 0
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert drawn


def test_one_mistake_is_not_several(music: Path, tmp_path: Path) -> None:
    environment = Environment(loader=PackageLoader("musicgen_cls", "data"), autoescape=True)
    environment.globals["counted"] = counted
    summary = {"value": 0.5, "low": 0.1, "high": 0.9}
    report = {"source": "s", "split": "track", "tracks": 1, "windows": 1, "per_genre": {}, "majority_baseline": 0.5}
    report |= {"track_accuracy": summary, "segment_accuracy": summary, "macro_f1": summary}
    template = environment.get_template("report.html")
    page = " ".join(
        template.render(report=report, figures={}, notes=[], mistakes=[{}], wrong=1, step="window by window").split()
    )
    assert "on 1 track (1 window) of" in page
    assert "predicts another genre for 1 of 1 track. The curves" in page
    page = " ".join(template.render(report=report, figures={}, notes=[], mistakes=[{}] * 2, wrong=5, step="").split())
    assert "Below are the 2 mistakes with the highest probability" in page


def test_a_report_from_python_is_that_of_the_command(music: Path, tmp_path: Path, report: Path, capsys) -> None:
    torch.manual_seed(0)
    data = MelSlices(Folder(str(music)), windows_per_track=2, fractions=(0.25, 0.25, 0.5), batch_size=5)
    folder = musicgen_cls.report(GenreClassifier(VGG_NARROW, num_classes=3), data, tmp_path / "mine", "svg")
    assert folder == tmp_path / "mine"
    pictures = {"confusion.png", "per_genre.png", "reliability.png"}
    assert {path.name for path in folder.iterdir()} == {
        *({path.name for path in report.iterdir()} - pictures), "confusion.svg", "per_genre.svg",
        "reliability.svg",
    }  # fmt: skip
    assert json.loads((folder / "report.json").read_text()) == json.loads((report / "report.json").read_text())
    assert (folder / "confusion.svg").read_text().startswith("<?xml")
    assert "Tested on 9 tracks (18 windows) of music" in capsys.readouterr().out
    with pytest.raises(UsageError, match="give a GenreClassifier, a GenreGenerator or a NoteGenerator"):
        musicgen_cls.report(torch.nn.Linear(1, 1), data)


@pytest.mark.parametrize("name", ["tracks.csv", "per_genre.csv", "confusion.csv"])
def test_tables_open_in_spreadsheets(report: Path, name: str) -> None:
    content = (report / name).read_bytes()
    assert content.startswith("\ufeff".encode())
    assert len(pd.read_csv(report / name)) == (9 if name == "tracks.csv" else 3)


def test_no_mistakes(music: Path, tmp_path: Path) -> None:
    summary = {"value": 1.0, "low": 0.9, "high": 1.0}
    report = {"source": "s", "split": "track", "tracks": 3, "windows": 3, "per_genre": {}, "majority_baseline": 0.5}
    report |= {"track_accuracy": summary, "segment_accuracy": summary, "macro_f1": summary}
    environment = Environment(loader=PackageLoader("musicgen_cls", "data"), autoescape=True)
    environment.globals["counted"] = counted
    template = environment.get_template("report.html")
    page = template.render(report=report, figures={}, notes=["<b>loud</b>"], mistakes=[], wrong=0)
    assert "None: the prediction is correct for every track" in page
    assert "&lt;b&gt;loud" in page
