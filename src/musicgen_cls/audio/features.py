"""Audio as a row of features: those of the published GTZAN tables on Kaggle."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio.compiled import compiled_librosa
from musicgen_cls.errors import AudioError

RATE = 22050
"""Sample rate of the audio for feature tables, including the published ones, Hz."""
N_MFCC = 20
FRAME = 2048
"""Minimum length of the audio, samples."""

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
"""Names of the 58 features, as in `features_30_sec.csv` and `features_3_sec.csv`; `length` is in samples."""


def feature_row(waveform: npt.NDArray[np.float32], sample_rate: int) -> dict[str, float]:
    """Means and variances over time of librosa's features, by `COLUMNS`.

    Frames have 2048 samples and a hop of 512. There are 20 MFCC from 128 mel bands. `harmony` and `perceptr` are the
    samples of the harmonic and the percussive part (Fitzgerald 2010). `tempo` is that of librosa's beat tracker, beats
    per minute. The edges are mirrored, as in librosa before 0.10, so that the values are those of the published tables.

    Args:
        waveform: full scale 1, mono, float32 `[samples]`.
        sample_rate: Hz.

    Raises:
        AudioError: the waveform is shorter than a frame.
    """
    if len(waveform) < FRAME:
        raise AudioError(f"{len(waveform)} samples: too short for features, {FRAME} are needed")
    librosa = compiled_librosa()
    feature = librosa.feature
    y, rate = waveform, sample_rate
    spectrum = librosa.stft(y, pad_mode="reflect")
    magnitude = np.abs(spectrum)
    mel = librosa.power_to_db(feature.melspectrogram(S=magnitude**2, sr=rate))
    # As in that version, samples after the last whole frame are 0. istft with `length` would fill them.
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
    onsets = librosa.onset.onset_strength(S=mel, sr=rate, aggregate=np.median)  # as in librosa's beat tracker
    tempo = feature.tempo(onset_envelope=onsets, sr=rate)
    mfcc = feature.mfcc(S=mel, sr=rate, n_mfcc=N_MFCC)
    numbers = [len(y), *_mean_and_variance(series), float(tempo[0]), *_mean_and_variance(mfcc)]
    return dict(zip(COLUMNS, map(float, numbers), strict=True))


def _mean_and_variance(series: list[npt.NDArray[np.float32]] | npt.NDArray[np.float32]) -> list[float]:
    """Mean and variance of each series."""
    return [float(statistic) for values in series for statistic in (np.mean(values), np.var(values))]
