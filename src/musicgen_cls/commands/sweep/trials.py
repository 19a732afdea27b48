"""The trials that one process of a sweep runs, one after another."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning.pytorch.utilities.memory import garbage_collection_cuda, is_oom_error

from musicgen_cls.cli.lightning import start
from musicgen_cls.cli.logs import configure_logs
from musicgen_cls.cli.messages import user_error
from musicgen_cls.commands.sweep import findings
from musicgen_cls.commands.sweep.database import StudyError, sqlite_error
from musicgen_cls.commands.sweep.settings import FitSettings, argument
from musicgen_cls.commands.sweep.space import read_space, shown
from musicgen_cls.commands.sweep.study import MetricError, SharedStudy, name_of, notes_of
from musicgen_cls.commands.sweep.watch import Watch
from musicgen_cls.errors import UsageError, check_not_negative, check_positive, one_line
from musicgen_cls.files import check_writable

if TYPE_CHECKING:
    from optuna import Trial


class Sweep:
    """Trains the trials of a study, and reports their results to it.

    Args:
        options: options of the command.

    Raises:
        UsageError: an option is invalid, or fit does not accept the arguments.
    """

    def __init__(self, options: Any) -> None:
        check_positive("--", trials=options.trials)
        check_not_negative("--", prune_after=options.prune_after or 0)
        self.options = options
        self.metric: str = options.metric
        direction = _direction(options.metric, options.direction)
        self.space = read_space(options.space)
        self.settings = FitSettings(options, self.space)
        self.place = self.settings.logs / options.name
        epochs = self.settings.config["trainer"]["max_epochs"]
        self.shared = SharedStudy(
            options,
            self.place,
            self.space,
            {
                "metric": self.metric,
                "direction": direction,
                "space": {dimension.name: dimension.described() for dimension in self.space},
                "config": self.settings.relevant(),
            },
            first=self.settings.config_values(),
            epochs=epochs if epochs and epochs > 0 else None,
        )

    def run(self) -> None:
        """Run the remaining trials, then print and write the results."""
        self.shared.check()
        check_writable(self.place, "--trainer.logger.save_dir")
        with _logged(self.place / "prepare.log"):  # an error in all trials is reported once
            start(["prepare", *self.settings.shared, *self.settings.first_params])
        with self.shared.database_errors():
            not_counted = self.shared.failed if self.options.retry_failed else set()
            while (taken := self.shared.next(not_counted)) is not None:
                trial, lock = taken
                try:
                    self._run(trial)
                except MetricError:
                    self.shared.forget(trial)
                    raise
                finally:
                    lock.release()
                Path(lock.lock_file).unlink(missing_ok=True)
            findings.report(self.shared, self.settings)

    def _run(self, trial: Trial) -> None:
        """Train one trial, and report its result to the study; an error fails this trial only."""
        from optuna.trial import TrialState

        folder = self.place / name_of(trial.number)
        folder.mkdir(parents=True, exist_ok=True)
        params = [argument(d.name, d.suggested(trial)) for d in self.space]
        with Watch(trial, self.metric, self.settings.checkpoint(params), self._label_of(trial)) as watch:
            reason = self._train(folder, params, watch) or watch.reason
        garbage_collection_cuda()
        kept = notes_of(self.shared.study.trials[trial.number]).kept
        if reason is not None:
            trial.set_user_attr("reason", reason)
            self.shared.study.tell(trial, state=TrialState.FAIL)
            print(f"{folder.name} failed: {reason}", file=sys.stderr)
        elif kept is None:
            raise MetricError(f"--metric {self.metric}: no validation logged it in {folder}; name another metric")
        elif watch.pruned:
            self.shared.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.shared.study.tell(trial, kept.value)

    def _train(self, folder: Path, params: list[str], watch: Watch) -> str | None:
        """Train, or resume a stopped training; the reason if it failed."""
        ours = [f"--trainer.logger.name={self.options.name}", f"--trainer.logger.version={folder.name}"]
        ours += ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
        ours += ["--test_after_fit=false", "--checkpoint.dirpath=null"]
        if (folder / "checkpoints" / "last.ckpt").is_file():
            ours += ["--ckpt_path=last"]
        try:
            with _logged(folder / "fit.log"):
                start(["fit", *self.settings.shared, *params, *ours], more_callbacks=[watch])
        except Exception as error:
            cause = user_error(error)
            if isinstance(cause, StudyError) or sqlite_error(error):
                raise
            with (folder / "fit.log").open("a", encoding="utf-8") as log:
                traceback.print_exception(error, file=log)
            return _reason(error, cause)
        return None

    def _label_of(self, trial: Trial) -> str:
        values = ", ".join(f"{d.name.rpartition('.')[2]} {shown(trial.params[d.name])}" for d in self.space)
        return f"{name_of(trial.number)} of {self.options.trials} ({values})"


def _direction(metric: str, given: Literal["minimize", "maximize"] | None) -> Literal["minimize", "maximize"]:
    if not metric.startswith("val_"):
        raise UsageError(f"--metric {metric}: must be a metric of the validation tracks, such as val_loss")
    if given is None and not metric.endswith(("loss", "accuracy")):
        raise UsageError(f"--metric {metric}: set --direction to minimize or maximize")
    return given or ("minimize" if metric.endswith("loss") else "maximize")


def _reason(error: Exception, cause: Exception | None) -> str:
    """The reason why a trial failed, in one line."""
    if is_oom_error(error) or isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return "out of memory; use smaller batches or a smaller network"
    return one_line(cause) if cause else f"{type(error).__name__}: {one_line(error)[:200]}"


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Redirect everything that is printed or logged to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
            yield
    finally:
        configure_logs()  # log handlers still have the closed file
