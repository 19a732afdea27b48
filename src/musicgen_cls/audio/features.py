"""A stretch of audio as a row of numbers: the table that goes with GTZAN on Kaggle."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio.compiled import compiled_librosa
from musicgen_cls.errors import AudioError

RATE = 22050
"""Of the audio that tables are made from, the published ones too, Hz."""
N_MFCC = 20
FRAME = 2048
"""Samples that the shortest sound has."""

_PAIRS = (
    "chroma_stft",
    "rms",
    "spectral_centroid",
    "spectral_bandwidth",
    "rolloff",
    "zero_crossing_rate",
    "harmony",
    "perceptr",
)
_MFCC = tuple(f"mfcc{i}" for i in range(1, N_MFCC + 1))


def _both(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{name}_{kind}" for name in names for kind in ("mean", "var"))


COLUMNS = ("length", *_both(_PAIRS), "tempo", *_both(_MFCC))
"""Names of the 58 numbers, as in `features_30_sec.csv` and `features_3_sec.csv`; the first is a length in samples."""


def feature_row(waveform: npt.NDArray[np.float32], sample_rate: int) -> dict[str, float]:
    """Means and variances over time of what librosa tells of a sound, by `COLUMNS`.

    Frames of 2048 samples every 512; 20 MFCC of 128 bands; harmony and perceptr are samples of the harmonic and the
    percussive part (Fitzgerald 2010); tempo in beats a minute, that of librosa's beat tracker. Edges are mirrored, as
    librosa did before 0.10: so the numbers are those of the published table, which was made with such a version.

    Args:
        waveform: full scale 1, mono, float32 `[samples]`.
        sample_rate: Hz.

    Raises:
        AudioError: it is shorter than a frame.
    """
    if len(waveform) < FRAME:
        raise AudioError(f"{len(waveform)} samples: too short for features, {FRAME} are needed")
    librosa = compiled_librosa()
    feature = librosa.feature
    y, rate = waveform, sample_rate
    spectrum = librosa.stft(y, pad_mode="reflect")
    magnitude = np.abs(spectrum)
    mel = librosa.power_to_db(feature.melspectrogram(S=magnitude**2, sr=rate))
    # Whole frames only, the rest silent, as that version left it: told the length, istft would fill the end otherwise.
    parts = (librosa.util.fix_length(librosa.istft(h), size=len(y)) for h in librosa.decompose.hpss(spectrum))
    series = [
        feature.chroma_stft(S=magnitude**2, sr=rate),
        feature.rms(y=y, pad_mode="reflect"),
        feature.spectral_centroid(S=magnitude, sr=rate),
        feature.spectral_bandwidth(S=magnitude, sr=rate),
        feature.spectral_rolloff(S=magnitude, sr=rate),
        feature.zero_crossing_rate(y),
        *parts,
    ]
    onsets = librosa.onset.onset_strength(S=mel, sr=rate, aggregate=np.median)  # as librosa's beat tracker has them
    tempo = feature.tempo(onset_envelope=onsets, sr=rate)
    mfcc = feature.mfcc(S=mel, sr=rate, n_mfcc=N_MFCC)
    numbers = [len(y), *_moments(series), float(tempo[0]), *_moments(mfcc)]
    return dict(zip(COLUMNS, map(float, numbers), strict=True))


def _moments(series: list[npt.NDArray[np.float32]] | npt.NDArray[np.float32]) -> list[float]:
    """Mean and variance of each."""
    return [float(moment) for values in series for moment in (np.mean(values), np.var(values))]
