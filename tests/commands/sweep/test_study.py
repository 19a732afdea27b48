"""The database of a sweep, and who else has it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from musicgen_cls.commands.sweep import database, study

Called = Callable[..., tuple[int, str, str]]
Table = Callable[..., list[dict[str, str]]]


def test_foreign_files_as_database(fails: Callable[..., str]) -> None:
    Path("text.db").write_text("dear diary, " * 20)
    assert "text.db: not a SQLite database" in fails("--storage", "text.db")
    assert "text.db: cannot be written" in fails("--storage", "text.db/study.db")
    assert not Path("lightning_logs").exists()  # nothing is left of a sweep that cannot begin
    with sqlite3.connect("cats.db") as cats:
        cats.execute("CREATE TABLE cats (name)")
    assert "cats.db: a database of another program (tables cats)" in fails("--storage", "cats.db")
    optuna.create_study(study_name="sweep-search", storage="sqlite:///other.db").ask()
    assert "musiccli did not create the study" in fails("--storage", "other.db")
    Path("folder.db").mkdir()
    assert "folder.db: a folder" in fails("--storage", "folder.db")
    assert "must be a SQLite file" in fails("--storage", "mysql://localhost/x")


def test_damaged_notes(call: Called, quick: list[list[str]]) -> None:
    assert call("sweep", "--config", "search.yaml")[0] == 0
    study = Path("lightning_logs/sweep-search/study.db")
    whole = study.read_bytes()
    for table, old, new, said in (
        ("trial_user_attributes", '"value"', '"valeu"', "trial-0000: kept: object missing required field `value`"),
        ("trial_user_attributes", '{"epoch": ', '{"epoch": [', "damaged (Expecting"),
        ("study_user_attributes", '"metric"', '"metrics"', "object missing required field `metric`"),
    ):
        study.write_bytes(whole)
        with closing(sqlite3.connect(study)) as database, database:
            database.execute(f"UPDATE {table} SET value_json = replace(value_json, ?, ?)", (old, new))
        status, _, err = call("sweep", "--config", "search.yaml")
        assert status == 2
        assert "study.db: damaged (" in err
        assert said in err
        assert "Traceback" not in err


def test_a_database_is_never_there_in_part(
    call: Called, quick: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process of the sweep may look at any moment, and this one may be killed at any."""
    in_place: list[bool] = []

    def make(database: Path, **more: Any) -> optuna.storages.RDBStorage:
        in_place.append(database.name == "study.db" and not (database.exists() and database.stat().st_size))
        return real(database, **more)

    real = study.storage_in
    monkeypatch.setattr(study, "storage_in", make)
    Path("study.db").touch()  # as mktemp leaves it
    assert call("sweep", "--config", "search.yaml")[0] == 0
    assert in_place == [False, False]
    assert call("sweep", "--config", "search.yaml", "--name", "more", "--storage", "study.db")[0] == 0
    assert in_place == [False] * 4
    assert not list(Path().rglob(".study*.db"))
    tables = "SELECT count(*) FROM sqlite_master WHERE type = 'table'"
    with sqlite3.connect("study.db") as made, sqlite3.connect("lightning_logs/sweep-search/study.db") as other:
        assert made.execute(tables).fetchone() == other.execute(tables).fetchone()


def test_a_trial_that_ends_while_another_process_reaches_for_it(
    call: Called, quick: list[list[str]], monkeypatch: pytest.MonkeyPatch, table: Table
) -> None:
    def claimed(self: study.SharedStudy, number: int) -> object:
        found = self.study.trials[number]
        if found.user_attrs.get("abroad"):  # its own process ends it now
            self.study.tell(number, 0.5)
        return real(self, number)

    assert call("sweep", "--config", "search.yaml", "--trials", 1)[0] == 0
    database = "sqlite:///lightning_logs/sweep-search/study.db"
    abroad = optuna.load_study(study_name="sweep-search", storage=database).ask()
    abroad.suggest_float("model.lr", 0.0001, 0.01, log=True)
    abroad.suggest_categorical("data.batch_size", [8, 16])
    abroad.set_user_attr("abroad", True)
    real = study.SharedStudy._claimed
    monkeypatch.setattr(study.SharedStudy, "_claimed", claimed)
    status, _, err = call("sweep", "--config", "search.yaml", "--trials", 3)
    assert status == 0, err
    assert len(quick) == 2
    assert [row["state"] for row in table()] == ["complete"] * 3


def test_trials_of_one_database_lie_in_one_place(call: Called, quick: list[list[str]]) -> None:
    first = ("sweep", "--config", "search.yaml", "--storage", "sqlite:///one.db")
    assert call(*first)[0] == 0
    assert Path("one.db").is_file()
    status, _, err = call(*first, "--trials", 3, "--trainer.logger.save_dir", "elsewhere")
    assert status == 2
    assert "has its trials in" in err.splitlines()[-1]
    assert call(*first, "--trials", 3)[0] == 0
    assert len(quick) == 3


def test_a_locked_database(call: Called, quick: list[list[str]], monkeypatch: pytest.MonkeyPatch, table: Table) -> None:
    assert call("sweep", "--config", "search.yaml", "--trials", 1)[0] == 0
    for module in (database, study):
        monkeypatch.setattr(module, "LOCKED_S", 0.5)
    holder = sqlite3.connect("lightning_logs/sweep-search/study.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    status, _, err = call("sweep", "--config", "search.yaml")
    assert status == 2
    assert "study.db: locked by another program" in err.splitlines()[-1]
    holder.rollback()
    holder.close()
    assert call("sweep", "--config", "search.yaml")[0] == 0
    assert len(table()) == 2


def test_another_search_under_the_same_name(call: Called, quick: list[list[str]]) -> None:
    assert call("sweep", "--config", "search.yaml")[0] == 0

    def refused(*args: object) -> str:
        status, _, err = call("sweep", "--config", "search.yaml", "--name", "sweep-search", *args)
        assert status == 2
        return err.splitlines()[-1]

    assert 'metric "val_loss", but this command has "val_accuracy"' in refused("--metric", "val_accuracy")
    assert "trainer.max_epochs 2, but this command has 5" in refused("--trainer.max_epochs", 5)
    assert "space model.lr" in refused("--space", "{model.lr: [0.1, 0.2], data.batch_size: [8, 16]}")
    assert len(quick) == 2
    shutil.copy("lightning_logs/sweep-search/study.db", "elsewhere.db")
    Path("lightning_logs/sweep-search/study.db").unlink()
    (Path("lightning_logs/sweep-search/trial-0000") / "checkpoints").mkdir()
    assert "the database of this sweep is gone" in refused()
    assert call("sweep", "--config", "search.yaml", "--storage", "elsewhere.db")[0] == 0


def test_a_study_of_version_0_1_has_the_paths_of_that_version() -> None:
    old = {"model.network.class_path": "musicgen_cls.models.vgg.VGG", "model.lr": 0.1}
    theirs = study.Identity("val_loss", "minimize", {}, old)
    ours = {"metric": "val_loss", "direction": "minimize", "space": {}, "folder": None}
    ours["config"] = {"model.network.class_path": "musicgen_cls.models.VGG", "model.lr": 0.1, "model.metrics": None}
    pairs = list(study.SharedStudy._pairs(SimpleNamespace(identity=ours), theirs))
    assert ("model.network.class_path", "musicgen_cls.models.VGG", "musicgen_cls.models.VGG") in pairs
    assert all(there == here for _, there, here in pairs)
