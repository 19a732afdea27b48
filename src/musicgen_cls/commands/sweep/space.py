"""What a sweep searches: arguments of fit, each with its range or its choices."""

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
    """The values that an argument may take: a range, or some.

    Args:
        name: of the argument, as `model.lr`.
        low: least value; None where there are choices.
        high: greatest.
        log: whether factors count, not differences.
        step: between values.
        choices: the values.
    """

    name: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()

    @classmethod
    def read(cls, name: str, said: Any) -> Dimension:
        """From a config: `{low: ..., high: ..., log: true}`, `{choices: [...]}` or a list.

        Raises:
            UsageError: it says something else, or something impossible.
        """
        said = {"choices": said} if isinstance(said, list) else said
        where = f"space {name}: {json.dumps(said, default=str)}"
        keys = set(said) if isinstance(said, dict) else set()
        if keys == {"choices"}:
            if not isinstance(said["choices"], list) or not said["choices"]:
                raise UsageError(f"{where}: no choices; list some, as choices: [16, 32]")
            return cls(name, choices=tuple(said["choices"]))
        if not {"low", "high"} <= keys <= {"low", "high", "log", "step"}:
            raise UsageError(f"{where}: say low and high, and log: true or a step where wanted, or choices: [...]")
        for key in keys - {"log"}:
            if isinstance(said[key], bool) or not isinstance(said[key], int | float) or not math.isfinite(said[key]):
                raise UsageError(f"{where}: {key} must be a finite number")
        dimension = cls(name, **said)
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
            raise UsageError(f"{where}: a logarithm needs low above 0; raise it, or leave log out")
        if self.step is not None and (self.log or self.step <= 0):
            raise UsageError(f"{where}: step must be above 0, and goes with no log")

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return all(isinstance(value, int) for value in (self.low, self.high, self.step or 1))

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that must be possible if all are."""
        return self.choices or (self.low, self.high)

    def described(self) -> dict[str, Any]:
        """What makes it what it is, to compare."""
        if self.choices:
            return {"choices": list(self.choices)}
        return {"low": self.low, "high": self.high, "log": self.log, "step": self.step}

    def holds(self, value: Any) -> bool:
        """Whether a value is one of its own."""
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
        """The value that a trial was given; None if it has none."""
        value = trial.params.get(self.name)
        return self._known.get(value, value)

    @property
    def _known(self) -> dict[Any, Any]:
        return {label(choice): choice for choice in self.choices}


def read_space(said: dict[str, Any]) -> list[Dimension]:
    """From the `space` of a sweep's config.

    Raises:
        UsageError: it is empty, or says something impossible.
    """
    if not said:
        raise UsageError("space: empty, so there is nothing to search; name arguments, as model.lr: {low, high}")
    return [Dimension.read(name, what) for name, what in said.items()]


def label(value: Any) -> Any:
    """A value as Optuna takes one: what is not a number, a word or null becomes a text."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value, sort_keys=True)


def words(labels: Sequence[Any]) -> dict[Any, Any]:
    """What stands for each choice in a picture: short, and no two alike."""
    found: dict[Any, Any] = {}
    for choice in labels:
        word = shown(choice) if isinstance(choice, str) else choice
        found[choice] = f"{word} ({len(found) + 1})" if word in found.values() else word
    return found


def shown(value: Any) -> str:
    """A value as people read it: of a class with its arguments, as `label` has it, the name."""
    if isinstance(value, str) and value.startswith('{"class_path"'):
        return str(json.loads(value)["class_path"].rpartition(".")[2])
    return f"{value:.4g}" if isinstance(value, float) else str(value)
