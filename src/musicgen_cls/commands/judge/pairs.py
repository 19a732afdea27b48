"""Pairs of a real and a generated recording of one genre, in random order."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np

from musicgen_cls.audio.windows import to_samples
from musicgen_cls.commands.judge.music import Music, Waveform
from musicgen_cls.pages.pairs import Pair

PAIRS, PAIR_S = 20, 10.0
"""The most pairs of a page, and the longest part of a recording that is played, s."""

_LOUDNESS = 0.1  # root mean square of every part, so that loudness gives no answer away


def choose_pairs(real: Music, generated: Music, sample_rate: int, context: float, seed: int) -> list[Pair]:
    """Pairs of the parts after the prompt; the genres in turn, until a genre has no recordings left.

    Args:
        real: the real music.
        generated: the music to compare, of the same genres.
        sample_rate: Hz.
        context: length of the prompt, s.
        seed: random seed of the choice and of the order.
    """
    rng = np.random.default_rng(seed)
    start = to_samples(context, sample_rate)
    end = start + to_samples(PAIR_S, sample_rate)
    of_genres = []
    for genre, ours in generated.sounds.items():
        theirs = real.sounds[genre]
        rows = zip(rng.permutation(len(theirs)), rng.permutation(len(ours)), strict=False)  # as many as the fewer
        of_genres.append([(theirs[other], ours[own]) for other, own in rows])
    in_turn = [pair for turn in zip_longest(*of_genres) for pair in turn if pair is not None][:PAIRS]
    return [
        Pair(_even(theirs[start:end]), _even(ours[start:end]), real_first=bool(rng.integers(2)))
        for theirs, ours in in_turn
    ]


def _even(waveform: Waveform) -> Waveform:
    """A waveform at the loudness of all parts, less if it would clip; silence stays."""
    level, peak = float(np.sqrt(np.mean(np.square(waveform)))), float(np.abs(waveform).max(initial=0.0))
    return waveform * np.float32(min(_LOUDNESS / level, 0.99 / peak)) if level > 0 else waveform
