"""Versions of one tune: transposed and edited copies are found, other tunes with common figures are not."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen_cls.notes.families import FAMILIES
from musicgen_cls.notes.score import Notes, notes_of, transposed
from musicgen_cls.notes.tunes import same_title, same_tune, title_of

PIANO, BASS = FAMILIES.index("piano"), FAMILIES.index("bass")


def a_tune(seed: int, length: int = 120, bass: bool = True) -> Notes:
    """A melody at random over a bass that all tunes have."""
    rng = np.random.default_rng(seed)
    onset = np.cumsum(rng.choice([6, 12, 18], length))
    low = np.arange(0, onset[-1], 12) if bass else np.zeros(0, int)
    columns = {
        "onset": np.concatenate([onset, low]),
        "pitch": np.concatenate([rng.integers(60, 80, length), np.resize([36, 43], len(low))]),
        "family": np.repeat([PIANO, BASS], [length, len(low)]),
    }
    return notes_of(**columns, duration=6, place=columns["onset"] % 48, bar=48, tempo=100, key=0, velocity=80)


def test_transposed_edited_and_ornamented_copies_are_one_tune() -> None:
    tune = a_tune(0)
    later = tune.copy()
    later["onset"] += 480
    slightly_late = tune.copy()
    slightly_late["onset"][::7] += 1
    part = tune[len(tune) // 3 :]
    keys = same_tune([tune, transposed(tune, 5), a_tune(1), later, slightly_late, part, a_tune(2)])
    assert len({keys[0], keys[1], keys[3], keys[4], keys[5]}) == 1
    assert keys[0] is not None
    assert keys[2] is keys[6] is None


def test_other_tunes_over_the_same_bass_are_others() -> None:
    assert same_tune([a_tune(seed) for seed in range(30)]) == [None] * 30


def test_many_versions_of_one_tune_are_one_tune() -> None:
    keys = same_tune([transposed(a_tune(0), n % 12) for n in range(40)])
    assert len(set(keys)) == 1
    assert keys[0] is not None


def test_a_version_of_a_version_is_the_same_tune() -> None:
    first, second, third = a_tune(0), a_tune(1), a_tune(2)
    shift = first["onset"].max() + 12
    second["onset"] += shift
    third["onset"] += shift
    medleys = [first, np.concatenate([first, second]), np.concatenate([a_tune(3), third])]
    assert same_tune(medleys) == ["tune 0", "tune 0", None]


def test_a_scale_is_no_tune() -> None:
    """Short pieces, pieces of one repeated figure, and nothing."""
    scale = notes_of(onset=np.arange(60) * 6, duration=6, place=0, bar=48, tempo=100, key=0, family=PIANO,
                     pitch=np.resize(np.arange(60, 72), 60), velocity=80)  # fmt: skip
    assert same_tune([scale, transposed(scale, 2), scale[:5], scale[:0]]) == [None] * 4
    assert same_tune([]) == []


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("all_of_me_bb.mid", "allofme"),
        ("all_of_me.mid", "allofme"),
        ("All of Me 2.mid", "allofme"),
        ("all_of_me-Frank-Sinatra-kar_gw2.mid", "allofme"),
        ("ALL_OF_ME_rev_bz2_bz3.midi", "allofme"),
        ("all_of_you_mw.mid", "allofyou"),
        ("smooth_operator(dandridge)kar_rt.mid", "smoothoperator"),
        ("1812_overture-Tchaikovsky_rcg.mid", "1812overture"),
        ("route_66_gw.mid", "route66"),
        ("Symphony No. 5.mid", "symphonyno5"),
        ("Symphony No. 6.mid", "symphonyno6"),
        ("jigs114.mid", "jigs114"),
        ("reelsa-c36.mid", "reelsac36"),
        ("reelsa-c8.mid", "reelsac8"),
        ("All-of-Me_bz2-bz3.mid", "allofme"),
        ("Sinatra - All of Me.mid", "sinatraallofme"),
        ("emily_dmck.mid", "emily"),
        ("Für Elise.mid", "fürelise"),
        ("051.mid", None),
        ("a_2.mid", None),
    ],
)
def test_titles_in_the_names_of_files(name: str, title: str | None) -> None:
    assert title_of(name) == title


def test_titles_of_a_series_are_no_tune() -> None:
    names = [f"Track {n % 10}.mid" for n in range(30)]
    assert same_title(names) == [None] * 30
    assert same_title(["misty_dc.mid", "Misty.mid", "solar.mid", "051.mid", "051.mid"]) == ["misty"] * 2 + [None] * 3
