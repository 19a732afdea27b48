"""Audio files in: any format and rate that libsndfile knows, mono, at the rate asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from musicgen_cls.errors import AudioError, UnreachableError

Waveform = npt.NDArray[np.float32]
Pcm = npt.NDArray[np.int16]

PCM_SCALE = 32768.0
"""int16 value of full scale: 16-bit files survive the way to float and back bit for bit."""

_BLOCK = 1 << 18  # source frames read at once: 12 s at 22050 Hz
_SILENCE = 4 / PCM_SCALE  # swing (maximum less minimum) of four 16-bit steps: dither, or nothing at all
_SYSTEM_ERROR = 2  # libsndfile's code for errors of the operating system
_TRUNCATED = 0.95  # share of the frames promised in a file's header below which it counts as cut short


def stream(path: Path, sample_rate: int) -> Iterator[Waveform]:
    """Decode a file block by block, in memory that does not grow with its length.

    Channels are averaged; other rates are converted by soxr at its high-quality setting (pass band to 91 % of the
    Nyquist frequency, aliases below -100 dB).

    Args:
        path: a wav, au, flac, ogg or mp3 file.
        sample_rate: rate wanted, Hz.

    Yields:
        float32 `[samples]`, full scale 1, concatenating to round(frames * sample_rate / rate) samples.

    Raises:
        AudioError: there is no such file, or it is empty, no audio, damaged, cut short or not finite.
    """
    import soundfile
    import soxr

    if not path.is_file():
        raise UnreachableError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: empty file (0 bytes)")
    try:
        with soundfile.SoundFile(path) as file:
            rate, promised, decoded = file.samplerate, file.frames, 0
            resampler = None if rate == sample_rate else soxr.ResampleStream(rate, sample_rate, 1, dtype="float32")
            while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
                mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
                if not np.isfinite(mono).all():
                    raise AudioError(f"{path}: holds values that are not finite (NaN or infinity)")
                decoded += len(mono)
                yield mono if resampler is None else resampler.resample_chunk(mono)
    except soundfile.LibsndfileError as error:
        reason = str(error.error_string).strip().rstrip(".")
        if not reason or "does not exist" in reason:  # it does: libsndfile says so of an mp3 that is none
            reason = "damaged, cut short, or of another format"
        if error.code == _SYSTEM_ERROR:
            raise UnreachableError(f"{path}: cannot be opened; check its permissions and its disk") from error
        raise AudioError(f"{path}: not audio that can be read ({reason})") from error
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    if decoded == 0:
        raise AudioError(f"{path}: holds no audio (0 samples)")
    if decoded < _TRUNCATED * promised:
        raise AudioError(
            f"{path}: cut short, {decoded / rate:.1f} s of the {promised / rate:.1f} s its header promises"
        )


def read(path: Path, sample_rate: int) -> Waveform:
    """Decode a whole file, as `stream` does.

    Returns:
        float32 `[samples]`, mono, full scale 1.

    Raises:
        AudioError: as `stream`, and also for a file that is silent or constant throughout.
    """
    waveform = np.concatenate(list(stream(path, sample_rate)))
    check_sound(path, waveform)
    return waveform


def read_pcm(path: Path, sample_rate: int) -> Pcm:
    """Decode a whole file to int16 `[samples]`, as `read` and `to_pcm` do; raises `AudioError` as `read` does.

    16-bit mono files at the rate wanted, the common case, are copied instead, in a third of the time.
    """
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            if (file.subtype, file.channels, file.samplerate) == ("PCM_16", 1, sample_rate):
                pcm: Pcm = file.read(dtype="int16")
                if len(pcm) == file.frames > 0:
                    check_range(path, pcm.min() / PCM_SCALE, pcm.max() / PCM_SCALE, len(pcm))
                    return pcm
    except soundfile.LibsndfileError:
        pass  # told below
    return to_pcm(read(path, sample_rate))


def check_sound(path: Path | str, waveform: Waveform) -> None:
    """Raise `AudioError` if a waveform is silent, constant, empty or not finite."""
    if waveform.size == 0:
        raise AudioError(f"{path}: holds no audio (0 samples)")
    check_range(path, float(waveform.min()), float(waveform.max()), waveform.size)


def check_range(path: Path | str, low: float, high: float, samples: int) -> None:
    """Raise `AudioError` if the least and the greatest of a number of samples tell that there is no sound."""
    if not np.isfinite([low, high]).all():
        raise AudioError(f"{path}: holds values that are not finite (NaN or infinity)")
    if high - low <= _SILENCE:
        what = "silent" if max(abs(low), abs(high)) <= _SILENCE else f"constant (every sample is about {high:.3f})"
        raise AudioError(f"{path}: {what} throughout, {samples} samples, as the mean of its channels")


def to_pcm(waveform: Waveform) -> Pcm:
    """Turn float `[samples]` of full scale 1 into int16, rounded, clipped at full scale."""
    pcm: Pcm = np.clip(np.rint(waveform * PCM_SCALE), -PCM_SCALE, PCM_SCALE - 1).astype(np.int16)
    return pcm
