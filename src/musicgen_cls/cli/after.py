"""What follows a command of the trainer: the test after fit, and the test of real music beside generated music."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from musicgen_cls.callbacks.report import TestReport, write_pair
from musicgen_cls.cli.calibrate import calibrate
from musicgen_cls.cli.precision import leave_mixed_precision
from musicgen_cls.cli.runs import figures_first, hyper_parameters, saved_last
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.sources.base import Source
from musicgen_cls.specs import init_arguments


def test_beside(trainer: Trainer, model: Any, datamodule: GenreDataModule, source: Source) -> None:
    """Test a model on other tracks as it was tested on those of its datamodule, and draw both.

    Args:
        trainer: with a `TestReport` that has reported the first test.
        model: the classifier.
        datamodule: of the first test.
        source: the other tracks.
    """
    first = model.results["test"]
    report = next(callback for callback in trainer.callbacks if isinstance(callback, TestReport))  # type: ignore[attr-defined]
    folder = report.folder
    arguments = {n: value for n, value in init_arguments(datamodule).items() if n not in ("augment", "mask")}
    other = type(datamodule)(**{**arguments, "source": source})
    report.out = str(folder / "beside")
    trainer.test(model, datamodule=other, ckpt_path=trainer.ckpt_path, weights_only=True, verbose=False)
    if trainer.is_global_zero:
        names = [str(part.location) for part in (datamodule, other)]
        pair = list(zip(names, (first, model.results["test"]), strict=True))
        write_pair(folder / f"beside.{report.figure_format}", pair, other.genres)


def close_fit(trainer: Trainer, model: Any, datamodule: Any, config: Any) -> None:
    """Calibrate and test the best checkpoint of a training, log its figures, and print where the results are."""
    best = getattr(trainer.checkpoint_callback, "best_model_path", "")
    if not best and (last := saved_last(trainer)) is not None:
        rank_zero_only(print)(
            "No validation ran (see --trainer.limit_val_batches, max_steps, check_val_every_n_epoch): there is no best "
            "checkpoint, and the last one takes its place"
        )
        best = str(last)
    if not best:
        if not (trainer.global_step or trainer.fast_dev_run):  # type: ignore[attr-defined]
            rank_zero_only(print)("Nothing was trained (see --trainer.max_epochs, max_steps and limit_train_batches)")
        return
    logged = dict(trainer.callback_metrics)
    _without_averaging(trainer)
    leave_mixed_precision(trainer)
    if config.calibrate:
        calibrate(trainer, model, datamodule, best)
    if config.test_after_fit:
        trainer.test(model, datamodule=datamodule, ckpt_path=best, weights_only=True, verbose=False)
        logged = dict(trainer.callback_metrics)
    if not trainer.is_global_zero:
        return
    print(f"Checkpoint:  {best}")
    logger = trainer.logger
    if isinstance(logger, TensorBoardLogger):
        figures = {name: float(value) for name, value in logged.items() if "_step" not in name}
        logger.log_hyperparams(hyper_parameters(model, datamodule), figures_first(figures))
        logger.save()
        print(f"TensorBoard: tensorboard --logdir {logger.save_dir}")


def _without_averaging(trainer: Trainer) -> None:
    """Remove the averaging of weights after training.

    Lightning's callback would replace the averaged weights of a tested checkpoint with the last ones of the training.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    trainer.callbacks = [callback for callback in callbacks if not isinstance(callback, WeightAveraging)]  # type: ignore[attr-defined]
