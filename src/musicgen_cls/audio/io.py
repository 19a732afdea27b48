"""Audio files in: any format and rate that libsndfile knows, mono, at the rate asked for."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio.parts import Part, Slice, ends_in_a_page, parts, promised_share
from musicgen_cls.errors import RATES_HZ, AudioError, UnreachableError

log = logging.getLogger(__name__)

Waveform = npt.NDArray[np.float32]
Pcm = npt.NDArray[np.int16]

PCM_SCALE = 32768.0
"""int16 value of full scale: 16-bit files survive the way to float and back bit for bit."""

_BLOCK = 1 << 18  # source frames read at once: 12 s at 22050 Hz
_SILENCE = 4 / PCM_SCALE  # swing (maximum less minimum) of four 16-bit steps: dither, or nothing at all
_SYSTEM_ERROR = 2  # libsndfile's code for errors of the operating system
_TRUNCATED = 0.95  # share of the frames promised in a file's header below which it counts as cut short
_LOUD = 4.0  # full scale and 12 dB: decoders overshoot by less
_INTEGERS = (256.0, 1.001 * PCM_SCALE)  # peaks of float files that hold 16-bit integers

_FULL_SCALE = "full scale is 1"


def stream(path: Path, sample_rate: int) -> Iterator[Waveform]:
    """Decode a file block by block to its very end, in memory that does not grow with its length.

    Channels are averaged; other rates are converted by soxr at its high-quality setting (pass band to 91 % of the
    Nyquist frequency, aliases below -100 dB). Of files that were joined every part is read. A float file of 16-bit
    integers is scaled, with a warning.

    Args:
        path: a file that libsndfile reads: wav, au, flac, ogg, opus, mp3, aiff and others.
        sample_rate: rate wanted, Hz.

    Yields:
        float32 `[samples]`, full scale 1, concatenating to round(frames * sample_rate / rate) samples.

    Raises:
        AudioError: there is no such file, or it is empty, no audio, damaged, cut short, not finite, of no rate that
            audio has, or far beyond full scale.
    """
    import soxr

    scale = _scale(path)
    resampler, rate_of = None, 0
    for rate, block in _blocks(path, "float32"):
        if rate != rate_of:
            if resampler is not None:
                yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
            resampler = None if rate == sample_rate else soxr.ResampleStream(rate, sample_rate, 1, dtype="float32")
            rate_of = rate
        mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
        if not np.isfinite(mono).all():
            raise AudioError(f"{path}: holds values that are not finite (NaN or infinity)")
        mono = mono * np.float32(scale) if scale != 1 else mono
        yield mono if resampler is None else resampler.resample_chunk(mono)
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _blocks(path: Path, dtype: str) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Sample rate in Hz and samples `[frames, channels]`, block by block, of every recording in a file.

    Raises:
        AudioError: as `stream`.
    """
    import soundfile

    if not path.is_file():
        raise UnreachableError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: empty file (0 bytes)")
    decoded = rate = 0
    try:
        found = parts(path)
        pieces: Sequence[Part | None] = found or [None]
        for part in pieces:
            with _open(path, part) as file:
                rate, promised, before = file.samplerate, file.frames, decoded
                if not RATES_HZ[0] <= rate <= RATES_HZ[1]:
                    raise AudioError(f"{path}: a sample rate of {rate} Hz, which no music has; is its header damaged?")
                while len(block := file.read(_BLOCK, dtype=dtype, always_2d=True)):
                    decoded += len(block)
                    yield rate, block
                trusted = file.format in ("FLAC", "MP3") and promised < 1 << 60 and not (part and part.head)
                share = min((decoded - before) / promised, 1.0) if trusted and promised else promised_share(path)
                if decoded > before and share < _TRUNCATED:
                    seconds = (decoded - before) / rate
                    raise AudioError(
                        f"{path}: cut short, {seconds:.1f} s of the {seconds / share:.1f} s its header promises"
                    )
                if file.format == "OGG" and not found and not ends_in_a_page(path):
                    raise AudioError(f"{path}: cut short, in the middle of a page, after {decoded / rate:.1f} s")
    except soundfile.LibsndfileError as error:
        reason = str(error.error_string).removeprefix("Error : ").strip().rstrip(".")
        if not reason or "does not exist" in reason:  # it does: libsndfile says so of an mp3 that is none
            reason = "damaged, cut short, or of another format"
        if error.code == _SYSTEM_ERROR:
            raise UnreachableError(f"{path}: cannot be opened; check its permissions and its disk") from error
        if decoded:
            raise AudioError(f"{path}: damaged after {decoded / rate:.1f} s ({reason})") from error
        raise AudioError(f"{path}: not audio that can be read ({reason})") from error
    except OSError as error:
        raise UnreachableError(f"{path}: cannot be read ({error.strerror})") from error
    if decoded == 0:
        raise AudioError(f"{path}: holds no audio (0 samples)")


def _open(path: Path, part: Part | None) -> Any:
    """A file, or a part of one, to be read from front to back.

    soundfile seeks after each read where it thinks that it can, which fails in a FLAC of unknown length.
    """
    import soundfile

    class Sequential(soundfile.SoundFile):  # type: ignore[misc]
        def seekable(self) -> bool:
            return False

    if part is not None:
        return Sequential(Slice(path, part))
    return Sequential(os.fsencode(path) if os.name == "posix" else path)  # bytes: a name need not be UTF-8


def _begins(path: Path) -> bytes:
    """The first bytes of a file, which tell its format: some hold no floats, or none but them, and need no look."""
    with path.open("rb") as file:
        return file.read(4)


def _scale(path: Path) -> float:
    """What to multiply a file's samples by: 1, but for floats that are 16-bit integers.

    Raises:
        AudioError: it holds floats far beyond full scale that are no such integers either.
    """
    import soundfile

    try:
        if _begins(path).startswith((b"OggS", b"fLaC", b"ID3", b"\xff")):
            return 1.0
        with _open(path, None) as file:
            if file.subtype not in ("FLOAT", "DOUBLE"):
                return 1.0
    except (soundfile.LibsndfileError, OSError):
        return 1.0  # reading it raises the error
    peak = max((float(np.abs(block).max()) for _, block in _blocks(path, "float32")), default=0.0)
    if not _LOUD < peak < np.inf:  # reading raises the error of what is not finite
        return 1.0
    if not _INTEGERS[0] <= peak <= _INTEGERS[1]:
        raise AudioError(f"{path}: samples up to {peak:.4g}, but {_FULL_SCALE}; scale them")
    log.warning("%s: samples up to %.0f, but %s; read as 16-bit integers", path, peak, _FULL_SCALE)
    return 1 / PCM_SCALE


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
    if not _is_pcm(path, sample_rate):
        return to_pcm(read(path, sample_rate))
    pcm: Pcm = np.concatenate([block[:, 0] for _, block in _blocks(path, "int16")])
    check_range(path, pcm.min() / PCM_SCALE, pcm.max() / PCM_SCALE, len(pcm))
    return pcm


def _is_pcm(path: Path, sample_rate: int) -> bool:
    """Whether a file holds 16-bit mono samples at this rate."""
    import soundfile

    try:
        if _begins(path).startswith((b"OggS", b"ID3", b"\xff")):
            return False
        with _open(path, None) as file:
            return (file.subtype, file.channels, file.samplerate) == ("PCM_16", 1, sample_rate)
    except (soundfile.LibsndfileError, OSError):
        return False  # reading it raises the error


def from_array(samples: npt.ArrayLike) -> Waveform:
    """Samples of any type as float32 of full scale 1: integers are scaled by what their type holds.

    Raises:
        AudioError: they are floats far beyond full scale, or no numbers.
    """
    array = np.asarray(samples)
    if array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        middle = (int(limits.max) + int(limits.min) + 1) / 2  # of unsigned ones
        return ((array.astype(np.float64) - middle) / (limits.max - middle + 1)).astype(np.float32)
    if array.dtype.kind != "f":
        raise AudioError(f"waveform: an array of {array.dtype}; give floats of full scale 1, or integers")
    waveform: Waveform = array.astype(np.float32)
    peak = float(np.abs(waveform).max(initial=0.0))
    if _LOUD < peak < np.inf:
        raise AudioError(f"waveform: samples up to {peak:.4g}, but {_FULL_SCALE}; divide them, as int16 by 32768")
    return waveform


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
