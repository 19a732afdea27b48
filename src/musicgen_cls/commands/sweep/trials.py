"""One command's share in a sweep: its trials, one after another."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning.pytorch.utilities.memory import garbage_collection_cuda, is_oom_error

from musicgen_cls.cli.lightning import start
from musicgen_cls.cli.logs import quieten
from musicgen_cls.cli.messages import user_error
from musicgen_cls.commands.sweep import findings
from musicgen_cls.commands.sweep.settings import FitSettings, argument
from musicgen_cls.commands.sweep.space import read_space, shown
from musicgen_cls.commands.sweep.study import MetricError, SharedStudy, StudyError, name_of, noted, sqlite_error
from musicgen_cls.commands.sweep.watch import Watch
from musicgen_cls.errors import UsageError, check_not_negative, check_positive, one_line
from musicgen_cls.files import check_writable

if TYPE_CHECKING:
    from optuna import Trial


class Sweep:
    """Trains what the study asks for, and tells it how that went.

    Args:
        options: of the command.

    Raises:
        UsageError: they say something impossible, or fit would not take what it is to be given.
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
                "config": self.settings.that_matter(),
            },
            first=self.settings.own(),
            epochs=epochs if epochs and epochs > 0 else None,
        )

    def run(self) -> None:
        """Run what trials are left, then say what was found."""
        check_writable(self.place, "--trainer.logger.save_dir")
        check_writable(self.shared.database.parent, "--storage")
        with _logged(self.place / "prepare.log"):  # a mistake that all would meet is told once
            start(["prepare", *self.settings.shared, *self.settings.firsts])
        with self.shared.told():
            forgiven = self.shared.failed if self.options.retry_failed else set()
            while (taken := self.shared.next(forgiven)) is not None:
                trial, lock = taken
                try:
                    self._run(trial)
                except MetricError:
                    self.shared.forget(trial)
                    raise
                finally:
                    lock.release()
                Path(lock.lock_file).unlink(missing_ok=True)
            findings.tell(self.shared, self.settings)

    def _run(self, trial: Trial) -> None:
        """Train one, and tell the study how it went; a mistake of its own fails it, and no other."""
        from optuna.trial import TrialState

        folder = self.place / name_of(trial.number)
        folder.mkdir(parents=True, exist_ok=True)
        params = [argument(d.name, d.suggested(trial)) for d in self.space]
        checkpoint = self.settings.given(params)["checkpoint"]
        with Watch(trial, self.metric, checkpoint, self._label_of(trial)) as watch:
            reason = self._train(folder, params, watch) or watch.reason
        garbage_collection_cuda()
        kept = noted(self.shared.study.trials[trial.number]).kept
        if reason is not None:
            trial.set_user_attr("reason", reason)
            self.shared.study.tell(trial, state=TrialState.FAIL)
            print(f"{folder.name} failed: {reason}", file=sys.stderr)
        elif kept is None:
            raise MetricError(f"--metric {self.metric}: no validation gave it; trial in {folder}")
        elif watch.pruned:
            self.shared.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.shared.study.tell(trial, kept.value)

    def _train(self, folder: Path, params: list[str], watch: Watch) -> str | None:
        """Fit, from where that was stopped if it was; why it failed, if it did."""
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


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Send what is printed, and warned of, to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
            yield
    finally:
        quieten()  # handlers hold the file, which is closed
