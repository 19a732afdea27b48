"""`musiccli sweep`: many trainings with settings that Optuna picks, and the best of them as a config."""

from __future__ import annotations

import csv
import inspect
import json
import logging
import math
import shlex
import sqlite3
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from filelock import FileLock, Timeout
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.memory import garbage_collection_cuda, is_oom_error

from musicgen_cls import plots
from musicgen_cls.cli import option, quieten, start
from musicgen_cls.errors import UsageError, check_positive
from musicgen_cls.fit_genres import Settings
from musicgen_cls.mistakes import command_parser, one_line, user_error
from musicgen_cls.paths import check_writable, writing

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

LOCKED_S = 30.0
"""How long to wait for a database that another program has locked, s."""

DRAWN = ("optimization_history", "intermediate_values", "parallel_coordinate", "slice", "param_importances", "contour")
"""Optuna's plots."""

HELP = """
Every other option is one of fit and goes to every trial, as --data.source.root DIR or --trainer.max_epochs 10. The same
command goes on where it was stopped, and shares the trials where it is started several times. Trials lie in
<save_dir>/<name>/trial-0000 and so on. See musiccli fit --help.
"""

_OF_NO_MATTER = (
    *("trainer.logger", "trainer.enable_", "trainer.accelerator", "trainer.devices", "data.num_workers"),
    *("data.cache_dir", "figures_every_n_epochs", "test_after_fit", "out", "overwrite", "beside"),
)


class StudyError(UsageError):
    """A study that cannot be used, so that no trial can run."""


@dataclass(frozen=True)
class Dimension:
    """The values that an argument may take: a range, or some.

    Args:
        name: of the argument, as `model.lr`.
        low: least value; None where there are choices.
        high: greatest.
        log: whether factors count, not differences.
        step: between values.
        choices: the values.
    """

    name: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()

    @classmethod
    def read(cls, name: str, said: Any) -> Dimension:
        """From a config: `{low: ..., high: ..., log: true}`, `{choices: [...]}` or a list.

        Raises:
            UsageError: it says something else, or something impossible.
        """
        said = {"choices": said} if isinstance(said, list) else said
        where = f"space {name}: {json.dumps(said, default=str)}"
        keys = set(said) if isinstance(said, dict) else set()
        if keys == {"choices"}:
            if not isinstance(said["choices"], list) or not said["choices"]:
                raise UsageError(f"{where}: no choices; list some, as choices: [16, 32]")
            return cls(name, choices=tuple(said["choices"]))
        if not {"low", "high"} <= keys <= {"low", "high", "log", "step"}:
            raise UsageError(f"{where}: say low and high, and log: true or a step where wanted, or choices: [...]")
        for key in keys - {"log"}:
            if isinstance(said[key], bool) or not isinstance(said[key], int | float) or not math.isfinite(said[key]):
                raise UsageError(f"{where}: {key} must be a finite number")
        dimension = cls(name, **said)
        dimension._check(where)
        return dimension

    def _check(self, where: str) -> None:
        assert self.low is not None
        assert self.high is not None
        if self.low > self.high:
            raise UsageError(f"{where}: low is above high; swap them")
        if not isinstance(self.log, bool):
            raise UsageError(f"{where}: log must be true or false")
        if self.log and self.low <= 0:
            raise UsageError(f"{where}: a logarithm needs low above 0; raise it, or leave log out")
        if self.step is not None and (self.log or self.step <= 0):
            raise UsageError(f"{where}: step must be above 0, and goes with no log")

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return all(isinstance(value, int) for value in (self.low, self.high, self.step or 1))

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that must be possible if all are."""
        return self.choices or (self.low, self.high)

    def described(self) -> dict[str, Any]:
        """What makes it what it is, to compare."""
        if self.choices:
            return {"choices": list(self.choices)}
        return {"low": self.low, "high": self.high, "log": self.log, "step": self.step}

    def holds(self, value: Any) -> bool:
        """Whether a value is one of its own."""
        if self.choices:
            return value in self.choices
        numeric = isinstance(value, int if self.whole else int | float) and not isinstance(value, bool)
        return numeric and self.low <= value <= self.high

    def suggested(self, trial: Trial) -> Any:
        """The value for a trial."""
        if self.choices:
            known = {_label(choice): choice for choice in self.choices}
            return known[trial.suggest_categorical(self.name, list(known))]
        assert self.low is not None
        assert self.high is not None
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        value = trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)
        return value


def sweep(
    fit: str | list[str],
    space: dict[str, Any],
    arguments: dict[str, Any] | None = None,
    trials: int = 12,
    name: str | None = None,
    metric: str = "val_loss",
    direction: Literal["minimize", "maximize"] | None = None,
    sampler: Literal["tpe", "random"] = "tpe",
    seed: int = 0,
    pruner: Literal["median", "hyperband", "none"] = "median",
    prune_after: int = 3,
    storage: str | None = None,
    retry_failed: bool = False,
    passed: Sequence[str] = (),
    home: str | None = None,
) -> None:
    """Train many times with settings that Optuna picks; the best on the validation tracks becomes a config.

    The first trial has the config's own settings, where they lie in the space. The test tracks are not looked at.

    Args:
        fit: config of what is trained, or several; paths are taken from the sweep's config, or from here.
        space: arguments of fit to search, each with its range {low, high, log, step} or its choices.
        arguments: further arguments of fit, the same in every trial.
        trials: how many there shall be in all, those of former commands included.
        name: of the sweep and its folder; sweep-<name of its config> if None.
        metric: what counts, as logged in validation, at the epoch whose checkpoint is kept.
        direction: whether less or more is better; if None, less of a loss and more of an accuracy.
        sampler: Optuna's, tpe (learns from trials) or random.
        seed: of the sampler; a trial's own is --seed_everything.
        pruner: Optuna's, that stops poor trials: median, hyperband or none.
        prune_after: epochs that every trial may have before the median pruner looks.
        storage: database, a SQLite file; study.db in the sweep's folder if None.
        retry_failed: let new trials take the place of those that failed under former commands.
        passed: options of fit from the command line.
        home: folder of the sweep's config.
    """


def run(args: Sequence[str]) -> None:
    """Sweep as the command line says."""
    _check_installed()
    if args and not args[0].startswith("-"):
        raise UsageError(f"'{args[0]}' belongs to no option; name the sweep's config with --config {args[0]}")
    ours, passed = split_options(args)
    parser = command_parser(sweep)
    parser.add_argument("--config", action="config")
    if any(arg in ("-h", "--help") for arg in args):
        parser.print_help()
        print(HELP, end="")
        return
    for owned in ("ckpt_path", "trainer.logger.version"):
        if option(passed, owned):
            raise UsageError(f"--{owned}: a sweep settles that for each trial; leave it out")
    options = parser.parse_args(ours)
    config = option(ours, "config")
    options.name = options.name or f"sweep-{Path(config).stem}" if config else options.name or "sweep"
    options.home = str(Path(config).parent) if config else "."
    options.passed = passed
    Sweep(options).run()


def split_options(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Options of the sweep's own, and those of fit, each with their values."""
    own = {*inspect.signature(sweep).parameters, "config"} - {"passed", "home"}
    ours: list[str] = []
    passed: list[str] = []
    taking = passed
    for arg in args:
        if arg.startswith("--"):
            head = arg[2:].partition("=")[0].partition(".")[0].rstrip("+")
            taking = ours if head in own else passed
        taking.append(arg)
    return ours, passed


class Sweep:
    """One command's share in a sweep."""

    def __init__(self, options: Any) -> None:
        self.options = options
        self._texts: dict[tuple[str, ...], str] = {}
        check_positive("--", trials=options.trials)
        self.metric: str = options.metric
        self.direction = _direction(options.metric, options.direction)
        if not options.space:
            raise UsageError("space: empty, so there is nothing to search; name arguments, as model.lr: {low, high}")
        self.space = [Dimension.read(name, said) for name, said in options.space.items()]
        self.fixed = self._fixed()
        self._check_space()
        base = self.config([])["trainer"]["logger"]
        if not isinstance(base, dict) or "version" not in base.get("init_args", {}):
            raise UsageError("--trainer.logger: a sweep needs one with folders, such as TensorBoardLogger")
        self.logs = Path(base["init_args"]["save_dir"])
        self.place = self.logs / options.name
        self.database = Path(options.storage).expanduser() if options.storage else self.place / "study.db"

    def run(self) -> None:
        """Run what trials are left, then say what was found."""
        check_writable(self.place, "--trainer.logger.save_dir")
        check_writable(self.database.parent, "--storage")
        self._prepare()
        with self._database():
            former = {trial.number for trial in self.trials if _state(trial) == "failed"}
            forgiven = former if self.options.retry_failed else set()
            while (taken := self._next(forgiven)) is not None:
                trial, lock = taken
                try:
                    self._run(trial)
                finally:
                    lock.release()
                (self.place / f".{_name(trial.number)}.lock").unlink(missing_ok=True)
            self._finish()

    def config(self, params: Sequence[str]) -> dict[str, Any]:
        """The config of fit, complete and plain, with some arguments besides."""
        config: dict[str, Any] = yaml.safe_load(self._dumped(params))
        return config

    def _dumped(self, params: Sequence[str]) -> str:
        key = tuple(params)
        if key not in self._texts:  # parsing takes a quarter of a second
            cli = self._settings
            config = cli._parse(cli.parser, "fit", [*self.fixed, *params])["fit"]
            self._texts[key] = cli._parser("fit").dump(config, skip_none=False)
        return self._texts[key]

    @cached_property
    def _settings(self) -> Settings:
        cli = start(["fit", *self.fixed, *self._firsts()], Settings)
        assert isinstance(cli, Settings)
        return cli

    def _firsts(self, **other: Any) -> list[str]:
        return [_argument(d.name, other.get(d.name, d.ends[0])) for d in self.space]

    def _fixed(self) -> list[str]:
        """The arguments of fit that all trials share."""
        options = self.options
        said = [arg[2:].partition("=")[0] for arg in options.passed]
        for dimension in self.space:
            if dimension.name in {*said, *(options.arguments or {})}:
                raise UsageError(f"{dimension.name}: searched in space, and given as an argument; take one away")
        files = [options.fit] if isinstance(options.fit, str) else options.fit
        found = []
        for file in files:
            places = [Path(options.home) / file, Path(file)]
            there = next((place for place in places if place.is_file()), None)
            if there is None:
                raise UsageError(f"--fit {file}: no such config, neither from here nor from {options.home}")
            found += ["--config", str(there)]
        more = [_argument(name, value) for name, value in (options.arguments or {}).items()]
        return [*found, *more, *options.passed]

    def _check_space(self) -> None:
        """Find out, before the first trial, whether fit takes every argument of the space, and its values."""
        for row in range(max(len(dimension.ends) for dimension in self.space)):
            values = {d.name: d.ends[min(row, len(d.ends) - 1)] for d in self.space}
            try:
                self.config(self._firsts(**values))
            except Exception as error:
                cause = user_error(error)
                if cause is None:
                    raise
                said = ", ".join(f"{name} {_label(value)}" for name, value in values.items())
                raise UsageError(f"fit with {said}: {one_line(cause)}") from None
        trainer = self.config(self._firsts())["trainer"]
        devices = trainer["devices"]
        one = len(devices) == 1 if isinstance(devices, list) else str(devices) in ("1", "auto")
        if not one or trainer["num_nodes"] > 1:
            raise UsageError(
                f"--trainer.devices {devices}: a trial runs on one device; start the same command several times instead"
            )
        self.fixed += ["--trainer.devices=1"] if devices == "auto" else []

    def _prepare(self) -> None:
        """Fetch and decode before the first trial, so that a mistake all would meet is told once."""
        with _logged(self.place / "prepare.log"):
            start(["prepare", *self.fixed, *self._firsts()])

    @contextmanager
    def _database(self) -> Iterator[None]:
        """Tell what is wrong with the database in one line."""
        try:
            yield
        except Exception as error:
            cause = _sqlite_error(error)
            if cause is None:
                raise
            locked = "locked" in str(cause)
            reason = f"locked by another program for {LOCKED_S:.0f} s" if locked else f"cannot be used ({cause})"
            remedy = "end that one" if locked else "mend that, or name another with --storage"
            raise StudyError(f"{self.database}: {reason}; {remedy}; the same command goes on") from error

    @cached_property
    def study(self) -> Study:
        """The study, made where there is none yet.

        Raises:
            StudyError: the database or the study is of something else.
        """
        import optuna

        if self.database.exists() and self.database.stat().st_size:
            self._check_database()
        with self._alone():
            try:
                storage = optuna.storages.RDBStorage(
                    f"sqlite:///{self.database.absolute()}", engine_kwargs={"connect_args": {"timeout": LOCKED_S}}
                )
            except RuntimeError as error:
                raise StudyError(f"{self.database}: of another version of Optuna ({one_line(error)})") from error
            study = optuna.create_study(
                storage=storage,
                study_name=self.options.name,
                direction=self.direction,
                load_if_exists=True,
                pruner=self._pruner(),
            )
            self._identify(study)
        return study

    def _check_database(self) -> None:
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
        ours = {
            "metric": self.metric,
            "direction": self.direction,
            "space": {dimension.name: dimension.described() for dimension in self.space},
            "config": self._what_matters(),
        }
        theirs = study.user_attrs.get("sweep")
        if theirs is None:
            if study.trials:
                raise StudyError(
                    f"{self.database}: its study '{study.study_name}' is not of musiccli; give another --name"
                )
            if left := next(iter(sorted(self.place.glob("trial-*/checkpoints"))), None):
                raise StudyError(
                    f"{left.parent}: left by a sweep whose database is gone; move {self.place} away, or give "
                    "another --name"
                )
            study.set_user_attr("sweep", ours)
            self._begin_with_config(study)
            return
        theirs, ours = json.loads(json.dumps(theirs)), json.loads(json.dumps(ours))
        pairs = [(name, theirs[name], ours[name]) for name in ("metric", "direction")]
        for part in ("space", "config"):
            names = (
                sorted(theirs[part].keys() | ours[part].keys()) if part == "space" else theirs[part].keys() & ours[part]
            )
            pairs += [
                (f"{part} {name}" if part == "space" else name, theirs[part].get(name), ours[part].get(name))
                for name in names
            ]
        for name, there, here in pairs:
            if there != here:
                raise StudyError(
                    f"{self.database}: its study '{study.study_name}' has {name} {json.dumps(there)}, this command "
                    f"{json.dumps(here)}; give another --name"
                )

    def _what_matters(self) -> dict[str, Any]:
        """The settings that all trials share, flat, less those that do not change what comes out."""
        config = _flat(self.config(self._firsts()))
        searched = tuple(dimension.name for dimension in self.space)
        return {
            name: value
            for name, value in config.items()
            if not name.startswith(_OF_NO_MATTER) and not any(name == s or name.startswith(f"{s}.") for s in searched)
        }

    def _begin_with_config(self, study: Study) -> None:
        """Let the first trial be that of the config's own settings, if they lie in the space."""
        try:
            config = _flat(self.config([]))
        except Exception:  # complete only with what is searched
            return
        own = {d.name: config[d.name] for d in self.space if d.name in config and d.holds(config[d.name])}
        if len(own) == len(self.space):
            study.enqueue_trial({name: _label(value) for name, value in own.items()})

    def _pruner(self) -> Any:
        from optuna import pruners

        if self.options.pruner == "median":
            return pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=self.options.prune_after)
        if self.options.pruner == "hyperband":
            epochs = self.config(self._firsts())["trainer"]["max_epochs"]
            return pruners.HyperbandPruner(min_resource=1, max_resource=epochs if epochs and epochs > 0 else "auto")
        return pruners.NopPruner()

    def _sampler(self, number: int) -> Any:
        """Of a trial: of its own seed, so that several processes do not draw the same, nor one that goes on."""
        from optuna import samplers

        seed = (self.options.seed * 1_000_003 + number) % 2**32
        if self.options.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        return samplers.TPESampler(seed=seed, n_startup_trials=5, constant_liar=True)

    @property
    def trials(self) -> list[FrozenTrial]:
        """Those that began."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state.name != "WAITING"]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep the other processes of this sweep from taking a trial at the same moment."""
        try:
            with FileLock(f"{self.database}.lock", timeout=4 * LOCKED_S):
                yield
        except Timeout:
            raise StudyError(f"{self.database}.lock: held by another process for too long; end that one") from None

    def _next(self, forgiven: set[int]) -> tuple[Trial, FileLock] | None:
        """A trial to run, ours until its lock is released: one whose process died, else a new one; None at the end."""
        import optuna

        with self._alone():
            begun = self.trials
            for trial in begun:
                if trial.state.name == "RUNNING" and (lock := self._claimed(trial.number)):
                    return optuna.Trial(self.study, trial._trial_id), lock
            if len([trial for trial in begun if trial.number not in forgiven]) >= self.options.trials:
                return None
            self.study.sampler = self._sampler(len(begun))
            fresh = self.study.ask()
            for dimension in self.space:
                dimension.suggested(fresh)
            lock = self._claimed(fresh.number)
            assert lock is not None
            return fresh, lock

    def _claimed(self, number: int) -> FileLock | None:
        """The lock of a trial, held; None if a living process holds it. The system frees what a dead one held."""
        lock = FileLock(self.place / f".{_name(number)}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock

    def _run(self, trial: Trial) -> None:
        """Train one, and tell the study how it went; a mistake of its own fails it, and no other."""
        from optuna.trial import TrialState

        folder = self.place / _name(trial.number)
        folder.mkdir(parents=True, exist_ok=True)
        params = [_argument(d.name, d.suggested(trial)) for d in self.space]
        config = self.config(params)
        watch = Watch(trial, self.metric, config["checkpoint"], self._label_of(trial))
        ours = [f"--trainer.logger.name={self.options.name}", f"--trainer.logger.version={folder.name}"]
        ours += ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
        ours += ["--test_after_fit=false", "--checkpoint.dirpath=null"]
        if (folder / "checkpoints" / "last.ckpt").is_file():
            ours += ["--ckpt_path=last"]
        reason = None
        try:
            with _logged(folder / "fit.log"):
                start(["fit", *self.fixed, *params, *ours], more_callbacks=[watch])
            reason = watch.reason
        except (KeyboardInterrupt, SystemExit, SIGTERMException):  # the second is how Lightning ends the first
            raise KeyboardInterrupt from None
        except Exception as error:
            cause = user_error(error)
            if isinstance(cause, StudyError) or _sqlite_error(error):
                raise
            reason = _reason(error, cause)
            with (folder / "fit.log").open("a", encoding="utf-8") as log:
                traceback.print_exception(error, file=log)
        finally:
            watch.close()
        garbage_collection_cuda()
        kept = self.study.trials[trial.number].user_attrs.get("kept")
        if reason is None and kept is None:
            raise StudyError(f"--metric {self.metric}: no validation gave it; trial in {folder}")
        if reason is not None:
            trial.set_user_attr("reason", reason)
            self.study.tell(trial, state=TrialState.FAIL)
            print(f"{folder.name} failed: {reason}", file=sys.stderr)
        elif watch.pruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            assert kept is not None
            self.study.tell(trial, kept["value"])

    def _label_of(self, trial: Trial) -> str:
        values = ", ".join(f"{d.name.rpartition('.')[2]} {_shown(trial.params[d.name])}" for d in self.space)
        return f"{_name(trial.number)} of {self.options.trials} ({values})"

    def _finish(self) -> None:
        """Print and write what was found."""
        begun = self.trials
        rows = [self._row(trial) for trial in self._ranked(begun)]
        print(_table(rows, self.metric, [d.name for d in self.space]))
        with writing(self.place / "trials.csv") as half, half.open("w", newline="", encoding="utf-8") as file:
            names = list(rows[0])
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
        print(f"Table:       {self.place / 'trials.csv'}")
        running = [trial for trial in begun if trial.state.name == "RUNNING"]
        if running:
            print(f"{len(running)} trials still run in other processes; the last of them says how it all ended")
        best = next((t for t in self._ranked(begun) if _state(t) == "complete"), None)
        if best is None:
            failed = [trial for trial in begun if _state(trial) == "failed"]
            if len(failed) == len(begun):
                raise UsageError(
                    f"every trial failed, {_name(failed[0].number)} so: {failed[0].user_attrs['reason']}; mend that, "
                    "and let others take their place with --retry_failed true"
                )
            print("No trial was finished, so there is no best one yet.")
            return
        self._draw()
        self._tell_best(best)

    def _tell_best(self, best: FrozenTrial) -> None:
        params = {d.name: self._value(best, d) for d in self.space}
        path, folder = self.place / "best.yaml", self.place / _name(best.number)
        head = f"# {folder.name} of {self.options.name}, {self.metric} {best.value:.5g} in validation: {params}\n"
        text = self._dumped([_argument(name, value) for name, value in params.items()])
        with writing(path) as half:
            half.write_text(head + text, encoding="utf-8")
        kept = best.user_attrs["kept"]
        checkpoint = folder / "checkpoints" / "best.ckpt"
        print(f"Plots:       {self.place / 'plots.html'}")
        print(f"Best:        {folder.name}, {self.metric} {best.value:.4g} in validation, epoch {kept['epoch'] + 1}")
        print(f"Config:      musiccli fit --config {shlex.quote(str(path))}")
        if checkpoint.is_file():
            print(f"Test it, once, on tracks that the sweep never saw:\n             {_test_line(checkpoint)}")
        print(f"TensorBoard: tensorboard --logdir {self.place}")

    def _value(self, trial: FrozenTrial, dimension: Dimension) -> Any:
        known = {_label(choice): choice for choice in dimension.choices}
        value = trial.params.get(dimension.name)
        return known.get(value, value)

    def _ranked(self, begun: list[FrozenTrial]) -> list[FrozenTrial]:
        """The best first, then those that were stopped early, running ones, and failed ones."""
        sign = 1.0 if self.direction == "minimize" else -1.0
        states = ("complete", "pruned", "running", "failed")

        def rank(trial: FrozenTrial) -> tuple[int, float, int]:
            kept = trial.user_attrs.get("kept")
            return states.index(_state(trial)), sign * kept["value"] if kept else math.inf, trial.number

        return sorted(begun, key=rank)

    def _row(self, trial: FrozenTrial) -> dict[str, Any]:
        kept = trial.user_attrs.get("kept", {})
        params = {d.name: trial.params.get(d.name) for d in self.space}
        return {
            "trial": _name(trial.number),
            "state": _state(trial),
            self.metric: kept.get("value"),
            "epoch": kept["epoch"] + 1 if kept else None,
            "epochs": len(trial.intermediate_values),
            **params,
            "minutes": round(trial.user_attrs.get("seconds", 0.0) / 60, 2),
            "reason": trial.user_attrs.get("reason", ""),
        }

    def _draw(self) -> None:
        """Optuna's plots of the study, each as a picture, and all on one page that needs nothing else."""
        from optuna import visualization

        sections: list[str] = []
        with plots.without_windows():
            for name in DRAWN:
                if name == "contour" and len(self.space) != 2:
                    continue
                named = {} if name == "intermediate_values" else {"target_name": self.metric}
                try:
                    axes = getattr(visualization.matplotlib, f"plot_{name}")(self.study, **named)
                    figure = getattr(visualization, f"plot_{name}")(self.study, **named)
                except (ValueError, RuntimeError, ZeroDivisionError):  # too few trials for it
                    continue
                plots.save(plots.taken_from_pyplot(axes), self.place / "plots" / f"{name}.png", tight=True)
                sections.append(figure.to_html(full_html=False, include_plotlyjs=not sections))
        head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{self.options.name}</title>'
        page = "\n".join([head, f"<h1>{self.options.name}: {self.metric} in validation</h1>", *sections, "</html>\n"])
        with writing(self.place / "plots.html") as half:
            half.write_text(page, encoding="utf-8")


class Watch(Callback):
    """Tells the study how a trial does, epoch by epoch, stops it where that is poor, and shows a line of progress.

    Args:
        trial: Optuna's.
        metric: what counts.
        checkpoint: the settings of the checkpoint that is kept: `monitor` and `mode`.
        label: what the line begins with.
    """

    def __init__(self, trial: Trial, metric: str, checkpoint: dict[str, Any], label: str) -> None:
        self.trial, self.metric, self.label = trial, metric, label
        self.monitor, self.sign = checkpoint["monitor"] or metric, -1.0 if checkpoint["mode"] == "max" else 1.0
        self.kept: dict[str, Any] | None = trial.user_attrs.get("kept")
        self.reason: str | None = None
        self.pruned = False
        self._bar: Any = None
        self._began = time.monotonic() - trial.user_attrs.get("seconds", 0.0)
        self._shown = sys.stderr

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the line, at the epoch that training goes on from."""
        from tqdm import tqdm

        total, begun = trainer.max_epochs, trainer.current_epoch
        self._bar = tqdm(total=total, initial=begun, desc=self.label, unit="epoch", file=self._shown)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report; decide whether to go on."""
        if trainer.sanity_checking:
            return
        for name in (self.metric, self.monitor):
            if name not in trainer.callback_metrics:
                logged = ", ".join(sorted(name for name in trainer.callback_metrics if name.startswith("val_")))
                raise StudyError(f"--metric {name}: not among what validation gives: {logged}")
        value, monitored = (float(trainer.callback_metrics[name]) for name in (self.metric, self.monitor))
        epoch = trainer.current_epoch
        self.trial.set_user_attr("seconds", time.monotonic() - self._began)
        if not math.isfinite(value):
            self.reason = f"{self.metric} is {value} after {epoch + 1} epochs: training went astray"
            trainer.should_stop = True
            return
        self.trial.report(value, epoch)
        if self.kept is None or self.sign * monitored < self.sign * self.kept["monitored"]:
            self.kept = {"epoch": epoch, "monitored": monitored, "value": value}
            self.trial.set_user_attr("kept", self.kept)
        self._bar.set_postfix_str(f"{self.metric} {value:.4g}", refresh=False)
        self._bar.update()
        if epoch + 1 < (trainer.max_epochs or 0) and self.trial.should_prune():
            self.pruned = trainer.should_stop = True
            self._bar.set_postfix_str(f"{self.metric} {value:.4g}, pruned")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the line, before figures are drawn."""
        self.close()

    def close(self) -> None:
        """Leave the line."""
        if self._bar is not None:
            self._bar.close()


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Send what is printed, and warned of, to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
            yield
    finally:
        quieten()  # handlers hold the file, which is closed


def _check_installed() -> None:
    """Silence Optuna; raise `UsageError` if it is not there."""
    try:
        import optuna
        import plotly  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"sweep needs {error.name}, which is not installed: python -m pip install 'musicgen_cls[sweep]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", module="optuna")
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    logging.getLogger("lightning.fabric.utilities.seed").setLevel(logging.WARNING)


def _direction(metric: str, said: Literal["minimize", "maximize"] | None) -> Literal["minimize", "maximize"]:
    if not metric.startswith("val_"):
        raise UsageError(f"--metric {metric}: settings are chosen on the validation tracks; name one as val_loss")
    if said is None and not metric.endswith(("loss", "accuracy")):
        raise UsageError(f"--metric {metric}: say whether less or more is better with --direction minimize or maximize")
    return said or ("minimize" if metric.endswith("loss") else "maximize")


def _reason(error: Exception, cause: Exception | None) -> str:
    """Why a trial failed, in one line."""
    if is_oom_error(error) or isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return "out of memory; smaller batches or networks need less"
    return one_line(cause) if cause else f"{type(error).__name__}: {one_line(error)[:200]}"


def _sqlite_error(error: BaseException | None) -> sqlite3.Error | None:
    """What SQLite said, at the bottom of a chain of errors."""
    while error is not None:
        if isinstance(error, sqlite3.Error):
            return error
        error = error.__cause__ or error.__context__
    return None


def _state(trial: FrozenTrial) -> str:
    return {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}.get(trial.state.name, "running")


def _name(number: int) -> str:
    return f"trial-{number:04d}"


def _label(value: Any) -> Any:
    """A value as Optuna takes one: what is not a number, a word or null becomes a text."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value, sort_keys=True)


def _argument(name: str, value: Any) -> str:
    return f"--{name}={value if isinstance(value, str) else json.dumps(value)}"


def _flat(config: Any, name: str = "") -> dict[str, Any]:
    """A nested config by dotted names, as the command line has them."""
    if not isinstance(config, dict):
        return {name: config}
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, name if key == "init_args" else f"{name}.{key}".lstrip("."))
    return flat


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(rows: list[dict[str, Any]], metric: str, names: list[str]) -> str:
    """Trials as text for a terminal."""
    columns = ["trial", "state", metric, "epochs", *names, "minutes"]
    cells = [[_shown(row[name]) if row[name] is not None else "-" for name in columns] for row in rows]
    widths = [max(len(line[i]) for line in [columns, *cells]) for i in range(len(columns))]
    lines = [
        "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in [columns, *cells]
    ]
    return "\n" + "\n".join(f"  {line}" for line in lines) + "\n"


def _test_line(checkpoint: Path) -> str:
    return f"musiccli test --ckpt_path {shlex.quote(str(checkpoint))}"
