"""The search space of a sweep: arguments of fit, each with its range or its choices."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from musicgen_cls.errors import UsageError

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Dimension:
    """The possible values of an argument: a range, or a list of choices.

    Args:
        name: name of the argument, such as `model.lr`.
        low: smallest value; None if there are choices.
        high: largest value.
        log: whether the range is logarithmic.
        step: difference between values.
        choices: the values.
    """

    name: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()

    @classmethod
    def read(cls, name: str, value: Any) -> Dimension:
        """Read the value of a config: `{low: ..., high: ..., log: true}`, `{choices: [...]}` or a list.

        Raises:
            UsageError: the value has another form, or is invalid.
        """
        value = {"choices": value} if isinstance(value, list) else value
        where = f"space {name}: {json.dumps(value, default=str)}"
        keys = set(value) if isinstance(value, dict) else set()
        if keys == {"choices"}:
            if not isinstance(value["choices"], list) or not value["choices"]:
                raise UsageError(f"{where}: no choices; list some, such as choices: [16, 32]")
            return cls(name, choices=tuple(value["choices"]))
        if not {"low", "high"} <= keys <= {"low", "high", "log", "step"}:
            raise UsageError(f"{where}: give low and high, optionally with log: true or a step; or choices: [...]")
        for key in keys - {"log"}:
            number = value[key]
            if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
                raise UsageError(f"{where}: {key} must be a finite number")
        dimension = cls(name, **value)
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
            raise UsageError(f"{where}: a logarithm needs low above 0; raise low, or leave log out")
        if self.step is not None and (self.log or self.step <= 0):
            raise UsageError(f"{where}: step must be above 0, and cannot be used with log")

    @property
    def whole(self) -> bool:
        """Whether the values are integers."""
        return all(isinstance(value, int) for value in (self.low, self.high, self.step or 1))

    @property
    def ends(self) -> tuple[Any, ...]:
        """The choices, or both ends of the range."""
        return self.choices or (self.low, self.high)

    def described(self) -> dict[str, Any]:
        """The range or the choices in plain form."""
        if self.choices:
            return {"choices": list(self.choices)}
        return {"low": self.low, "high": self.high, "log": self.log, "step": self.step}

    def holds(self, value: Any) -> bool:
        """Whether a value is in the range or among the choices."""
        if self.choices:
            return value in self.choices
        numeric = isinstance(value, int if self.whole else int | float) and not isinstance(value, bool)
        return numeric and self.low <= value <= self.high

    def suggested(self, trial: Trial) -> Any:
        """The value for a trial."""
        if self.choices:
            return self._known[trial.suggest_categorical(self.name, list(self._known))]
        assert self.low is not None
        assert self.high is not None
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return float(trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log))

    def value_of(self, trial: FrozenTrial) -> Any:
        """The value of a trial; None if it has none."""
        value = trial.params.get(self.name)
        return self._known.get(value, value)

    @property
    def _known(self) -> dict[Any, Any]:
        return {label(choice): choice for choice in self.choices}


def read_space(space: dict[str, Any]) -> list[Dimension]:
    """Read the `space` of a sweep's config.

    Raises:
        UsageError: it is empty or invalid.
    """
    if not space:
        raise UsageError("space: empty, so there is nothing to search; name arguments, such as model.lr: {low, high}")
    return [Dimension.read(name, value) for name, value in space.items()]


def label(value: Any) -> Any:
    """A value in a form that Optuna accepts: other values than numbers, strings and null become JSON."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value, sort_keys=True)


def words(labels: Sequence[Any]) -> dict[Any, Any]:
    """Short and different names of the choices, for plots."""
    found: dict[Any, Any] = {}
    for choice in labels:
        word = shown(choice) if isinstance(choice, str) else choice
        found[choice] = f"{word} ({len(found) + 1})" if word in found.values() else word
    return found


def shown(value: Any) -> str:
    """A value as text for people; a class with arguments is shown by its name."""
    if isinstance(value, str) and value.startswith('{"class_path"'):
        return str(json.loads(value)["class_path"].rpartition(".")[2])
    return f"{value:.4g}" if isinstance(value, float) else str(value)
