"""The beat of the columns of `musiccli judge`."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_cls.commands.judge.measures import BEAT, STEADINESS, _beat
from musicgen_cls.commands.judge.music import Music

RATE = 4000


@pytest.mark.parametrize(("seconds", "measured"), [(3, set()), (5, {BEAT}), (20, {BEAT, STEADINESS})])
def test_short_tracks_have_no_steadiness(seconds: int, measured: set[str]) -> None:
    rng = np.random.default_rng(0)
    clicks = rng.normal(0, 0.01, seconds * RATE).astype(np.float32)
    clicks[:: RATE // 2] = 1
    found = _beat(Music("x", {"a": [clicks, clicks[::-1]]}), [clicks, clicks[::-1]], RATE)
    assert found.keys() == measured
    assert all(own["low"] <= own["value"] <= own["high"] for own in found.values())


def test_tracks_of_one_prompt_are_not_independent() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (3, 5 * RATE)).astype(np.float32)
    alone = Music("x", {"a": [*noise]}, ["p.wav"] * 3)
    assert (_beat(alone, [*noise], RATE)[BEAT]["low"], len(alone.prompts)) == (None, 1)
