"""What may be searched."""

from __future__ import annotations

import re

import pytest

from musicgen_cls.cli.dispatch import run
from musicgen_cls.commands import COMMANDS
from musicgen_cls.errors import UsageError


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("{}", "space: empty"),
        ("{model.lr: []}", 'model.lr: {"choices": []}: no choices'),
        ("{model.lr: 3}", "give low and high"),
        ("{model.lr: {low: 1}}", "give low and high"),
        ("{model.lr: {low: 1, high: 2, steps: 3}}", "give low and high"),
        ("{model.lr: {low: 0.1, high: 0.01}}", "low is above high"),
        ("{model.lr: {low: 0, high: 0.01, log: true}}", "low above 0"),
        ("{model.lr: {low: a, high: 0.01}}", "low must be a finite number"),
        ("{model.lr: {low: 1, high: .inf}}", "high must be a finite number"),
        ("{model.lr: {low: 1, high: 2, log: 3}}", "log must be true or false"),
        ("{model.lr: {low: 1, high: 2, step: -1}}", "step must be above 0"),
    ],
)
def test_a_space_that_is_none(space: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        run("sweep", COMMANDS["sweep"], ["--space", space, "--fit", "x.yaml"])
