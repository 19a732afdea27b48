"""The results of a sweep: a table, the best settings as a config, and Optuna's plots."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicgen_cls import plots
from musicgen_cls.commands.sweep.settings import FitSettings, argument
from musicgen_cls.commands.sweep.space import shown, words
from musicgen_cls.commands.sweep.study import SharedStudy, name_of, notes_of, state
from musicgen_cls.errors import UsageError
from musicgen_cls.files import writing
from musicgen_cls.tables import write_csv

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

DRAWN = ("optimization_history", "intermediate_values", "parallel_coordinate", "slice", "param_importances", "contour")
"""Optuna's plots."""


def report(shared: SharedStudy, settings: FitSettings) -> None:
    """Print and write the results.

    Raises:
        UsageError: every trial failed.
    """
    place, metric = shared.place, shared.identity["metric"]
    ranked = _ranked(shared.trials, shared.identity["direction"])
    rows = [_row(trial, metric, shared) for trial in ranked]
    print(_table(rows, metric, [dimension.name for dimension in shared.space]))
    write_csv(place / "trials.csv", list(rows[0]), rows)
    print(f"Table:       {place / 'trials.csv'}")
    if running := [trial for trial in ranked if state(trial) == "running"]:
        print(f"Running:     {len(running)} in other processes; the last process to end prints the results of all")
    if all(state(trial) == "failed" for trial in ranked):
        raise UsageError(
            f"every trial failed; the first, {name_of(ranked[0].number)}: {notes_of(ranked[0]).reason}; fix that, "
            "and replace them with --retry_failed true"
        )
    if state(ranked[0]) != "complete":
        print("No trial is finished yet, so there is no best one.")
        return
    draw(shared.study, metric, place)
    print(f"Plots:       {place / 'plots.html'}")
    _report_best(ranked[0], shared, settings)


def _report_best(best: FrozenTrial, shared: SharedStudy, settings: FitSettings) -> None:
    metric, name = shared.identity["metric"], name_of(best.number)
    params = {dimension.name: dimension.value_of(best) for dimension in shared.space}
    path = shared.place / "best.yaml"
    head = f"# {name} of {shared.options.name}, {metric} {best.value:.5g} in validation: {params}\n"
    head += "# Run it in the folder of the sweep: paths in it can be relative.\n"
    with writing(path) as half:
        half.write_text(head + settings.text([argument(*pair) for pair in params.items()]), encoding="utf-8")
    kept = notes_of(best).kept
    epoch = f", epoch {kept.epoch} (from 0)" if kept else ""
    print(f"Best:        {name}, {metric} {best.value:.4g} in validation{epoch}")
    print(f"Config:      musiccli fit --config {shlex.quote(str(path))}")
    checkpoint = shared.place / name / "checkpoints" / "best.ckpt"
    if checkpoint.is_file():
        print("Test it once, on test tracks, which the sweep did not use:")
        print(f"             musiccli test --ckpt_path {shlex.quote(str(checkpoint))}")
    print(f"TensorBoard: tensorboard --logdir {shared.place}")


def _ranked(trials: list[FrozenTrial], direction: str) -> list[FrozenTrial]:
    """Complete trials, the best first, then pruned, running and failed ones."""
    sign = 1.0 if direction == "minimize" else -1.0
    states = ("complete", "pruned", "running", "failed")

    def rank(trial: FrozenTrial) -> tuple[int, float, int]:
        kept = notes_of(trial).kept
        return states.index(state(trial)), sign * kept.value if kept else math.inf, trial.number

    return sorted(trials, key=rank)


def _row(trial: FrozenTrial, metric: str, shared: SharedStudy) -> dict[str, Any]:
    notes = notes_of(trial)
    return {
        "trial": name_of(trial.number),
        "state": state(trial),
        metric: notes.kept.value if notes.kept else None,
        "epoch": notes.kept.epoch if notes.kept else None,
        "epochs": len(trial.intermediate_values),
        **{dimension.name: trial.params.get(dimension.name) for dimension in shared.space},
        "minutes": round(notes.seconds / 60, 2),
        "reason": notes.reason,
    }


def _table(rows: list[dict[str, Any]], metric: str, names: list[str]) -> str:
    """The trials as a table for a terminal."""
    columns = ["trial", "state", metric, "epochs", *names, "minutes"]
    cells = [[shown(row[name]) if row[name] is not None else "-" for name in columns] for row in rows]
    widths = [max(len(line[i]) for line in [columns, *cells]) for i in range(len(columns))]
    lines = [
        "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in [columns, *cells]
    ]
    return "\n" + "\n".join(f"  {line}" for line in lines) + "\n"


def draw(study: Study, metric: str, place: Path) -> None:
    """Write Optuna's plots of the study, each as an image, and all on one self-contained page."""
    from optuna import visualization

    name_of_study, study = study.study_name, with_stopped(study)
    searched = {name for trial in study.trials for name in trial.params}
    sections: list[str] = []
    with plots.without_screen():
        for name in DRAWN:
            if name == "contour" and len(searched) != 2:
                continue
            named = {} if name == "intermediate_values" else {"target_name": metric}
            try:
                axes = getattr(visualization.matplotlib, f"plot_{name}")(study, **named)
                figure = getattr(visualization, f"plot_{name}")(study, **named)
            except (ValueError, RuntimeError, ZeroDivisionError):  # too few trials for this plot
                continue
            drawn = plots.from_pyplot(axes)
            if name == "slice":
                drawn.set_figwidth(2 + 3.2 * len(searched))  # a panel for each argument, with the names of its choices
            plots.save(drawn, place / "plots" / f"{name}.png", tight=True)
            sections.append(figure.to_html(full_html=False, include_plotlyjs=not sections))
    note = "<p>Trials that were stopped early have the best value that they reached.</p>"
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name_of_study}</title>'
    title = f"<h1>{name_of_study}: {metric} in validation</h1>"
    with writing(place / "plots.html") as half:
        half.write_text("\n".join([head, title, note, *sections, "</html>\n"]), encoding="utf-8")


def with_stopped(study: Study) -> Study:
    """A copy of the study for plots, in which pruned trials are complete and have their best value.

    Optuna's plots leave out pruned trials, which are most trials of a sweep. Classes get short names.
    """
    import optuna
    from optuna.distributions import CategoricalDistribution
    from optuna.trial import TrialState, create_trial

    shown = optuna.create_study(direction=study.direction)
    for trial in study.get_trials(deepcopy=False):
        kept = notes_of(trial).kept
        choices = {
            n: words(d.choices) for n, d in trial.distributions.items() if isinstance(d, CategoricalDistribution)
        }
        short = {name: CategoricalDistribution(list(named.values())) for name, named in choices.items()}
        ended = state(trial) in ("complete", "pruned") and kept is not None
        shown.add_trial(
            create_trial(
                state=TrialState.COMPLETE if ended else TrialState.FAIL,
                value=kept.value if ended and kept else None,
                params={n: choices[n][value] if n in choices else value for n, value in trial.params.items()},
                distributions={**trial.distributions, **short},
                intermediate_values=trial.intermediate_values,
            )
        )
    return shown
