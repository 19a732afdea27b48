"""Small sweeps, real and played."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from musicgen_cls.__main__ import main
from musicgen_cls.commands.sweep import findings, settings, trials

RATE = 4000
SPACE = {"model.lr": {"low": 0.0001, "high": 0.01, "log": True}, "data.batch_size": {"choices": [8, 16]}}
Called = Callable[..., tuple[int, str, str]]


def base(songs: Path) -> dict[str, Any]:
    """A network that trains in a moment."""
    arguments = {"seconds": 0.5, "windows_per_track": 4, "sample_rate": RATE, "n_fft": 128, "hop_length": 64}
    arguments |= {"n_mels": 16, "fractions": [0.5, 0.25, 0.25], "batch_size": 8}
    arguments |= {"source": {"class_path": "Folder", "init_args": {"root": str(songs)}}}
    logger = {"class_path": "CSVLogger", "init_args": {"save_dir": "lightning_logs", "name": "tiny"}}  # no figures
    network = {"class_path": "VGG", "init_args": {"width": 2, "pairs": 1}}
    return {
        "model": {"class_path": "GenreClassifier", "init_args": {"network": network, "lr": 0.001}},
        "data": {"class_path": "MelSlices", "init_args": arguments},
        "trainer": {"max_epochs": 2, "accelerator": "cpu", "logger": logger},
        "figures_every_n_epochs": 100,
    }


@pytest.fixture(autouse=True)
def known_texts(monkeypatch: pytest.MonkeyPatch, known: dict[Any, str] = {}) -> None:  # noqa: B006
    """The same arguments and configs give the same text; parsing them takes a quarter of the time of these tests."""

    def text(self: settings.FitSettings, params: Sequence[str]) -> str:
        files = tuple(Path(arg).read_bytes() for arg in self.shared if arg.endswith(".yaml"))
        arguments = tuple(arg for arg in self.shared if not arg.endswith(".yaml"))
        key = (files, arguments, tuple(params))
        if key not in known:
            known[key] = real(self, params)
        return known[key]

    real = settings.FitSettings.text
    monkeypatch.setattr(settings.FitSettings, "text", text)


@pytest.fixture(scope="module", autouse=True)
def one_list_of_migrations() -> Iterator[None]:
    """Optuna's list of the changes of its tables, which it compiles each time that it opens a database."""
    from optuna.storages._rdb.storage import _VersionManager

    def once(self: Any) -> Any:
        if not made:
            made.append(real(self))
        return made[0]

    real, made = _VersionManager._create_alembic_script, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_VersionManager, "_create_alembic_script", once)
        yield


@pytest.fixture
def call(tmp_path: Path, songs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Called:
    """Runs a command line where the configs lie; gives status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musiccli"])
    Path("tiny.yaml").write_text(yaml.safe_dump(base(songs)))
    Path("search.yaml").write_text(yaml.safe_dump({"fit": "tiny.yaml", "space": SPACE, "trials": 2}, sort_keys=False))

    def run(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(arg) for arg in args])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def fails(call: Called) -> Callable[..., str]:
    """Runs a sweep that must not begin; gives its one line."""

    def run(*args: object) -> str:
        status, _, err = call("sweep", "--config", "search.yaml", *args)
        assert status == 2, err
        errors = [line for line in err.splitlines() if line.startswith("musiccli: error: ")]
        assert len(errors) == 1, err
        assert "Traceback" not in err
        assert not list(Path().rglob("trial-*"))
        return errors[0].removeprefix("musiccli: error: ")

    return run


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots take seconds."""
    monkeypatch.setattr(findings, "draw", lambda study, metric, place: None)


@pytest.fixture
def unprepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The data are not prepared before the trials, which takes half a second; each trial prepares them itself."""

    def start(args: Any, **more: Any) -> Any:
        return None if args[0] == "prepare" else real(args, **more)

    real = trials.start
    monkeypatch.setattr(trials, "start", start)


@pytest.fixture
def quick(undrawn: None, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Trials without training, and the arguments of each: the nearer the rate is to 0.003 the less the loss."""
    begun: list[list[str]] = []

    def start(args: Any, more_callbacks: Any = ()) -> None:
        if args[0] != "fit":
            return
        begun.append(list(args))
        (watch,) = more_callbacks
        trial = watch.trial
        lr = trial.params["model.lr"]
        for epoch in range(4):
            value = abs(float(lr) - 0.003) + 1 / (epoch + 1)
            trial.report(value, epoch)
            trial.set_user_attr("kept", {"epoch": epoch, "monitored": value, "value": value})

    monkeypatch.setattr(trials, "start", start)
    return begun


@pytest.fixture
def table() -> Callable[..., list[dict[str, str]]]:
    """Reads the table that a sweep left."""

    def read(name: str = "sweep-search") -> list[dict[str, str]]:
        with (Path("lightning_logs") / name / "trials.csv").open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture
def states(table: Callable[..., list[dict[str, str]]]) -> Callable[..., list[str]]:
    """Reads how the trials ended."""

    def read(name: str = "sweep-search") -> list[str]:
        return sorted(row["state"] for row in table(name))

    return read
