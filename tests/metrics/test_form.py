"""Bars that return, in scores whose form is known."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_cls.metrics.form import bar_matches, bars_that_return, self_similarity
from pieces import bars, random_melody

A, B, C, D = [60, 62, 64, 65], [67, 67, 69, 71], [50, 52, 53, 55], [70, 71, 72, 73]


def test_bars_that_return_match_wholly() -> None:
    assert bars_that_return(bars(A, A, A)) == 1
    assert bars_that_return(bars(A, B, C, D)) == 0
    assert bars_that_return(bars(A, B, A, B)) == pytest.approx(2 / 3)  # of B, A, B


def test_half_a_bar_matches_by_a_third() -> None:
    assert bars_that_return(bars(A, [*A[:2], 80, 81])) == pytest.approx(2 / 6)


def test_empty_bars_do_not_count() -> None:
    assert bars_that_return(bars(A, [], [], A)) == 1
    assert np.isnan(bars_that_return(bars(A)))
    assert np.isnan(bars_that_return(bars(A)[:0]))


def test_the_distance_of_equal_bars_is_seen() -> None:
    found = self_similarity(bars(*[A, B] * 6))
    assert found == {1: 0, 2: 1, 4: 1, 8: 1}
    assert self_similarity(bars(A, B, [], A, B, []))[1] == 0
    with_gap = self_similarity(bars(A, [], A, [], A))
    assert (with_gap[1], with_gap[2]) == (0, 1)
    assert np.isnan(with_gap[8])


def test_bars_are_numbered_through_changes_of_metre() -> None:
    first, second = bars(A, B), bars(A, A)
    second["onset"] += 96
    second["bar"] = 60
    second["onset"][4:] += 12
    matches, number = bar_matches(np.concatenate([first, second]))
    assert number.tolist() == [0, 1, 2, 3]
    assert matches[3, 2] == matches[2, 0] == 1


def test_random_notes_hardly_return() -> None:
    assert bars_that_return(random_melody(3)) < 0.1
