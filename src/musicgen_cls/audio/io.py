"""Reading of audio files: any format and sample rate to mono audio at a given sample rate."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio import containers, libsndfile
from musicgen_cls.audio.containers import Container, UnknownFormat
from musicgen_cls.audio.libsndfile import TRUNCATED, cut_short
from musicgen_cls.audio.mono import Block, MonoMix
from musicgen_cls.audio.mono import Waveform as Waveform
from musicgen_cls.errors import RATES_HZ, AudioError, UnreachableError
from musicgen_cls.files import writing
from musicgen_cls.remote.copies import local_copy

log = logging.getLogger(__name__)

Pcm = npt.NDArray[np.int16]

PCM_SCALE = 32768.0
"""int16 value of full scale. 16-bit samples to float and back are the same bit for bit."""

_BLOCK = 1 << 18  # samples per channel that are read at a time: 12 s at 22050 Hz
_SILENCE = 4 / PCM_SCALE  # maximum minus minimum of silence or dither: four 16-bit steps
_LOUD = 4.0  # full scale plus 12 dB: decoders overshoot by less
_INTEGERS = (256.0, 1.001 * PCM_SCALE)  # range of peaks in float files with 16-bit integer values

_FULL_SCALE = "full scale is 1"


def stream(path: Path, sample_rate: int) -> Iterator[Waveform]:
    """Decode a file to its end, block by block, in constant memory.

    `MonoMix` mixes the channels to one; it averages a stereo pair. soxr converts other sample rates at its high-quality
    setting (pass band to 91 % of the Nyquist frequency, aliases below -100 dB). All parts of a joined file are read. A
    float file with 16-bit integer values is scaled, with a warning.

    Args:
        path: a file that libsndfile reads (wav, flac, mp3, ogg, opus, aiff and others), or else PyAV (m4a, wma, webm,
            ape and others, and videos with sound). A remote file is copied to this machine while it is read.
        sample_rate: sample rate of the output, Hz.

    Yields:
        float32 `[samples]`, full scale 1; round(frames * sample_rate / rate) samples in all.

    Raises:
        AudioError: the file does not exist, or it is empty, not audio, damaged or cut short, or it has values that are
            not finite or far beyond full scale, or an impossible sample rate.
        StoreError: the server of a remote file fails, or refuses.
    """
    with local_copy(path) as file:
        yield from _stream(file, sample_rate)


def _stream(path: Path, sample_rate: int) -> Iterator[Waveform]:
    """As `stream`, for a file on this machine."""
    import soxr

    scale, mix = _scale(path), MonoMix(path, _SILENCE)
    resampler, rate_of = None, 0
    for block in _blocks(path, "float32"):
        if (rate := block.rate) != rate_of:
            if resampler is not None:
                yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
            resampler = None if rate == sample_rate else soxr.ResampleStream(rate, sample_rate, 1, dtype="float32")
            rate_of = rate
        mono = mix(block)
        if not np.isfinite(mono).all():
            raise AudioError(f"{path}: holds values that are not finite (NaN or infinity)")
        mono = mono * np.float32(scale) if scale != 1 else mono
        yield mono if resampler is None else resampler.resample_chunk(mono)
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _blocks(path: Path, dtype: str) -> Iterator[Block]:
    """The samples of all recordings in a file, block by block, from libsndfile or else from PyAV.

    Raises:
        AudioError: as `stream`.
    """
    if not path.is_file():
        raise UnreachableError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: empty file (0 bytes)")
    decoded = 0
    try:
        for block in _whole(path, dtype):
            _check_rate(path, block.rate)
            decoded += len(block.samples)
            yield block
    except OSError as error:
        raise UnreachableError(f"{path}: cannot be read ({error.strerror})") from error
    if decoded == 0:
        raise AudioError(f"{path}: holds no audio (0 samples)")


def _whole(path: Path, dtype: str) -> Iterator[Block]:
    """As `_blocks`, for a file that exists."""
    try:
        yield from libsndfile.blocks(path, _BLOCK, dtype)
        return
    except libsndfile.Refused as refused:  # before the first block
        try:
            container = Container(path)
        except UnknownFormat as unknown:
            raise (unknown if path.suffix.lower() in containers.SUFFIXES else refused.reason) from refused
    with container:
        yield from container.blocks(_BLOCK)
        if (share := container.share()) < TRUNCATED:
            raise cut_short(path, container.seconds, share)


def _check_rate(path: Path, rate: int) -> None:
    low, high = RATES_HZ
    if not low <= rate <= high:
        raise AudioError(f"{path}: a sample rate of {rate} Hz, not from {low} to {high}; its header may be damaged")


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
        with libsndfile.opened(path) as file:
            if file.subtype not in ("FLOAT", "DOUBLE"):
                return 1.0
    except (soundfile.LibsndfileError, OSError):
        return 1.0  # `stream` raises the error
    peak = max((float(np.abs(block).max()) for _, block, _ in _blocks(path, "float32")), default=0.0)
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
    """Decode a whole file to int16 `[samples]`: `read`, then `to_pcm`; raises what `read` raises.

    A 16-bit mono file at this sample rate is copied, which takes a third of the time.
    """
    with local_copy(path) as file:
        return _copied_pcm(file) if _is_pcm(file, sample_rate) else _read_pcm(file, sample_rate)


def _copied_pcm(path: Path) -> Pcm:
    """The samples of a file for which `_is_pcm` holds."""
    pcm: Pcm = np.concatenate([block[:, 0] for _, block, _ in _blocks(path, "int16")])
    check_range(path, pcm.min() / PCM_SCALE, pcm.max() / PCM_SCALE, len(pcm))
    return pcm


def _read_pcm(path: Path, sample_rate: int) -> Pcm:
    """As `to_pcm(read(...))`, with half of its memory: each block is converted at once."""
    converted, low, high = [np.empty(0, np.int16)], np.inf, -np.inf
    for block in _stream(path, sample_rate):
        if block.size:
            low, high = min(low, float(block.min())), max(high, float(block.max()))
            converted.append(to_pcm(block))
    pcm = np.concatenate(converted)
    check_range(path, low, high, len(pcm))
    return pcm


def _is_pcm(path: Path, sample_rate: int) -> bool:
    """Whether a file has 16-bit mono samples at this sample rate."""
    import soundfile

    try:
        if _begins(path).startswith((b"OggS", b"ID3", b"\xff")):
            return False
        with libsndfile.opened(path) as file:
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
        raise AudioError(f"{path}: {what} throughout, {samples} samples")


def to_pcm(waveform: Waveform) -> Pcm:
    """Float samples of full scale 1, `[samples]`, to int16, rounded and clipped at full scale."""
    pcm: Pcm = np.clip(np.rint(waveform * PCM_SCALE), -PCM_SCALE, PCM_SCALE - 1).astype(np.int16)
    return pcm


def write_wav(path: Path, waveform: Waveform, sample_rate: int) -> None:
    """Write a waveform `[samples]`, full scale 1, as a wav file of 16 bits; its name appears only when it is complete.

    Raises:
        OSError: the file cannot be written.
    """
    import soundfile

    wav = BytesIO()  # in memory first, since libsndfile does not report a full disk
    soundfile.write(wav, to_pcm(waveform), sample_rate, format="WAV", subtype="PCM_16")
    with writing(path) as temporary:
        temporary.write_bytes(wav.getvalue())


def from_pcm(pcm: Pcm) -> Waveform:
    """int16 samples to float32 of full scale 1; the inverse of `to_pcm`."""
    waveform: Waveform = pcm.astype(np.float32) / np.float32(PCM_SCALE)
    return waveform
