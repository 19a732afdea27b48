"""Settings of a run that are found before it: learning rate, batch size, precision."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder
from lightning.pytorch.loggers import TensorBoardLogger

from musicgen_cls import plots
from musicgen_cls.callbacks.precision import FIRST, FLOAT, HALF, PrecisionFinder, Stopwatch, has_bfloat16
from musicgen_cls.checkpoints import Checkpoint
from musicgen_cls.cli.checks import check_network
from musicgen_cls.cli.logs import LIGHTNING
from musicgen_cls.cli.precision import faster_in_bfloat16
from musicgen_cls.errors import UsageError
from musicgen_cls.specs import resolve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOUND_BY: dict[type[Callback], tuple[str, str]] = {
    LearningRateFinder: ("model", "lr"),
    BatchSizeFinder: ("data", "batch_size"),
    PrecisionFinder: ("trainer", "precision"),
}
"""The argument that each finder sets."""

_SKIPPED = 10, 1  # steps at the start, where Lightning's running mean is not reliable, and at the end


@dataclass(frozen=True)
class Found:
    """The result of a finder: the value, one line about it, and a figure of its curve, if there is one."""

    value: float | str
    line: str
    figure: Figure | None = None


@dataclass(frozen=True)
class Setting:
    """A setting of the run: an argument of `model`, `data` or `trainer`; `found` is None in a resumed run."""

    part: str
    name: str
    value: float | str
    found: Found | None

    def write(self, config: Any) -> None:
        """Write the value into the config of a run."""
        (config[self.part] if self.part == "trainer" else config[self.part].init_args)[self.name] = self.value


def take_finders(trainer: Any) -> list[Any]:
    """Remove the finders from a trainer's config; they run before the training, with their own trainer."""
    callbacks = trainer.callbacks or []
    callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
    finders = [described for described in callbacks if issubclass(resolve(described.class_path), tuple(FOUND_BY))]
    if finders:
        trainer.callbacks = [described for described in callbacks if described not in finders] or None
    return finders


def settings_found(finders: Sequence[Any], parser: Any, config: Any, checkpoint: Checkpoint | None) -> list[Setting]:
    """The precision, if nothing sets it, and the settings of all finders; each finder uses the earlier settings.

    A resumed run keeps what finders have found.

    Args:
        finders: the finders in the form of the config.
        parser: creates objects from a config.
        config: config of fit, with `subcommand`; the settings are written into it.
        checkpoint: checkpoint of a resumed run; None for a new run.
    """
    run = config[config.subcommand]
    searched = any(issubclass(resolve(finder.class_path), PrecisionFinder) for finder in finders)
    settings = [] if searched else _of_machine(run)
    for finder in finders:
        part, name = next(where for cls, where in FOUND_BY.items() if issubclass(resolve(finder.class_path), cls))
        found = None if checkpoint is not None else _search(finder, parser, config)
        setting = Setting(part, name, found.value if found else _of_run(checkpoint, part, name), found)
        setting.write(run)
        settings.append(setting)
    return settings


def _of_machine(config: Any) -> list[Setting]:
    """The precision, if the config has none and this machine trains faster in bfloat16; the config then has it."""
    if not faster_in_bfloat16(config):
        return []
    line = f"Precision:   {HALF}, since this processor has units for bfloat16;"
    remedy = f"             --trainer.precision {FLOAT} turns it off"
    setting = Setting("trainer", "precision", HALF, Found(HALF, f"{line}\n{remedy}"))
    setting.write(config)
    return [setting]


def _of_run(checkpoint: Any, part: str, name: str) -> Any:
    """The setting of the run that a checkpoint is of."""
    if part != "trainer":
        return getattr(checkpoint, part)["init_args"][name]
    config = checkpoint.path.parents[1] / "config.yaml"
    if not config.is_file():
        raise UsageError(f"{config}: missing, so the --{part}.{name} of the run is unknown; set it, without a finder")
    return yaml.safe_load(config.read_text(encoding="utf-8"))[part][name]


def _search(finder: Any, parser: Any, config: Any) -> Found:
    """Run one finder, with its own model and data."""
    trial = config.clone()
    trainer = trial[trial.subcommand].trainer
    trainer.callbacks, trainer.logger = [finder], False
    with _quiet():
        made = parser.instantiate_classes(trial)[trial.subcommand]
        check_network(made.model, made.data)
        return search(made.trainer.callbacks[0], made.model, made.data, made.trainer.as_dict())


@contextmanager
def _quiet() -> Iterator[None]:
    """Log only errors, since the run logs the other messages again."""
    loggers = [logging.getLogger(name) for name in ("musicgen_cls", *LIGHTNING)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class FoundFigures(Callback):
    """Logs the curves of finders to TensorBoard."""

    def __init__(self, found: Sequence[Found]) -> None:
        self.found = found

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw."""
        logger = trainer.logger
        if trainer.is_global_zero and isinstance(logger, TensorBoardLogger):
            for found in self.found:
                if found.figure is not None:
                    logger.experiment.add_figure("found/learning_rate", found.figure, 0)


def search(finder: Callback, model: Any, datamodule: Any, settings: dict[str, Any]) -> Found:
    """Run a finder on a model and data that are discarded afterwards, so that the run does not depend on them.

    Args:
        finder: Lightning's finder.
        model: a new model.
        datamodule: a new datamodule.
        settings: arguments of the run's trainer.

    Raises:
        UsageError: the finder cannot find a value.
    """
    _check_rates(finder)
    with TemporaryDirectory() as folder:  # finders write a checkpoint
        ours = {
            "logger": False,
            "enable_checkpointing": False,
            "enable_model_summary": False,
            "default_root_dir": folder,
            "num_sanity_val_steps": 0,
            "check_val_every_n_epoch": 1_000_000,  # finders need no validation
            "max_epochs": -1,  # the finder sets the number of steps
            "max_time": None,
        }
        if isinstance(finder, PrecisionFinder):
            return _precision(finder, model, datamodule, {**settings, **ours})
        trainer = _on_one_device(finder, {**settings, **ours, "callbacks": [finder]})
        before = float(model.lr), int(datamodule.batch_size)
        if isinstance(finder, BatchSizeFinder):
            _check_batches(datamodule)
        finder._early_exit = True  # type: ignore[attr-defined]  # stop before the training, as Lightning's Tuner does
        trainer.fit(model, datamodule=datamodule)
    name = type(finder).__name__
    if isinstance(finder, BatchSizeFinder):
        size = int(datamodule.batch_size)
        return Found(size, f"Batch size:  {size}, found by {name}; it was {before[1]}")
    assert isinstance(finder, LearningRateFinder)
    assert finder.optimal_lr is not None
    lrs, losses = finder.optimal_lr.results["lr"], finder.optimal_lr.results["loss"]
    lr = float(f"{steepest(lrs, losses):.3g}")
    span = f"{len(lrs)} steps from {lrs[0]:.2g} to {lrs[-1]:.2g}"
    line = f"Learning rate: {lr:.3g}, found by {name} in {span}; it was {before[0]:.3g}"
    skip = _SKIPPED[0]
    return Found(lr, line, plots.learning_rate_curve(lrs[skip:], losses[skip:], lr, before[0]))


def _on_one_device(finder: Callback, settings: dict[str, Any]) -> Trainer:
    trainer = Trainer(**settings)
    if trainer.world_size > 1:
        part, name = FOUND_BY[type(finder)]
        raise UsageError(
            f"--trainer.callbacks {type(finder).__name__}: works on one device; run it with --trainer.devices 1, then "
            f"set --{part}.{name} to its value, and train without the finder"
        )
    return trainer


def _precision(finder: PrecisionFinder, model: Any, datamodule: Any, settings: dict[str, Any]) -> Found:
    """The faster precision."""
    device = _on_one_device(finder, settings).strategy.root_device
    if not has_bfloat16(device):
        unit = "processor" if device.type == "cpu" else "GPU"
        return Found(FLOAT, f"Precision:   {FLOAT}, since this {unit} has no units for bfloat16")
    seconds = {}
    for precision in (FLOAT, HALF):
        watch = Stopwatch()
        own = {"precision": precision, "callbacks": [watch], "max_steps": FIRST + finder.steps + 1}
        Trainer(**{**settings, **own}).fit(model, datamodule=datamodule)
        seconds[precision] = watch.seconds
    ratio = seconds[FLOAT] / seconds[HALF]
    value = HALF if ratio >= finder.gain else FLOAT
    why = f"{HALF} is {ratio:.2f} times as fast as {FLOAT}, {seconds[FLOAT]:.3g} s a step"
    return Found(value, f"Precision:   {value}, since {why}")


def _check_rates(finder: Callback) -> None:
    """Raise `UsageError` for a range of learning rates that is none."""
    if isinstance(finder, LearningRateFinder) and not 0 < finder._min_lr < finder._max_lr:
        raise UsageError(
            f"--trainer.callbacks LearningRateFinder: min_lr {finder._min_lr} must be above 0 and below max_lr "
            f"{finder._max_lr}"
        )


def _check_batches(datamodule: Any) -> None:
    """Raise `UsageError` for data whose batches have no size."""
    datamodule.prepare_data()
    datamodule.setup("fit")
    if datamodule.train_dataloader().batch_size is None:
        raise UsageError(
            "--trainer.callbacks BatchSizeFinder: with --data.batch track, a batch is a track; leave the finder out"
        )


def steepest(lrs: Sequence[float], losses: Sequence[float]) -> float:
    """The learning rate at which the slope of the loss over the logarithm of the rate is the steepest.

    Lightning's own suggestion uses the slope over the rate itself, which is always steep for small rates: on music it
    suggests the smallest rates that were tried. The curve is Lightning's.

    Args:
        lrs: learning rates, ascending, `[steps]`.
        losses: smoothed, `[steps]`.

    Raises:
        UsageError: too few steps, or the loss never falls.
    """
    kept = slice(_SKIPPED[0], len(lrs) - _SKIPPED[1])
    rates, curve = np.asarray(lrs[kept], dtype=np.float64), np.asarray(losses[kept], dtype=np.float64)
    rates, curve = rates[np.isfinite(curve)], curve[np.isfinite(curve)]
    if len(curve) < 3:
        raise UsageError(
            f"LearningRateFinder: {len(lrs)} steps are too few, since the first {_SKIPPED[0]} are skipped; raise "
            "num_training_steps, or lower max_lr if the loss diverged"
        )
    slopes = np.gradient(curve, np.log(rates))
    if slopes.min() >= 0:
        raise UsageError(
            f"LearningRateFinder: the loss does not fall between {lrs[0]:.2g} and {lrs[-1]:.2g}; set a wider range "
            "with min_lr and max_lr, or raise num_training_steps"
        )
    return float(rates[slopes.argmin()])
