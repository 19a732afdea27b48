"""Spectra of recordings of any length, as wide as a picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio.compiled import import_librosa
from musicgen_cls.audio.io import Waveform

Floats = npt.NDArray[np.float32]

N_FFT, HOP, N_MELS = 2048, 512, 128
"""Samples of a frame and between frames, and mel bands."""


def power_spectrogram(waveform: Waveform, together: int = 1) -> Floats:
    """Power of each frequency, in memory that grows with the picture and not with the recording.

    Hann frames of 2048 samples, 512 apart.

    Args:
        waveform: full scale 1, `[samples]`.
        together: how many frames are averaged to a column.

    Returns:
        Power `[1025, columns]`; a column stands for `512 * together` samples, the last for what is left.
    """
    stft = import_librosa().stft
    width = HOP * together
    count = -(-len(waveform) // width)
    padded = np.pad(waveform, (N_FFT // 2, count * width - len(waveform) + N_FFT // 2))
    step = max(1, 4096 // together)  # columns at once
    parts = []
    for start in range(0, count, step):
        end = min(start + step, count)
        frames = stft(padded[start * width : end * width - HOP + N_FFT], n_fft=N_FFT, hop_length=HOP, center=False)
        parts.append(np.square(np.abs(frames)).reshape(len(frames), end - start, together).mean(axis=2))
    return np.concatenate(parts, axis=1)


def decibels(power: Floats) -> Floats:
    """Power to dB, 0 for a power of 1."""
    return 10 * np.log10(np.maximum(power, 1e-10))


def mel_of(power: Floats, sample_rate: int) -> Floats:
    """Power `[1025, columns]` to dB in 128 mel bands `[128, columns]`."""
    return decibels(import_librosa().feature.melspectrogram(S=power, sr=sample_rate, n_mels=N_MELS))


def mel_centres_hz(sample_rate: int) -> npt.NDArray[np.float64]:
    """Centre frequencies of those bands, `[128]`."""
    mel_frequencies = import_librosa().mel_frequencies
    return np.asarray(mel_frequencies(N_MELS + 2, fmin=0.0, fmax=sample_rate / 2)[1:-1])
