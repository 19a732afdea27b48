"""`musiccli sweep`: many trainings with settings that Optuna picks, and the best of them as a config."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from musicgen_cls.cli.arguments import option
from musicgen_cls.cli.exit import command_parser
from musicgen_cls.commands.sweep.trials import Sweep
from musicgen_cls.errors import UsageError

HELP = """
Every other option is one of fit and goes to every trial, as --data.source.root DIR or --trainer.max_epochs 10. The same
command goes on where it was stopped, and shares the trials where it is started several times. Trials lie in
<save_dir>/<name>/trial-0000 and so on. See musiccli fit --help.
"""


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
    prune_after: int | None = None,
    storage: str | None = None,
    retry_failed: bool = False,
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
        prune_after: epochs that every trial may have before the median pruner looks; a third of them if None.
        storage: database, a SQLite file; study.db in the sweep's folder if None.
        retry_failed: let new trials take the place of those that failed under former commands.
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
    options.name = options.name or (f"sweep-{Path(config).stem}" if config else "sweep")
    options.home = str(Path(config).parent) if config else "."
    options.passed = passed
    options.space, options.arguments = plain(options.space), plain(options.arguments)
    Sweep(options).run()


def plain(value: Any) -> Any:
    """A value as it was written: the parser makes namespaces of what names a class."""
    from jsonargparse import Namespace

    value = vars(value) if isinstance(value, Namespace) else value
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


def split_options(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Options of the sweep's own, and those of fit, each with their values."""
    own = {*inspect.signature(sweep).parameters, "config"}
    ours: list[str] = []
    passed: list[str] = []
    taking = passed
    for arg in args:
        if arg.startswith("--"):
            head = arg[2:].partition("=")[0].partition(".")[0].rstrip("+")
            taking = ours if head in own else passed
        taking.append(arg)
    return ours, passed


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
