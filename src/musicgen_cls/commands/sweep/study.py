"""An Optuna study in a SQLite file that several processes share."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from msgspec import Struct

from musicgen_cls.commands.sweep.database import (
    LOCKED_S,
    StudyError,
    check_database,
    has_database,
    sqlite_error,
    storage_in,
)
from musicgen_cls.commands.sweep.space import Dimension
from musicgen_cls.errors import UsageError, one_line
from musicgen_cls.files import as_path, check_writable, writing
from musicgen_cls.formats.records import Damage, convert
from musicgen_cls.specs import current_path

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial


class MetricError(StudyError):
    """Validation does not log the metric of the search."""


class Kept(Struct, frozen=True):
    """The best epoch of a trial: its number, the monitored value of the checkpoint, and the value of the metric."""

    epoch: int
    monitored: float
    value: float


class TrialNotes(Struct, frozen=True):
    """What this package stores about a trial in the database: best epoch, seconds of training, reason of a failure."""

    kept: Kept | None = None
    seconds: float = 0.0
    reason: str = ""


class Identity(Struct, frozen=True):
    """The settings of a study, by which a command recognises its own study in a database."""

    metric: str
    direction: str
    space: dict[str, Any]
    config: dict[str, Any]
    folder: str | None = None


class SharedStudy:
    """The study of a sweep: the trials with their values and results, and the process of each.

    Args:
        options: options of the command.
        place: folder of the sweep.
        space: the searched arguments.
        identity: `metric`, `direction`, `space` and `config` of the sweep, by which a study is recognised.
        first: values of the first trial; sampled if None.
        epochs: maximum number of epochs of a trial; None without a limit.
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
            raise UsageError(f"--storage {storage}: must be a SQLite file, such as --storage sweeps.db")
        self.database = as_path(storage, "--storage") if storage else place / "study.db"
        # processes coordinate with locks in that folder, and trials resume from checkpoints in it
        self.identity["folder"] = str(place.absolute()) if storage else None

    def check(self) -> None:
        """Raise `UsageError` if the database cannot be in its place, before the sweep writes anything else."""
        with self.database_errors():
            check_writable(self.database.parent, "--storage" if self.options.storage else "--trainer.logger.save_dir")
            if has_database(self.database):
                check_database(self.database)

    @contextmanager
    def database_errors(self) -> Iterator[None]:
        """Report errors of the database in one line.

        Raises:
            StudyError: SQLite failed, or the content of the database is damaged.
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
            remedy = "end that program" if locked else "fix that, or name another file with --storage"
            raise StudyError(f"{self.database}: {reason}; {remedy}; the same command resumes the sweep") from error

    @cached_property
    def study(self) -> Study:
        """Optuna's study; it is created if the database has none.

        Raises:
            StudyError: the database or the study belongs to another program or sweep.
        """
        import optuna

        with self._alone():
            try:
                if not has_database(self.database):
                    with writing(self.database) as empty:  # whole or not at all, since others check it without a lock
                        storage_in(empty, check=False).engine.dispose()
                storage = storage_in(self.database)
            except RuntimeError as error:
                raise StudyError(
                    f"{self.database}: written by another version of Optuna ({one_line(error)}); give another --name"
                ) from error
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
        """The trials that have started."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state.name != "WAITING"]

    @property
    def failed(self) -> set[int]:
        """Numbers of the failed trials."""
        return {trial.number for trial in self.trials if state(trial) == "failed"}

    def next(self, not_counted: set[int]) -> tuple[Trial, FileLock] | None:
        """A trial to run, and its lock: a trial whose process died, or a new one; None if all trials are done.

        Args:
            not_counted: trials that do not count as done.
        """
        import optuna

        study = self.study  # opened first, since opening needs the same lock
        with self._alone():
            started = self.trials
            for trial in started:
                if state(trial) == "running" and (lock := self._claimed(trial.number)):
                    if state(study.trials[trial.number]) == "running":
                        return optuna.Trial(study, trial._trial_id), lock
                    lock.release()  # the trial ended before we got the lock
            if len([trial for trial in started if trial.number not in not_counted]) >= self.options.trials:
                return None
            study.sampler = self._sampler(len(started))
            new = study.ask()
            for dimension in self.space:
                dimension.suggested(new)
            lock = self._claimed(new.number)
            assert lock is not None
            return new, lock

    def forget(self, trial: Trial) -> None:
        """Delete the study and the trial's files, if this is the only trial."""
        import optuna

        if len(self.trials) == 1:
            optuna.delete_study(study_name=self.study.study_name, storage=self.study._storage)
            shutil.rmtree(self.place / name_of(trial.number), ignore_errors=True)
            self._lock_file(trial.number).unlink(missing_ok=True)

    def _lock_file(self, number: int) -> Path:
        return self.place / f".{name_of(number)}.lock"

    def _claimed(self, number: int) -> FileLock | None:
        """The acquired lock of a trial; None if a running process has it. The system releases locks of dead ones."""
        lock = FileLock(self._lock_file(number))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock of the database, so that no other process of the sweep takes a trial at the same time."""
        try:
            with FileLock(f"{self.database}.lock", timeout=4 * LOCKED_S):
                yield
        except Timeout:
            raise StudyError(
                f"{self.database}.lock: locked by another process for too long; end that process"
            ) from None

    def _identify(self, study: Study) -> None:
        """Write the settings into a new study; refuse a study with other settings."""
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
                    f"{self.database}: study '{study.study_name}' has {name} {json.dumps(there)}, but this command has "
                    f"{json.dumps(here)}; give another --name"
                )

    def _check_new(self, study: Study) -> None:
        if study.trials:
            raise StudyError(
                f"{self.database}: musiccli did not create the study '{study.study_name}'; give another --name"
            )
        if left := min(self.place.glob("trial-*/checkpoints"), default=None):
            raise StudyError(
                f"{left.parent}: the database of this sweep is gone; move {self.place} away, or give another --name"
            )

    def _pairs(self, theirs: Identity) -> Iterator[tuple[str, Any, Any]]:
        """Each setting of the study in the database, with its value in this command."""
        ours = self.identity
        for name in ("metric", "direction"):
            yield name, getattr(theirs, name), ours[name]
        if theirs.folder and ours["folder"]:
            yield "its trials in", theirs.folder, ours["folder"]
        for name in sorted(theirs.space.keys() | ours["space"].keys()):
            yield f"space {name}", theirs.space.get(name), ours["space"].get(name)
        for name in sorted(theirs.config.keys() & ours["config"].keys()):  # other versions have other settings
            there = theirs.config[name]
            is_path = name.endswith("class_path") and isinstance(there, str)
            yield name, current_path(there) if is_path else there, ours["config"][name]

    def _pruner(self) -> Any:
        from optuna import pruners

        if self.options.pruner == "median":
            after = self.options.prune_after
            warmup = (self.epochs or 0) // 3 if after is None else after  # with large batches, training starts slowly
            return pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=warmup)
        if self.options.pruner == "hyperband":
            return pruners.HyperbandPruner(min_resource=1, max_resource=self.epochs or "auto")
        return pruners.NopPruner()

    def _sampler(self, number: int) -> Any:
        """The sampler of a trial. Each trial has its own seed, so that all processes and commands sample new values."""
        from optuna import samplers

        seed = (self.options.seed * 1_000_003 + number) % 2**32
        if self.options.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        return samplers.TPESampler(seed=seed, n_startup_trials=5, constant_liar=True)


def name_of(number: int) -> str:
    """The name of a trial and its folder."""
    return f"trial-{number:04d}"


def notes_of(trial: Trial | FrozenTrial) -> TrialNotes:
    """The notes about a trial; raises `Damage`, which `SharedStudy.database_errors` reports."""
    try:
        return convert(dict(trial.user_attrs), TrialNotes)
    except Damage as damage:
        raise Damage(f"{name_of(trial.number)}: {damage}") from None


def state(trial: FrozenTrial) -> str:
    """The state of a trial: `complete`, `pruned`, `failed` or `running`."""
    return {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}.get(trial.state.name, "running")
