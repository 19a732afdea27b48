"""`musiccli sweep`: train with many settings that Optuna picks, and write the best settings as a config."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from musicgen_cls.cli.command_line import option
from musicgen_cls.commands.sweep.trials import Sweep
from musicgen_cls.errors import UsageError


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
    config: str | None = None,
    fit_options: Sequence[str] = (),
) -> None:
    """Train with many settings that Optuna picks; the best ones on the validation tracks become a config.

    The first trial has the settings of the config, if they are in the space. The sweep uses no test track. All other
    options, such as `--data.source.root DIR`, are options of fit for every trial. The same command resumes a stopped
    sweep. Several processes with the same command share the trials. Trials are in the folders
    `<save_dir>/<name>/trial-0000` and so on.

    Args:
        fit: config of fit, or several; paths are relative to the sweep's config, or to the current folder.
        space: arguments of fit to search, each with its range {low, high, log, step} or its choices.
        arguments: further arguments of fit, the same in every trial.
        trials: number of trials, including those of earlier commands.
        name: name of the sweep and its folder; sweep-<name of its config> if None.
        metric: validation metric to optimise, at the epoch of the best checkpoint.
        direction: minimize or maximize; None to minimize a loss and maximize an accuracy.
        sampler: sampler of Optuna, tpe (learns from trials) or random.
        seed: random seed of the sampler; --seed_everything is the seed of each trial.
        pruner: pruner of Optuna, which stops poor trials early: median, hyperband or none.
        prune_after: number of epochs before the median pruner can stop a trial; a third of all epochs if None.
        storage: database, a SQLite file; study.db in the sweep's folder if None.
        retry_failed: replace trials that failed in earlier commands by new ones.
        config: config file of the sweep.
        fit_options: options of fit, for every trial.

    Raises:
        UsageError: an option is wrong, or Optuna is not installed.
    """
    options: dict[str, Any] = dict(locals())
    _check_installed()
    for owned in ("ckpt_path", "trainer.logger.version"):
        if option(fit_options, owned):
            raise UsageError(f"--{owned}: the sweep sets it for each trial; leave it out")
    options |= {"space": plain(space), "arguments": plain(arguments), "passed": list(fit_options)}
    options["name"] = name or (f"sweep-{Path(config).stem}" if config else "sweep")
    options["home"] = str(Path(config).parent) if config else "."
    Sweep(SimpleNamespace(**options)).run()


def plain(value: Any) -> Any:
    """A value as written in the config; jsonargparse turns values with a class into namespaces."""
    value = value.as_dict() if hasattr(value, "as_dict") else value
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


def _check_installed() -> None:
    """Silence Optuna; raise `UsageError` if it is not installed."""
    try:
        import optuna
        import plotly  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"sweep: needs {error.name}, which is not installed; run python -m pip install 'musicgen_cls[sweep]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", module="optuna")
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    logging.getLogger("lightning.fabric.utilities.seed").setLevel(logging.WARNING)
