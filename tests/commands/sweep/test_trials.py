"""Whole sweeps: what they leave, what stops them, and how they go on."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from filelock import FileLock
from PIL import Image

import musicgen_cls
from forks import Fork
from musicgen_cls.__main__ import main
from musicgen_cls.datamodules.base import GenreDataModule

CONFIGS = Path(musicgen_cls.__file__).parent / "configs" / "sweeps"
Called = Callable[..., tuple[int, str, str]]
Table = Callable[..., list[dict[str, str]]]
States = Callable[..., list[str]]


class TestWholeSweep:
    def test_leaves_all_it_should_and_never_looks_at_the_test_tracks(
        self, call: Called, monkeypatch: pytest.MonkeyPatch, table: Table
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

    @pytest.mark.usefixtures("unprepared")
    def test_failed_trials_are_reported_and_the_others_run(self, call: Called, undrawn: None, table: Table) -> None:
        space = "{data.seconds: [0.5, 60.0], model.lr: [0.001, 1.0e+36]}"
        more = ["--trials", 3, "--sampler", "random", "--seed", 1, "--trainer.max_epochs", 1]
        status, _, err = call("sweep", "--config", "search.yaml", "--space", space, *more)
        assert status == 0, err
        rows = table()
        assert len(rows) == 3
        reasons = {row["reason"] for row in rows if row["data.seconds"] == "60.0"}
        assert len(reasons) == 1
        assert "too short" in reasons.pop()
        astray = [row["reason"] for row in rows if row["data.seconds"] == "0.5" and row["model.lr"] == "1e+36"]
        assert astray
        assert all("diverged" in reason for reason in astray), rows
        assert rows[0]["state"] == "complete"
        assert err.count("failed: ") == sum(row["state"] == "failed" for row in rows)
        assert "Traceback" not in err

    @pytest.mark.usefixtures("unprepared")
    def test_a_wrong_metric_is_named_and_with_the_right_one_a_pruned_trial_is_not_the_best(
        self, call: Called, undrawn: None, monkeypatch: pytest.MonkeyPatch, table: Table
    ) -> None:
        sweep = ["sweep", "--config", "search.yaml", "--trainer.max_epochs", 3, "--metric"]
        status, _, err = call(*sweep, "val_acuracy", "--direction", "maximize")
        assert status == 2
        assert "val_accuracy" in err.splitlines()[-1]
        monkeypatch.setattr(optuna.Trial, "should_prune", lambda trial: trial.number == 1)
        status, out, err = call(*sweep, "val_accuracy")  # the advice can be followed
        assert status == 0, err
        rows = {row["trial"]: (row["state"], row["epochs"]) for row in table()}
        assert rows == {"trial-0000": ("complete", "3"), "trial-0001": ("pruned", "1")}
        assert "pruned" in err
        assert "Best:        trial-0000, val_accuracy" in out

    def test_killed_and_gone_on_with_it_ends_as_if_nothing_had_been(
        self, call: Called, undrawn: None, monkeypatch: pytest.MonkeyPatch, table: Table
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
    def test_to_more_trials_and_no_further(self, call: Called, quick: list[list[str]], table: Table) -> None:
        for trials, begun in ((2, 2), (2, 2), (3, 3)):
            assert call("sweep", "--config", "search.yaml", "--trials", trials)[0] == 0
            assert len(quick) == begun == len(table())

    def test_trials_are_those_of_an_uninterrupted_sweep(
        self, call: Called, quick: list[list[str]], table: Table
    ) -> None:
        for trials in (2, 4):
            call("sweep", "--config", "search.yaml", "--trials", trials, "--name", "parts")
        call("sweep", "--config", "search.yaml", "--trials", 4, "--name", "whole")
        for name in ("parts", "whole"):
            assert len(table(name)) == 4
        rates = [{row["trial"]: row["model.lr"] for row in table(name)} for name in ("parts", "whole")]
        assert [rates[0][f"trial-000{n}"] for n in range(2)] == [rates[1][f"trial-000{n}"] for n in range(2)]

    def test_a_trial_of_a_living_process_is_left_to_it(
        self, call: Called, quick: list[list[str]], states: States
    ) -> None:
        assert call("sweep", "--config", "search.yaml", "--trials", 1)[0] == 0
        study = optuna.load_study(study_name="sweep-search", storage="sqlite:///lightning_logs/sweep-search/study.db")
        number = study.ask().number
        with FileLock(f"lightning_logs/sweep-search/.trial-{number:04d}.lock"):
            status, out, _ = call("sweep", "--config", "search.yaml", "--trials", 3)
        assert status == 0
        assert "Running:     1 in other processes" in out
        assert states() == ["complete", "complete", "running"]
        assert call("sweep", "--config", "search.yaml", "--trials", 3)[0] == 0
        assert states() == ["complete"] * 3
        assert len(quick) == 3

    @pytest.mark.usefixtures("unprepared")
    def test_every_trial_fails(self, call: Called, table: Table, states: States) -> None:
        space = "{model.network.pairs: [4]}"
        more = ["--data.n_mels", 4, "--data.n_fft", 64]
        status, _, err = call("sweep", "--config", "search.yaml", "--space", space, *more)
        assert status == 2
        assert "every trial failed; the first, trial-0000: VGG cannot take input of 4 x" in err.splitlines()[-1]
        assert states() == ["failed", "failed"]
        status, _, err = call("sweep", "--config", "search.yaml", "--space", space, *more)
        assert len(table()) == 2
        status, _, err = call("sweep", "--config", "search.yaml", "--space", space, *more, "--retry_failed", "true")
        assert len(table()) == 4

    def test_two_processes_share_the_trials(self, tmp_path: Path, call: Called, undrawn: None) -> None:
        command = ["sweep", "--config", "search.yaml", "--trials", "3", "--trainer.max_epochs", "1"]
        two = [Fork(lambda: main(command), tmp_path) for _ in range(2)]
        said = [process.wait() for process in two]
        assert [status for status, _, _ in said] == [0, 0], said
        begun = [set(re.findall(r"trial-\d{4} of 3", err)) for _, _, err in said]
        assert not begun[0] & begun[1]
        assert len(begun[0] | begun[1]) == 3
        study = optuna.load_study(
            study_name="sweep-search", storage=f"sqlite:///{tmp_path}/lightning_logs/sweep-search/study.db"
        )
        assert [trial.state.name for trial in study.trials].count("FAIL") == 0
        assert len(study.trials) == 3


def test_classes_can_be_searched(call: Called, quick: list[list[str]], table: Table) -> None:
    mask = "{class_path: torchaudio.transforms.TimeMasking, init_args: {time_mask_param: 4}}"
    space = f"model.network: [VGG, CNN5], data.mask: [null, {mask}], model.lr: {{low: 0.001, high: 0.1}}"
    status, out, err = call("sweep", "--config", "search.yaml", "--space", f"{{{space}}}", "--trials", 6)
    assert status == 0, err
    assert " TimeMasking " in out  # the whole stands in trials.csv
    assert "class_path" not in out
    given = {arg for args in quick for arg in args if arg.startswith(("--data.mask", "--model.network="))}
    assert {"--data.mask=null", "--model.network=VGG", "--model.network=CNN5"} < given
    assert any("TimeMasking" in arg for arg in given)
    (first,) = [row for row in table() if row["trial"] == "trial-0000"]
    assert (first["model.network"], first["model.lr"]) == ("VGG", "0.001")  # the config's own


@pytest.mark.usefixtures("unprepared")
@pytest.mark.parametrize("config", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_every_config_runs(config: str, call: Called, undrawn: None, songs: Path) -> None:
    here = {
        "vgg": ["--data.sample_rate", 4000, "--data.seconds", 1.5, "--model.network.width", 2],
        "temporal_pooling": ["--model.network.filters", 8],
    }
    root = songs
    if config == "temporal_pooling":
        root = Path("pictures")
        for genre in ("jazz", "metal"):
            (root / genre).mkdir(parents=True)
            for n in range(6):
                noise = np.random.default_rng([n, len(genre)]).integers(256, size=(128, 387), dtype=np.uint8)
                Image.fromarray(noise).save(root / genre / f"{n}.png")
    more = ["--data.source", "Folder", "--data.source.root", root, "--data.split", "track", *here[config]]
    more += ["--data.fractions", "[0.5, 0.25, 0.25]", "--trainer.max_epochs", 1, "--trainer.logger", "CSVLogger"]
    more += ["--trainer.logger.save_dir", "logs", "--trials", 2, "--storage", "study.db", "--name", "tried"]
    status, _, err = call("sweep", "--config", CONFIGS / f"{config}.yaml", *more)
    assert status == 0, err
    with Path("logs/tried/trials.csv").open(newline="", encoding="utf-8-sig") as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["complete", "complete"]


class TestRefuses:
    def test_arguments_that_fit_does_not_take(self, fails: Callable[..., str]) -> None:
        said = fails("--space", "{data.bach_size: [8]}")
        assert "data.bach_size 8" in said
        assert "did you mean 'batch_size'?" in said
        assert "model.lr much" in fails("--space", "{model.lr: [0.1, much]}")
        assert "did you mean 'VGG'?" in fails("--space", "{model.network: [VGG, VGGG]}")
        assert "is in space, and also an argument" in fails("--model.lr", "0.1")
        assert "did you mean 'max_epochs'?" in fails("--trainer.max_epoochs", "3")

    def test_what_is_no_sweep(self, fails: Callable[..., str], call: Called) -> None:
        assert "validation" in fails("--metric", "test_loss")
        assert "--direction" in fails("--metric", "val_thing")
        assert "--trials 0" in fails("--trials", "0")
        assert "--prune_after -1: must be 0 or more" in fails("--prune_after", "-1")
        assert "leave it out" in fails("--ckpt_path", "last")
        assert "one device" in fails("--trainer.devices", "2")
        assert "nowhere.yaml" in fails("--fit", "nowhere.yaml")
        assert "nowhere: no such folder" in fails("--data.source.root", "nowhere")
        assert call("sweep", "search.yaml")[0] == 2

    def test_without_optuna(self, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "optuna", None)
        assert "python -m pip install 'musicgen_cls[sweep]'" in fails()
