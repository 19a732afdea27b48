"""An Optuna study in a SQLite file, which several processes share."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from msgspec import Struct

from musicgen_cls.commands.sweep.space import Dimension
from musicgen_cls.errors import UsageError, one_line
from musicgen_cls.files import as_path, writing
from musicgen_cls.formats.records import Damage, convert

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

LOCKED_S = 30.0
"""How long to wait for a database that another program has locked, s."""


class StudyError(UsageError):
    """A study that cannot be used, so that no trial can run."""


class MetricError(StudyError):
    """Validation does not give what is to be searched by."""


class Kept(Struct, frozen=True):
    """The best that a trial has had: the epoch, what its checkpoint is chosen by, and what the search is by."""

    epoch: int
    monitored: float
    value: float


class Noted(Struct, frozen=True):
    """What this package notes of a trial in the database; `seconds` of training, and why the trial failed."""

    kept: Kept | None = None
    seconds: float = 0.0
    reason: str = ""


class Identity(Struct, frozen=True):
    """What a study in a database is about."""

    metric: str
    direction: str
    space: dict[str, Any]
    config: dict[str, Any]
    folder: str | None = None


class SharedStudy:
    """The study of a sweep: what was drawn, what came of it, and which process has which trial.

    Args:
        options: of the command.
        place: folder of the sweep.
        space: what is searched.
        identity: what the sweep is about, `metric`, `direction`, `space` and `config`, to tell it from others.
        first: values of the first trial; drawn if None.
        epochs: most that a trial may have; None without a limit.
    """

    def __init__(
        self,
        options: Any,
        place: Path,
        space: list[Dimension],
        identity: dict[str, Any],
        first: dict[str, Any] | None,
        epochs: int | None,
    ) -> None:
        self.options, self.place, self.space = options, place, space
        self.identity = json.loads(json.dumps(identity))
        self.first, self.epochs = first, epochs
        storage = (options.storage or "").removeprefix("sqlite:///")
        if "://" in storage:
            raise UsageError(f"--storage {storage}: a SQLite file is wanted, as --storage sweeps.db")
        self.database = as_path(storage, "--storage") if storage else place / "study.db"
        # processes find each other by locks in that folder, and trials go on from checkpoints there
        self.identity["folder"] = str(place.absolute()) if storage else None

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tell what is wrong with the database in one line.

        Raises:
            StudyError: SQLite failed, or what is noted there is damaged.
        """
        try:
            yield
        except (Damage, json.JSONDecodeError) as error:
            raise StudyError(f"{self.database}: damaged ({one_line(error)}); give another --name") from error
        except Exception as error:
            cause = sqlite_error(error)
            if cause is None:
                raise
            locked = "locked" in str(cause)
            reason = f"locked by another program for {LOCKED_S:.0f} s" if locked else f"cannot be used ({cause})"
            remedy = "end that one" if locked else "mend that, or name another with --storage"
            raise StudyError(f"{self.database}: {reason}; {remedy}; the same command goes on") from error

    @cached_property
    def study(self) -> Study:
        """Optuna's, made where there is none yet.

        Raises:
            StudyError: the database or the study is of something else.
        """
        import optuna

        if self._has_database():
            self._check_database()
        with self._alone():
            try:
                if not self._has_database():
                    with writing(self.database) as empty:  # whole at once: processes look at it before they take turns
                        _storage(empty).engine.dispose()
                storage = _storage(self.database)
            except RuntimeError as error:
                raise StudyError(f"{self.database}: of another version of Optuna ({one_line(error)})") from error
            study = optuna.create_study(
                storage=storage,
                study_name=self.options.name,
                direction=self.identity["direction"],
                load_if_exists=True,
                pruner=self._pruner(),
            )
            self._identify(study)
        return study

    @property
    def trials(self) -> list[FrozenTrial]:
        """Those that began."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state.name != "WAITING"]

    @property
    def failed(self) -> set[int]:
        """Numbers of those that failed."""
        return {trial.number for trial in self.trials if state(trial) == "failed"}

    def next(self, forgiven: set[int]) -> tuple[Trial, FileLock] | None:
        """A trial to run, ours until its lock is released: one whose process died, else a new one; None at the end.

        Args:
            forgiven: trials that do not count.
        """
        import optuna

        study = self.study  # opened before the lock, which opening takes too
        with self._alone():
            begun = self.trials
            for trial in begun:
                if state(trial) == "running" and (lock := self._claimed(trial.number)):
                    if state(study.trials[trial.number]) == "running":
                        return optuna.Trial(study, trial._trial_id), lock
                    lock.release()  # it ended between our look at it and our taking it
            if len([trial for trial in begun if trial.number not in forgiven]) >= self.options.trials:
                return None
            study.sampler = self._sampler(len(begun))
            fresh = study.ask()
            for dimension in self.space:
                dimension.suggested(fresh)
            lock = self._claimed(fresh.number)
            assert lock is not None
            return fresh, lock

    def forget(self, trial: Trial) -> None:
        """Let go of a study of which this trial is all, as if it had not begun."""
        import optuna

        if len(self.trials) == 1:
            optuna.delete_study(study_name=self.study.study_name, storage=self.study._storage)
            shutil.rmtree(self.place / name_of(trial.number), ignore_errors=True)
            self._lock_file(trial.number).unlink(missing_ok=True)

    def _lock_file(self, number: int) -> Path:
        return self.place / f".{name_of(number)}.lock"

    def _claimed(self, number: int) -> FileLock | None:
        """The lock of a trial, held; None if a living process holds it. The system frees what a dead one held."""
        lock = FileLock(self._lock_file(number))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep the other processes of this sweep from taking a trial at the same moment."""
        try:
            with FileLock(f"{self.database}.lock", timeout=4 * LOCKED_S):
                yield
        except Timeout:
            raise StudyError(f"{self.database}.lock: held by another process for too long; end that one") from None

    def _has_database(self) -> bool:
        return self.database.exists() and (self.database.is_dir() or self.database.stat().st_size > 0)

    def _check_database(self) -> None:
        if self.database.is_dir():
            raise StudyError(f"--storage {self.database}: a folder; name a file in it")
        try:
            with sqlite3.connect(f"{self.database.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCKED_S) as found:
                tables = {row[0] for row in found.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            found.close()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise StudyError(f"{self.database}: not a SQLite database; name another file with --storage") from error
        if tables and not {"studies", "trials"} <= tables:
            raise StudyError(
                f"{self.database}: a database of something else (tables {', '.join(sorted(tables)[:4])}); name "
                "another file with --storage"
            )

    def _identify(self, study: Study) -> None:
        """Write into a new study what it searches; refuse one that searches something else."""
        theirs = study.user_attrs.get("sweep")
        if theirs is None:
            self._check_new(study)
            study.set_user_attr("sweep", self.identity)
            if self.first is not None:
                study.enqueue_trial(self.first)
            return
        for name, there, here in self._pairs(convert(theirs, Identity)):
            if there != here:
                raise StudyError(
                    f"{self.database}: its study '{study.study_name}' has {name} {json.dumps(there)}, this command "
                    f"{json.dumps(here)}; give another --name"
                )

    def _check_new(self, study: Study) -> None:
        if study.trials:
            raise StudyError(f"{self.database}: its study '{study.study_name}' is not of musiccli; give another --name")
        if left := min(self.place.glob("trial-*/checkpoints"), default=None):
            raise StudyError(
                f"{left.parent}: left by a sweep whose database is gone; move {self.place} away, or give another --name"
            )

    def _pairs(self, theirs: Identity) -> Iterator[tuple[str, Any, Any]]:
        """What the study in the database is about, beside what this command is."""
        ours = self.identity
        for name in ("metric", "direction"):
            yield name, getattr(theirs, name), ours[name]
        if theirs.folder and ours["folder"]:
            yield "its trials in", theirs.folder, ours["folder"]
        for name in sorted(theirs.space.keys() | ours["space"].keys()):
            yield f"space {name}", theirs.space.get(name), ours["space"].get(name)
        for name in sorted(theirs.config.keys() & ours["config"].keys()):  # other versions know other settings
            yield name, theirs.config[name], ours["config"][name]

    def _pruner(self) -> Any:
        from optuna import pruners

        if self.options.pruner == "median":
            after = self.options.prune_after
            spared = (self.epochs or 0) // 3 if after is None else after  # large batches learn late
            return pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=spared)
        if self.options.pruner == "hyperband":
            return pruners.HyperbandPruner(min_resource=1, max_resource=self.epochs or "auto")
        return pruners.NopPruner()

    def _sampler(self, number: int) -> Any:
        """Of a trial: of its own seed, so that several processes do not draw the same, nor one that goes on."""
        from optuna import samplers

        seed = (self.options.seed * 1_000_003 + number) % 2**32
        if self.options.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        return samplers.TPESampler(seed=seed, n_startup_trials=5, constant_liar=True)


def _storage(database: Path) -> RDBStorage:
    """Optuna's tables in a SQLite file, made where there are none."""
    import optuna

    def connect() -> sqlite3.Connection:
        """Open the file itself: a `?`, `%` or `{` in its path would mean something in a URL."""
        return sqlite3.connect(database.absolute(), timeout=LOCKED_S, check_same_thread=False)

    return optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs={"creator": connect})


def name_of(number: int) -> str:
    """Of a trial, and of its folder."""
    return f"trial-{number:04d}"


def noted(trial: Trial | FrozenTrial) -> Noted:
    """What is noted of a trial; raises `Damage`, which `SharedStudy.told` turns into one line."""
    try:
        return convert(dict(trial.user_attrs), Noted)
    except Damage as damage:
        raise Damage(f"{name_of(trial.number)}: {damage}") from None


def state(trial: FrozenTrial) -> str:
    """How a trial ended, if it did: `complete`, `pruned`, `failed` or `running`."""
    return {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}.get(trial.state.name, "running")


def sqlite_error(error: BaseException | None) -> sqlite3.Error | None:
    """What SQLite said, at the bottom of a chain of errors."""
    while error is not None:
        if isinstance(error, sqlite3.Error):
            return error
        error = error.__cause__ or error.__context__
    return None
