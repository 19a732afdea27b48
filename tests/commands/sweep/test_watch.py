"""What a trial tells the study."""

from __future__ import annotations

from typing import Any

import optuna
import torch

from musicgen_cls.commands.sweep.watch import Watch


class FakeTrainer:
    """What `Watch` looks at."""

    sanity_checking, should_stop, max_epochs, current_epoch = False, False, 4, 0


def test_pruning_stops_what_is_worse_than_most() -> None:
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=1))
    good = study.ask()
    for epoch in range(4):
        good.report(1.0, epoch)
    study.tell(good, 1.0)

    watch = Watch(study.ask(), "val_loss", {"monitor": "val_loss", "mode": "min"}, "poor")
    trainer: Any = FakeTrainer()
    watch.on_train_start(trainer, None)  # type: ignore[arg-type]
    for epoch in range(3):
        trainer.current_epoch, trainer.callback_metrics = epoch, {"val_loss": torch.tensor(2.0 - epoch / 10)}
        watch.on_validation_end(trainer, None)  # type: ignore[arg-type]
        if trainer.should_stop:
            break
    watch.__exit__()
    assert watch.pruned
    assert epoch == 1
    assert watch.kept is not None
    assert watch.kept.epoch == 1


def test_values_are_those_of_the_kept_checkpoint() -> None:
    study = optuna.create_study(direction="maximize")
    watch = Watch(study.ask(), "val_accuracy", {"monitor": "val_loss", "mode": "min"}, "t")
    trainer: Any = FakeTrainer()
    watch.on_train_start(trainer, None)  # type: ignore[arg-type]
    for epoch, (loss, accuracy) in enumerate([(3.0, 0.1), (1.0, 0.5), (2.0, 0.9)]):
        trainer.current_epoch = epoch
        trainer.callback_metrics = {"val_loss": torch.tensor(loss), "val_accuracy": torch.tensor(accuracy)}
        watch.on_validation_end(trainer, None)  # type: ignore[arg-type]
    watch.__exit__()
    assert watch.kept is not None
    assert (watch.kept.epoch, watch.kept.value) == (1, 0.5)
