"""Real recordings where there are real scores only: some of these, rendered as long as the generated recordings."""

from __future__ import annotations

from hashlib import blake2b
from math import ceil
from pathlib import Path

import numpy as np

from musicgen_cls.audio.io import write_wav
from musicgen_cls.commands.judge.music import rate_and_seconds
from musicgen_cls.commands.judge.scores import Scores
from musicgen_cls.files import cache_root, safe_name
from musicgen_cls.metrics.excerpts import excerpt
from musicgen_cls.notes.render import render
from musicgen_cls.notes.score import Notes, length_seconds

VERSION = 2
"""Raise when the same scores sound different, so that older recordings are not used."""

_OF_A_GENRE, _IN_ALL = 10, 40  # scores that are rendered: at least these of a genre, and together


def render_real(held_out: Scores, generated: Path, seed: int) -> Path:
    """Render real scores of each genre that are as long as the shortest generated recording, at its sample rate.

    They begin with their first bar that has notes.

    Args:
        held_out: the real scores.
        generated: the folder of generated recordings.
        seed: random seed of the choice of scores.

    Returns:
        A folder of the cache with a sub-folder for each genre; recordings of an earlier call are used again.

    Raises:
        AudioError: a generated recording is damaged.
    """
    from tqdm import tqdm

    facts = [rate_and_seconds(file) for file in sorted(generated.glob("*/*.wav"))]
    rate, seconds = facts[0][0], min(seconds for _, seconds in facts)
    begun = {genre: [excerpt(notes, None, None) for notes in own] for genre, own in held_out.pieces.items()}
    chosen = {genre: _chosen(own, len(begun), seconds, seed) for genre, own in begun.items()}
    recipe = blake2b(f"{VERSION} {rate} {seconds}".encode(), digest_size=8)
    for own in chosen.values():
        for notes in own:
            recipe.update(notes.tobytes())
    folder = cache_root() / f"rendered-{recipe.hexdigest()}"
    pieces = [(folder / safe_name(genre) / f"{number:05d}.wav", notes) for genre, own in chosen.items()
              for number, notes in enumerate(own)]  # fmt: skip
    for path, notes in tqdm(pieces, desc="Rendering real scores", unit="score"):
        if not path.is_file():
            write_wav(path, render(notes, rate, seconds), rate)
    return folder


def _chosen(own: list[Notes], genres: int, seconds: float, seed: int) -> list[Notes]:
    """Random scores of a genre that are long enough; the longest one if none is."""
    count = max(_OF_A_GENRE, ceil(_IN_ALL / genres))
    order = np.random.default_rng(seed).permutation(len(own))
    long_enough = [own[row] for row in order if length_seconds(own[row]) >= seconds]
    return long_enough[:count] or [max(own, key=length_seconds)]
