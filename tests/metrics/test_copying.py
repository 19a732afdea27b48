"""Runs of notes that stand in training scores."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_cls.metrics.copying import RunIndex, lines
from musicgen_cls.notes.families import DRUMS
from musicgen_cls.notes.score import Notes, transposed
from pieces import FLUTE, melody, random_melody

TRAINING = [random_melody(seed) for seed in range(5)]


@pytest.fixture(scope="module")
def index() -> RunIndex:
    return RunIndex(TRAINING)


def moved(notes: Notes, steps: int) -> Notes:
    copy = notes.copy()
    copy["onset"] += steps
    return copy


@pytest.mark.parametrize("semitones", [0, 7, -5])
def test_a_copied_run_is_found_in_every_key_place_and_instrument(index: RunIndex, semitones: int) -> None:
    run = transposed(TRAINING[3][50:80], semitones)
    run["family"] = FLUTE
    own = random_melody(99)
    piece = np.concatenate([own[:60], moved(run, int(own["onset"][60]) - int(run["onset"][0]))])
    assert index.longest_run(piece) == 30


def test_other_music_has_short_runs_only(index: RunIndex) -> None:
    assert 1 <= index.longest_run(random_melody(77)) <= 4


def test_a_training_score_is_a_copy_of_itself(index: RunIndex) -> None:
    assert index.longest_run(TRAINING[0]) == 200
    assert index.longest_runs(TRAINING[0]).tolist() == [*range(200, 1, -1)]


def test_no_run_crosses_from_one_score_to_the_next(index: RunIndex) -> None:
    both = np.concatenate([TRAINING[0], moved(TRAINING[1], int(TRAINING[0]["onset"][-1]))])
    assert index.longest_run(both) == 200


def test_every_match_is_that_of_a_plain_search() -> None:
    rng = np.random.default_rng(5)
    few = [melody(rng.integers(60, 62, 60).tolist()) for _ in range(4)]  # many equal runs
    found = RunIndex(few[:3]).longest_runs(few[3])
    (query,), texts = lines(few[3]), ["".join(f"{step}," for step in next(lines(piece))) for piece in few[:3]]
    for start, length in enumerate(found - 1):
        parts = ["".join(f"{step}," for step in query[start : start + own]) for own in (length, length + 1)]
        assert any(parts[0] in text for text in texts)
        assert start + length == len(query) or not any(parts[1] in text for text in texts)


def test_a_long_repeated_note_is_found() -> None:
    assert RunIndex([melody([60] * 3000)]).longest_run(melody([64] * 2500)) == 2500


def test_nothing_to_compare(index: RunIndex) -> None:
    assert index.longest_run(melody([60])) == 0
    assert index.longest_run(melody([60] * 50, family=DRUMS)) == 0
    assert RunIndex([]).longest_run(random_melody(1)) == 1
