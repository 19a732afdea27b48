"""Harmony of a score: scale, key, pitch classes and intervals. Drums have no pitch and do not count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from musicgen_cls.notes.families import DRUMS
from musicgen_cls.notes.key import find_key, in_scale, key_fits, pitch_classes
from musicgen_cls.notes.score import Notes, bar_starts

Floats = npt.NDArray[np.float64]

WIDEST = 12
"""Wider intervals, in semitones, count as this one."""


@dataclass(frozen=True)
class Harmony:
    """The harmony of a score; all values are NaN without pitched notes.

    `in_scale`: share of notes in the scale of the key that fits best. `clarity`: correlation of the pitch classes with
    the profile of this key, at most 1. `margin`: how much higher this is than for any key of another tonic. `entropy`:
    of the pitch classes of a bar, weighted by duration, bits, mean over bars; 0 for one pitch class, 3.58 for twelve.
    """

    in_scale: float
    clarity: float
    margin: float
    entropy: float


def harmony(notes: Notes) -> Harmony:
    """The harmony of a score, in the key that is found for it."""
    own = in_found_key(notes)
    if not len(own):
        return Harmony(*[float("nan")] * 4)
    fits = key_fits(pitch_classes(own))
    best = int(fits.argmax())
    others = fits[np.arange(24) % 12 != best % 12]
    return Harmony(
        in_scale=float(in_scale(own).mean()),
        clarity=float(fits[best]),
        margin=float(fits[best] - others.max()),
        entropy=float(np.mean(bar_entropies(own))),
    )


def in_found_key(notes: Notes) -> Notes:
    """The pitched notes of a score, with the key that fits them best."""
    own: Notes = notes[notes["family"] != DRUMS].copy()
    own["key"] = find_key(own)
    return own


def bar_entropies(notes: Notes) -> Floats:
    """Entropy of the pitch classes of each bar with pitched notes, weighted by duration, bits, `[bars]`."""
    own = notes[notes["family"] != DRUMS]
    starts, bar = np.unique(bar_starts(own), return_inverse=True)
    chroma = np.zeros((len(starts), 12))
    np.add.at(chroma, (bar, own["pitch"] % 12), own["duration"])
    shares = chroma / chroma.sum(axis=1, keepdims=True)
    return np.asarray(-(shares * np.log2(np.where(shares > 0, shares, 1.0))).sum(axis=1))


def degrees(notes: Notes) -> Floats:
    """Number of notes on each semitone above the tonic of the key that is found, `[12]`."""
    own = in_found_key(notes)
    return np.bincount((own["pitch"].astype(int) - own["key"] % 12) % 12, minlength=12).astype(np.float64)


def intervals(notes: Notes) -> Floats:
    """Number of each melodic interval, from an octave down to an octave up, `[25]`.

    A melody is the highest note at each onset of a family. Wider intervals count as an octave.
    """
    counts = np.zeros(2 * WIDEST + 1)
    for family in np.unique(notes["family"]):
        if family != DRUMS:
            steps = np.diff(_highest(notes[notes["family"] == family]))
            counts += np.bincount(np.clip(steps, -WIDEST, WIDEST) + WIDEST, minlength=len(counts))
    return counts


def _highest(line: Notes) -> npt.NDArray[np.int64]:
    """The highest pitch at each onset of notes that are sorted by onset and pitch."""
    last = np.append(line["onset"][1:] != line["onset"][:-1], [True])
    return np.asarray(line["pitch"][last], dtype=np.int64)


def divergence(shares: Floats, real: Floats) -> Floats:
    """Jensen-Shannon divergence of shares `[..., bins]` from those of real scores `[bins]`, 0 to 1 bit, `[...]`."""
    from scipy.spatial.distance import jensenshannon

    return np.asarray(jensenshannon(shares, np.broadcast_to(real, shares.shape), base=2, axis=-1) ** 2)
