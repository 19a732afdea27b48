"""Reading of audio files: any format and sample rate of libsndfile to mono audio at a given sample rate."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio.parts import Part, Slice, ends_in_a_page, parts, present_share
from musicgen_cls.errors import RATES_HZ, AudioError, UnreachableError

log = logging.getLogger(__name__)

Waveform = npt.NDArray[np.float32]
Pcm = npt.NDArray[np.int16]

PCM_SCALE = 32768.0
"""int16 value of full scale. 16-bit samples to float and back are the same bit for bit."""

_BLOCK = 1 << 18  # samples per channel that are read at a time: 12 s at 22050 Hz
_SILENCE = 4 / PCM_SCALE  # maximum minus minimum of silence or dither: four 16-bit steps
_SYSTEM_ERROR = 2  # libsndfile's code for errors of the operating system
_TRUNCATED = 0.95  # a file with less than this fraction of the length in its header counts as cut short
_LOUD = 4.0  # full scale plus 12 dB: decoders overshoot by less
_INTEGERS = (256.0, 1.001 * PCM_SCALE)  # range of peaks in float files with 16-bit integer values

_FULL_SCALE = "full scale is 1"


def stream(path: Path, sample_rate: int) -> Iterator[Waveform]:
    """Decode a file to its end, block by block, in constant memory.

    Channels are averaged. soxr converts other sample rates at its high-quality setting (pass band to 91 % of the
    Nyquist frequency, aliases below -100 dB). All parts of a joined file are read. A float file with 16-bit integer
    values is scaled, with a warning.

    Args:
        path: a file that libsndfile reads: wav, au, flac, ogg, opus, mp3, aiff and others.
        sample_rate: sample rate of the output, Hz.

    Yields:
        float32 `[samples]`, full scale 1; round(frames * sample_rate / rate) samples in all.

    Raises:
        AudioError: the file does not exist, or it is empty, not audio, damaged or cut short, or it has values that are
            not finite or far beyond full scale, or an impossible sample rate.
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
    """Sample rate in Hz and samples `[frames, channels]`, block by block, of all recordings in a file.

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
                rate, declared, before = file.samplerate, file.frames, decoded
                _check_rate(path, rate)
                while len(block := file.read(_BLOCK, dtype=dtype, always_2d=True)):
                    decoded += len(block)
                    yield rate, block
                trusted = file.format in ("FLAC", "MP3") and declared < 1 << 60 and not (part and part.head)
                share = min((decoded - before) / declared, 1.0) if trusted and declared else present_share(path)
                if decoded > before and share < _TRUNCATED:
                    seconds = (decoded - before) / rate
                    raise AudioError(f"{path}: cut short, {seconds:.1f} s of the {seconds / share:.1f} s in its header")
                if file.format == "OGG" and not found and not ends_in_a_page(path):
                    raise AudioError(f"{path}: cut short, in the middle of a page, after {decoded / rate:.1f} s")
    except soundfile.LibsndfileError as error:
        reason = str(error.error_string).removeprefix("Error : ").strip().rstrip(".")
        if not reason or "does not exist" in reason:  # libsndfile's message for a file that is not an mp3
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


def _check_rate(path: Path, rate: int) -> None:
    low, high = RATES_HZ
    if not low <= rate <= high:
        raise AudioError(f"{path}: a sample rate of {rate} Hz, not from {low} to {high}; its header may be damaged")


def _open(path: Path, part: Part | None) -> Any:
    """Open a file, or a part of it, for sequential reading.

    soundfile seeks after each read in a seekable file, which fails in a FLAC of unknown length.
    """
    import soundfile

    class Sequential(soundfile.SoundFile):  # type: ignore[misc]
        def seekable(self) -> bool:
            return False

    if part is not None:
        return Sequential(Slice(path, part))
    return Sequential(os.fsencode(path) if os.name == "posix" else path)  # bytes, since a name may not be UTF-8


def _begins(path: Path) -> bytes:
    """The first bytes of a file, which identify its format."""
    with path.open("rb") as file:
        return file.read(4)


def _scale(path: Path) -> float:
    """Factor for the samples of a file: 1, or 1 / `PCM_SCALE` for a float file with 16-bit integer values.

    Raises:
        AudioError: the samples are far beyond full scale, and not in the range of 16-bit integers.
    """
    import soundfile

    try:
        if _begins(path).startswith((b"OggS", b"fLaC", b"ID3", b"\xff")):
            return 1.0
        with _open(path, None) as file:
            if file.subtype not in ("FLOAT", "DOUBLE"):
                return 1.0
    except (soundfile.LibsndfileError, OSError):
        return 1.0  # `stream` raises the error
    peak = max((float(np.abs(block).max()) for _, block in _blocks(path, "float32")), default=0.0)
    if not _LOUD < peak < np.inf:  # `stream` raises the error for values that are not finite
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
        AudioError: as `stream`, and for a file that is silent or constant throughout.
    """
    waveform = np.concatenate(list(stream(path, sample_rate)))
    check_sound(path, waveform)
    return waveform


def read_pcm(path: Path, sample_rate: int) -> Pcm:
    """Decode a whole file to int16 `[samples]`: `read`, then `to_pcm`; raises `AudioError` as `read` does.

    A 16-bit mono file at this sample rate is copied, which takes a third of the time.
    """
    if not _is_pcm(path, sample_rate):
        return to_pcm(read(path, sample_rate))
    pcm: Pcm = np.concatenate([block[:, 0] for _, block in _blocks(path, "int16")])
    check_range(path, pcm.min() / PCM_SCALE, pcm.max() / PCM_SCALE, len(pcm))
    return pcm


def _is_pcm(path: Path, sample_rate: int) -> bool:
    """Whether a file has 16-bit mono samples at this sample rate."""
    import soundfile

    try:
        if _begins(path).startswith((b"OggS", b"ID3", b"\xff")):
            return False
        with _open(path, None) as file:
            return (file.subtype, file.channels, file.samplerate) == ("PCM_16", 1, sample_rate)
    except (soundfile.LibsndfileError, OSError):
        return False  # `read` raises the error


def from_array(samples: npt.ArrayLike) -> Waveform:
    """Samples of any type as float32 of full scale 1. Integers are scaled by the range of their type.

    Raises:
        AudioError: the samples are floats far beyond full scale, or not numbers.
    """
    array = np.asarray(samples)
    if array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        middle = (int(limits.max) + int(limits.min) + 1) / 2  # 0 for signed integers
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
    """Raise `AudioError` if samples with this minimum and maximum are silent, constant or not finite."""
    if not np.isfinite([low, high]).all():
        raise AudioError(f"{path}: holds values that are not finite (NaN or infinity)")
    if high - low <= _SILENCE:
        what = "silent" if max(abs(low), abs(high)) <= _SILENCE else f"constant (every sample is about {high:.3f})"
        raise AudioError(f"{path}: {what} throughout, {samples} samples, as the mean of its channels")


def to_pcm(waveform: Waveform) -> Pcm:
    """Float samples of full scale 1, `[samples]`, to int16, rounded and clipped at full scale."""
    pcm: Pcm = np.clip(np.rint(waveform * PCM_SCALE), -PCM_SCALE, PCM_SCALE - 1).astype(np.int16)
    return pcm


def from_pcm(pcm: Pcm) -> Waveform:
    """int16 samples to float32 of full scale 1; the inverse of `to_pcm`."""
    waveform: Waveform = pcm.astype(np.float32) / np.float32(PCM_SCALE)
    return waveform
