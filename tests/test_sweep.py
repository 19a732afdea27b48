"""Sweeps through the command line: what they leave, how they go on, what they refuse."""

from __future__ import annotations

import csv
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
import yaml
from filelock import FileLock

from musicgen_cls import sweep
from musicgen_cls.__main__ import main
from musicgen_cls.cli import MusicCLI
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.errors import UsageError
from musicgen_cls.fit_genres import Settings

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


def write_configs(folder: Path, songs: Path, **sweep_settings: Any) -> None:
    (folder / "tiny.yaml").write_text(yaml.safe_dump(base(songs)))
    (folder / "search.yaml").write_text(
        yaml.safe_dump({"fit": "tiny.yaml", "space": SPACE, "trials": 2, **sweep_settings}, sort_keys=False)
    )


@pytest.fixture(autouse=True)
def one_parser(monkeypatch: pytest.MonkeyPatch, made: dict[str, Any] = {}) -> None:  # noqa: B006
    """Building the parser of fit takes a second; what is parsed with it is parsed every time."""

    def start(args: Any, cli: type[MusicCLI] = MusicCLI, more_callbacks: Any = ()) -> Any:
        if cli is not Settings:
            return real(args, cli, more_callbacks)
        if "settings" not in made:
            made["settings"] = real(["fit", "--model", "GenreClassifier", "--model.network", "VGG"], Settings)
        return made["settings"]

    real = sweep.start
    monkeypatch.setattr(sweep, "start", start)


@pytest.fixture
def call(tmp_path: Path, songs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Called:
    """Runs a command line where the configs lie; gives status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musiccli"])
    write_configs(tmp_path, songs)

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
    monkeypatch.setattr(sweep.Sweep, "_draw", lambda self: None)


@pytest.fixture
def quick(undrawn: None, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Trials without training, and the arguments of each: the nearer the rate is to 0.003 the less the loss."""
    begun: list[list[str]] = []

    def start(args: Any, cli: type[MusicCLI] = MusicCLI, more_callbacks: Any = ()) -> Any:
        if args[0] != "fit" or cli is Settings:
            return real(args, cli, more_callbacks) if args[0] == "fit" else None
        begun.append(list(args))
        (watch,) = more_callbacks
        trial = watch.trial
        lr = trial.params["model.lr"]
        for epoch in range(4):
            value = abs(float(lr) - 0.003) + 1 / (epoch + 1)
            trial.report(value, epoch)
            trial.set_user_attr("kept", {"epoch": epoch, "monitored": value, "value": value})
        return None

    real = sweep.start
    monkeypatch.setattr(sweep, "start", start)
    return begun


def table(name: str = "sweep-search") -> list[dict[str, str]]:
    with (Path("lightning_logs") / name / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def states(name: str = "sweep-search") -> list[str]:
    return sorted(row["state"] for row in table(name))


class TestWholeSweep:
    def test_leaves_all_it_should_and_never_looks_at_the_test_tracks(
        self, call: Called, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def looked(self: Any) -> Any:
            raise AssertionError("the test tracks were asked for")

        with monkeypatch.context() as patch:
            patch.setattr(GenreDataModule, "test_dataloader", looked)
            status, out, err = call("sweep", "--config", "search.yaml", "--trials", 2, "--pruner", "none")
            assert status == 0, err
        folder = Path("lightning_logs/sweep-search")
        rows = table()
        assert sorted(row["trial"] for row in rows) == ["trial-0000", "trial-0001"]
        losses = [float(row["val_loss"]) for row in rows]
        assert losses == sorted(losses)
        (first,) = [row for row in rows if row["trial"] == "trial-0000"]
        assert (first["model.lr"], first["data.batch_size"]) == ("0.001", "8")  # the config's own
        for row in rows:
            run = folder / row["trial"]
            assert (run / "checkpoints" / "best.ckpt").is_file()
            assert (run / "metrics.csv").is_file()
            saved = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
            assert saved["hyper_parameters"]["lr"] == float(row["model.lr"])
            assert saved["datamodule_hyper_parameters"]["batch_size"] == int(row["data.batch_size"])
            assert not list(run.rglob("report.json"))
        assert not list(Path("lightning_logs").rglob("*test*"))
        for picture in ("optimization_history", "parallel_coordinate", "slice", "contour", "param_importances"):
            assert (folder / "plots" / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
        page = (folder / "plots.html").read_text()
        assert page.count("Plotly.newPlot(") >= 5
        assert not re.search(r'<script[^>]+src="', page)  # it needs no network
        assert f"musiccli test --ckpt_path {folder}/{rows[0]['trial']}/checkpoints/best.ckpt" in out

        status, _, err = call("fit", "--config", folder / "best.yaml")
        assert status == 0, err
        again = torch.load("lightning_logs/tiny/version_0/checkpoints/best.ckpt", weights_only=True)["state_dict"]
        best = torch.load(folder / rows[0]["trial"] / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
        assert all(torch.equal(again[name], best[name]) for name in best)
        assert list(Path("lightning_logs/tiny").rglob("report.json"))  # fit tests, as the config says

    def test_trials_that_fail_are_told_and_the_others_go_on(self, call: Called, undrawn: None) -> None:
        space = "{data.seconds: [0.5, 60.0], model.lr: [0.001, 1.0e+36]}"
        more = ["--trials", 5, "--sampler", "random", "--seed", 1, "--trainer.max_epochs", 1]
        status, _, err = call("sweep", "--config", "search.yaml", "--space", space, *more)
        assert status == 0, err
        rows = table()
        assert len(rows) == 5
        reasons = {row["reason"] for row in rows if row["data.seconds"] == "60.0"}
        assert len(reasons) == 1
        assert "too short" in reasons.pop()
        astray = [row["reason"] for row in rows if row["data.seconds"] == "0.5" and row["model.lr"] == "1e+36"]
        assert astray
        assert all("went astray" in reason for reason in astray), rows
        assert rows[0]["state"] == "complete"
        assert err.count("failed: ") == sum(row["state"] == "failed" for row in rows)
        assert "Traceback" not in err

    def test_killed_and_gone_on_with_it_ends_as_if_nothing_had_been(
        self, call: Called, undrawn: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        more = ["--trials", 1, "--trainer.max_epochs", 3]
        assert call("sweep", "--config", "search.yaml", "--name", "whole", *more)[0] == 0
        report, calls = optuna.Trial.report, []

        def stop(self: Any, value: float, step: int) -> None:
            report(self, value, step)
            calls.append(step)
            if len(calls) == 2:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(optuna.Trial, "report", stop)
            status, _, err = call("sweep", "--config", "search.yaml", "--name", "parts", *more)
        assert status == 130
        assert "stopped" in err
        status, _, err = call("sweep", "--config", "search.yaml", "--name", "parts", *more)
        assert status == 0, err
        rows = [row | {"minutes": None} for name in ("whole", "parts") for row in table(name)]
        assert rows[0] == rows[1]
        ends = [Path("lightning_logs") / name / "trial-0000/checkpoints/last.ckpt" for name in ("whole", "parts")]
        whole, parts = (torch.load(end, weights_only=True)["state_dict"] for end in ends)
        assert all(torch.equal(whole[name], parts[name]) for name in whole)


class TestGoingOn:
    def test_to_more_trials_and_no_further(self, call: Called, quick: list[list[str]]) -> None:
        for trials, begun in ((2, 2), (2, 2), (3, 3)):
            assert call("sweep", "--config", "search.yaml", "--trials", trials)[0] == 0
            assert len(quick) == begun == len(table())

    def test_trials_are_those_of_an_uninterrupted_sweep(self, call: Called, quick: list[list[str]]) -> None:
        for trials in (3, 6):
            call("sweep", "--config", "search.yaml", "--trials", trials, "--name", "parts")
        call("sweep", "--config", "search.yaml", "--trials", 6, "--name", "whole")
        for name in ("parts", "whole"):
            assert len(table(name)) == 6
        rates = [{row["trial"]: row["model.lr"] for row in table(name)} for name in ("parts", "whole")]
        assert [rates[0][f"trial-000{n}"] for n in range(3)] == [rates[1][f"trial-000{n}"] for n in range(3)]

    def test_a_trial_of_a_living_process_is_left_to_it(self, call: Called, quick: list[list[str]]) -> None:
        assert call("sweep", "--config", "search.yaml", "--trials", 1)[0] == 0
        study = optuna.load_study(study_name="sweep-search", storage="sqlite:///lightning_logs/sweep-search/study.db")
        number = study.ask().number
        with FileLock(f"lightning_logs/sweep-search/.trial-{number:04d}.lock"):
            status, out, _ = call("sweep", "--config", "search.yaml", "--trials", 3)
        assert status == 0
        assert "1 trials still run" in out
        assert states() == ["complete", "complete", "running"]
        assert call("sweep", "--config", "search.yaml", "--trials", 3)[0] == 0
        assert states() == ["complete"] * 3
        assert len(quick) == 3

    def test_every_trial_fails(self, call: Called) -> None:
        space = "{model.network.pairs: [4]}"
        more = ["--data.n_mels", 4, "--data.n_fft", 64]
        status, _, err = call("sweep", "--config", "search.yaml", "--space", space, *more)
        assert status == 2
        assert "every trial failed, trial-0000 so: VGG cannot take input of 4 x" in err.splitlines()[-1]
        assert states() == ["failed", "failed"]
        status, _, err = call("sweep", "--config", "search.yaml", "--space", space, *more)
        assert len(table()) == 2
        status, _, err = call("sweep", "--config", "search.yaml", "--space", space, *more, "--retry_failed", "true")
        assert len(table()) == 4

    def test_two_processes_share_the_trials(self, tmp_path: Path, songs: Path) -> None:
        write_configs(tmp_path, songs, trials=3)
        command = [
            sys.executable,
            "-m",
            "musicgen_cls",
            "sweep",
            "--config",
            "search.yaml",
            "--trainer.max_epochs",
            "1",
        ]
        two = [
            subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        said = [process.communicate(timeout=300) for process in two]
        assert [process.returncode for process in two] == [0, 0], said
        begun = [set(re.findall(r"trial-\d{4} of 3", err)) for _, err in said]
        assert not begun[0] & begun[1]
        assert len(begun[0] | begun[1]) == 3
        study = optuna.load_study(
            study_name="sweep-search", storage=f"sqlite:///{tmp_path}/lightning_logs/sweep-search/study.db"
        )
        assert [trial.state.name for trial in study.trials].count("FAIL") == 0
        assert len(study.trials) == 3


class TestRefuses:
    @pytest.mark.parametrize(
        ("space", "said"),
        [
            ("{}", "space: empty"),
            ("{model.lr: []}", 'model.lr: {"choices": []}: no choices'),
            ("{model.lr: 3}", "say low and high"),
            ("{model.lr: {low: 1}}", "say low and high"),
            ("{model.lr: {low: 1, high: 2, steps: 3}}", "say low and high"),
            ("{model.lr: {low: 0.1, high: 0.01}}", "low is above high"),
            ("{model.lr: {low: 0, high: 0.01, log: true}}", "low above 0"),
            ("{model.lr: {low: a, high: 0.01}}", "low must be a finite number"),
            ("{model.lr: {low: 1, high: .inf}}", "high must be a finite number"),
            ("{model.lr: {low: 1, high: 2, log: 3}}", "log must be true or false"),
            ("{model.lr: {low: 1, high: 2, step: -1}}", "step must be above 0"),
        ],
    )
    def test_a_space_that_is_none(self, space: str, said: str) -> None:
        with pytest.raises(UsageError, match=re.escape(said)):
            sweep.run(["--space", space, "--fit", "x.yaml"])

    def test_arguments_that_fit_does_not_take(self, fails: Callable[..., str]) -> None:
        said = fails("--space", "{data.bach_size: [8]}")
        assert "data.bach_size 8" in said
        assert "did you mean 'batch_size'?" in said
        assert "model.lr much" in fails("--space", "{model.lr: [0.1, much]}")
        assert "did you mean 'VGG'?" in fails("--space", "{model.network: [VGG, VGGG]}")
        assert "searched in space, and given" in fails("--model.lr", "0.1")
        assert "did you mean 'max_epochs'?" in fails("--trainer.max_epoochs", "3")

    def test_what_is_no_sweep(self, fails: Callable[..., str], call: Called) -> None:
        assert "validation" in fails("--metric", "test_loss")
        assert "--direction" in fails("--metric", "val_thing")
        assert "--trials 0" in fails("--trials", "0")
        assert "leave it out" in fails("--ckpt_path", "last")
        assert "one device" in fails("--trainer.devices", "2")
        assert "nowhere.yaml" in fails("--fit", "nowhere.yaml")
        assert "nowhere: no such folder" in fails("--data.source.root", "nowhere")
        assert call("sweep", "search.yaml")[0] == 2

    def test_a_metric_that_nothing_gives(self, call: Called) -> None:
        status, _, err = call("sweep", "--config", "search.yaml", "--metric", "val_acuracy", "--direction", "maximize")
        assert status == 2
        assert "val_accuracy" in err.splitlines()[-1]

    def test_without_optuna(self, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "optuna", None)
        assert "python -m pip install 'musicgen_cls[sweep]'" in fails()

    def test_foreign_files_as_database(self, fails: Callable[..., str]) -> None:
        Path("text.db").write_text("dear diary, " * 20)
        assert "text.db: not a SQLite database" in fails("--storage", "text.db")
        with sqlite3.connect("cats.db") as cats:
            cats.execute("CREATE TABLE cats (name)")
        assert "cats.db: a database of something else (tables cats)" in fails("--storage", "cats.db")
        optuna.create_study(study_name="sweep-search", storage="sqlite:///other.db").ask()
        assert "not of musiccli" in fails("--storage", "other.db")

    def test_a_locked_database(self, call: Called, quick: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
        assert call("sweep", "--config", "search.yaml", "--trials", 1)[0] == 0
        monkeypatch.setattr(sweep, "LOCKED_S", 0.5)
        holder = sqlite3.connect("lightning_logs/sweep-search/study.db", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        status, _, err = call("sweep", "--config", "search.yaml")
        assert status == 2
        assert "study.db: locked by another program" in err.splitlines()[-1]
        holder.rollback()
        holder.close()
        assert call("sweep", "--config", "search.yaml")[0] == 0
        assert len(table()) == 2

    def test_another_search_under_the_same_name(self, call: Called, quick: list[list[str]]) -> None:
        assert call("sweep", "--config", "search.yaml")[0] == 0

        def refused(*args: object) -> str:
            status, _, err = call("sweep", "--config", "search.yaml", "--name", "sweep-search", *args)
            assert status == 2
            return err.splitlines()[-1]

        assert 'metric "val_loss", this command "val_accuracy"' in refused("--metric", "val_accuracy")
        assert "trainer.max_epochs 2, this command 5" in refused("--trainer.max_epochs", 5)
        assert "space model.lr" in refused("--space", "{model.lr: [0.1, 0.2], data.batch_size: [8, 16]}")
        assert len(quick) == 2
        shutil.copy("lightning_logs/sweep-search/study.db", "elsewhere.db")
        Path("lightning_logs/sweep-search/study.db").unlink()
        (Path("lightning_logs/sweep-search/trial-0000") / "checkpoints").mkdir()
        assert "left by a sweep whose database is gone" in refused()
        assert call("sweep", "--config", "search.yaml", "--storage", "elsewhere.db")[0] == 0


class FakeTrainer:
    """What `Watch` looks at."""

    sanity_checking, should_stop, max_epochs, current_epoch = False, False, 4, 0


def test_pruning_stops_what_is_worse_than_most() -> None:
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=1))
    good = study.ask()
    for epoch in range(4):
        good.report(1.0, epoch)
    study.tell(good, 1.0)

    watch = sweep.Watch(study.ask(), "val_loss", {"monitor": "val_loss", "mode": "min"}, "poor")
    trainer: Any = FakeTrainer()
    watch.on_train_start(trainer, None)  # type: ignore[arg-type]
    for epoch in range(3):
        trainer.current_epoch, trainer.callback_metrics = epoch, {"val_loss": torch.tensor(2.0 - epoch / 10)}
        watch.on_validation_end(trainer, None)  # type: ignore[arg-type]
        if trainer.should_stop:
            break
    watch.close()
    assert watch.pruned
    assert epoch == 1
    assert watch.kept is not None
    assert watch.kept["epoch"] == 1


def test_values_are_those_of_the_kept_checkpoint() -> None:
    study = optuna.create_study(direction="maximize")
    watch = sweep.Watch(study.ask(), "val_accuracy", {"monitor": "val_loss", "mode": "min"}, "t")
    trainer: Any = FakeTrainer()
    watch.on_train_start(trainer, None)  # type: ignore[arg-type]
    for epoch, (loss, accuracy) in enumerate([(3.0, 0.1), (1.0, 0.5), (2.0, 0.9)]):
        trainer.current_epoch = epoch
        trainer.callback_metrics = {"val_loss": torch.tensor(loss), "val_accuracy": torch.tensor(accuracy)}
        watch.on_validation_end(trainer, None)  # type: ignore[arg-type]
    watch.close()
    assert watch.kept is not None
    assert (watch.kept["epoch"], watch.kept["value"]) == (1, 0.5)
