"""What a sweep draws."""

from __future__ import annotations

import optuna

from musicgen_cls.commands.sweep.findings import with_stopped
from musicgen_cls.commands.sweep.space import label


def test_trials_stopped_early_are_drawn_with_the_best_they_had() -> None:
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.NopPruner())
    ends = (("COMPLETE", 0.5), ("PRUNED", 0.2), ("FAIL", 0.9), ("PRUNED", None))
    for end, kept in ends:
        trial = study.ask()
        trial.suggest_float("model.lr", 0.1, 1.0)
        trial.report(0.1, 0)
        if kept is not None:
            trial.set_user_attr("kept", {"epoch": 0, "monitored": kept, "value": kept})
        study.tell(trial, kept if end == "COMPLETE" else None, state=optuna.trial.TrialState[end])
    shown = with_stopped(study)
    assert [(trial.number, trial.value) for trial in shown.trials] == [(0, 0.5), (1, 0.2), (2, None), (3, None)]
    assert [trial.params for trial in shown.trials] == [trial.params for trial in study.trials]
    assert shown.best_trial.number == 0


def test_classes_with_their_arguments_are_drawn_by_short_names() -> None:
    study = optuna.create_study()
    choices = [None, *(label({"class_path": "a.Mask", "init_args": {"n": n}}) for n in (1, 2)), "VGG"]
    for choice in choices:
        study.enqueue_trial({"data.mask": choice})
        trial = study.ask()
        trial.suggest_categorical("data.mask", choices)
        study.tell(trial, 1.0)
    drawn = with_stopped(study).trials
    assert [trial.params["data.mask"] for trial in drawn] == [None, "Mask", "Mask (3)", "VGG"]
    assert drawn[0].distributions["data.mask"].choices == (None, "Mask", "Mask (3)", "VGG")
