"""Power spectrograms of recordings of any length, with a limited number of columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio.compiled import import_librosa
from musicgen_cls.audio.io import Waveform

Floats = npt.NDArray[np.float32]

N_FFT, HOP, N_MELS = 2048, 512, 128
"""Samples in a frame, samples from frame to frame, and mel bands."""


def power_spectrogram(waveform: Waveform, frames_per_column: int = 1) -> Floats:
    """Power spectrogram with Hann windows of 2048 samples, 512 samples apart.

    The memory depends on the number of columns, not on the length of the recording.

    Args:
        waveform: full scale 1, `[samples]`.
        frames_per_column: number of frames whose mean is one column.

    Returns:
        Power `[1025, columns]`; a column covers `512 * frames_per_column` samples, the last one the remaining samples.
    """
    stft = import_librosa().stft
    width = HOP * frames_per_column
    count = -(-len(waveform) // width)
    padded = np.pad(waveform, (N_FFT // 2, count * width - len(waveform) + N_FFT // 2))
    step = max(1, 4096 // frames_per_column)  # columns at a time
    parts = []
    for start in range(0, count, step):
        end = min(start + step, count)
        frames = stft(padded[start * width : end * width - HOP + N_FFT], n_fft=N_FFT, hop_length=HOP, center=False)
        parts.append(np.square(np.abs(frames)).reshape(len(frames), end - start, frames_per_column).mean(axis=2))
    return np.concatenate(parts, axis=1)


def decibels(power: Floats) -> Floats:
    """Power to dB, 0 for a power of 1."""
    return 10 * np.log10(np.maximum(power, 1e-10))


def mel_of(power: Floats, sample_rate: int) -> Floats:
    """Power `[1025, columns]` to dB in 128 mel bands, `[128, columns]`."""
    return decibels(import_librosa().feature.melspectrogram(S=power, sr=sample_rate, n_mels=N_MELS))


def mel_centres_hz(sample_rate: int, n_mels: int = N_MELS) -> npt.NDArray[np.float64]:
    """Centre frequencies of mel bands on Slaney's scale, from 0 to half the sample rate, Hz, `[n_mels]`."""
    mel_frequencies = import_librosa().mel_frequencies
    return np.asarray(mel_frequencies(n_mels + 2, fmin=0.0, fmax=sample_rate / 2)[1:-1])
