"""The key of a piece, by the profile of its pitch classes.

Krumhansl and Kessler 1982, "Tracing the dynamic changes in perceived tonal organization in a spatial representation of
musical keys": the probe-tone ratings of major and minor. A key fits as well as the durations of the pitch classes
correlate with its ratings (Krumhansl 1990, "Cognitive Foundations of Musical Pitch", chapter 4).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from musicgen_cls.notes.families import DRUMS
from musicgen_cls.notes.score import Notes

MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)

SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10, 11)}
"""Semitones above the tonic; minor with both sevenths."""

NAMES = ("C", "D♭", "D", "E♭", "E", "F", "G♭", "G", "A♭", "A", "B♭", "B")

_PROFILES = np.array([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)])
_PROFILES -= _PROFILES.mean(axis=1, keepdims=True)


def pitch_classes(notes: Notes) -> npt.NDArray[np.float64]:
    """Total duration of each pitch class, steps, `[12]`, without drums."""
    own = notes[notes["family"] != DRUMS]
    return np.bincount(own["pitch"] % 12, own["duration"].astype(float), 12).astype(np.float64)


def key_fits(classes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Correlation of the durations of pitch classes `[12]` with each key, `[24]`; 0 if the durations are all equal.

    The order of the keys is C major to B major, then C minor to B minor.
    """
    if np.ptp(classes) == 0:
        return np.zeros(24)
    centred = classes - classes.mean()
    return np.asarray(_PROFILES @ centred / (np.linalg.norm(_PROFILES, axis=1) * np.linalg.norm(centred)))


def find_key(notes: Notes) -> int:
    """The key that fits best: the tonic, 0 for C to 11 for B, and 12 more for minor; C major without pitched notes."""
    return int(np.argmax(key_fits(pitch_classes(notes))))


def key_name(key: int) -> str:
    """The name of a key, such as `E♭ minor`."""
    return f"{NAMES[key % 12]} {'minor' if key >= 12 else 'major'}"


def from_c(key: int) -> int:
    """The semitones from C to the tonic of a key, -5 to 6."""
    return key % 12 if key % 12 <= 6 else key % 12 - 12


def in_scale(notes: Notes) -> npt.NDArray[np.bool_]:
    """Whether each note is in the scale of its key, `[notes]`; drums are not."""
    tonic, minor = notes["key"] % 12, notes["key"] >= 12
    degree = (notes["pitch"].astype(int) - tonic) % 12
    right = np.where(minor, np.isin(degree, SCALES["minor"]), np.isin(degree, SCALES["major"]))
    return np.asarray(right & (notes["family"] != DRUMS))
