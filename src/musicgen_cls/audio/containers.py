"""Decoding through PyAV (FFmpeg) of files that libsndfile cannot read: m4a, wma, webm, ape, the audio of videos."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio.mono import Block
from musicgen_cls.errors import AudioError

log = logging.getLogger(__name__)

SUFFIXES = (
    *(".m4a", ".aac", ".wma", ".ape", ".mp4", ".m4b", ".m4v", ".mov", ".3gp", ".3g2", ".webm", ".mkv", ".mka", ".weba"),
    *(".wv", ".mpc", ".mp+", ".mpp", ".tta", ".tak", ".alac", ".ac3", ".eac3", ".dts", ".mp2", ".spx", ".amr", ".dsf"),
    *(".dff", ".ra", ".rm", ".asf", ".wmv", ".avi", ".flv", ".mpg", ".mpeg", ".vob", ".m2ts", ".mts", ".ogv", ".ogm"),
)
"""Suffixes of files that are read here: those that libsndfile does not know."""

# FFmpeg also opens playlists and lists of other files and addresses; only formats with the sound inside are allowed.
_FORMATS = (
    "3g2,3gp,aa,aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,iff,m4a,matroska,mj2,mlp,"
    "mov,mp3,mp4,mpc,mpc8,mpeg,mpegts,oga,ogg,ogv,oma,opus,rm,shn,tak,truehd,tta,voc,vqf,w64,wav,webm,wv"
)
_WITH_LENGTH = frozenset(  # formats with the length in their headers
    ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "asf", "ape", "tta", "wv", "wav", "aiff", "flac")
)
_CONTAINER_CLOCK = 1_000_000  # FFmpeg gives the length of a whole file in microseconds
_PLANAR = {"u8p": "u1", "s16p": "i2", "s32p": "i4", "s64p": "i8", "fltp": "f4", "dblp": "f8"}
_MOST_LOST = 0.05  # share of damaged packets that is left out


class UnknownFormat(AudioError):
    """FFmpeg does not recognise a file."""


class Container:
    """A file that PyAV has opened, with its best audio stream.

    Args:
        path: the file.

    Raises:
        UnknownFormat: FFmpeg does not recognise the file.
        AudioError: the file has no audio that can be decoded.
    """

    def __init__(self, path: Path) -> None:
        import av

        self.path, self.decoded = path, 0
        with ExitStack() as stack:
            # from a file object: a name may not be UTF-8, and FFmpeg would take a name with a colon for an address
            file = stack.enter_context(path.open("rb"))
            options = {"format_whitelist": _FORMATS}
            try:
                opened = av.open(file, options=options, metadata_errors="replace")
            except (av.FFmpegError, ValueError) as error:
                raise UnknownFormat(
                    f"{path}: not audio that can be read (damaged, cut short, or of another format)"
                ) from error
            self._container: Any = stack.enter_context(opened)
            self._stream = self._best()
            self._decoder = _decoder(self._stream.codec_context)
            self._stack = stack.pop_all()

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _best(self) -> Any:
        streams = self._container.streams
        if not streams.audio:
            only = "only video" if streams.video else "no audio stream"
            raise AudioError(f"{self.path}: holds {only}; name a file with sound")
        readable = [stream for stream in streams.audio if stream.codec_context is not None]
        if not readable:
            raise AudioError(
                f"{self.path}: its audio is encrypted, or of an unknown codec; use a copy in another format"
            )
        best = streams.best("audio")
        return best if best in readable else readable[0]

    def blocks(self, size: int) -> Iterator[Block]:
        """All samples in order, at least `size` frames in each block but the last; full scale is 1.

        Encoder delay and padding are left out, as the file describes them.

        Raises:
            AudioError: the audio is damaged or cut short.
        """
        held: list[npt.NDArray[np.float32]] = []
        count = 0  # of the frames in `held`
        kind: tuple[int, tuple[str, ...]] | None = None
        for frame in self._frames():
            of_frame = (frame.sample_rate, _speakers(frame.layout))
            samples = _samples(frame)
            if held and kind is not None and (of_frame != kind or samples.shape[1] != held[0].shape[1]):
                yield Block(kind[0], np.concatenate(held), kind[1])
                held, count = [], 0
            kind = of_frame
            held.append(samples)
            count += len(samples)
            self.decoded += len(samples)
            if count >= size:
                yield Block(kind[0], np.concatenate(held), kind[1])
                held, count = [], 0
        if held and kind is not None:
            yield Block(kind[0], np.concatenate(held), kind[1])

    def _frames(self) -> Iterator[Any]:
        """The frames of the stream. A few damaged packets are left out, with a warning."""
        import av

        packets = lost = 0
        try:
            for packet in self._container.demux(self._stream):
                packets += 1
                try:
                    frames = self._decoder.decode(packet)
                except av.InvalidDataError:
                    lost += 1
                    continue
                yield from frames
        except av.FFmpegError as error:
            raise AudioError(f"{self.path}: damaged after {self.seconds:.1f} s ({_reason(error)})") from error
        if lost > _MOST_LOST * packets:
            raise AudioError(f"{self.path}: damaged, {lost} of its {packets} packets cannot be decoded")
        if lost:
            log.warning("%s: %d of %d packets are damaged and are left out", self.path, lost, packets)

    @property
    def seconds(self) -> float:
        """Length of what was decoded, s."""
        return self.decoded / (self._stream.rate or 1)

    def packets(self) -> Iterator[bytes]:
        """The compressed audio, packet by packet."""
        for packet in self._container.demux(self._stream):
            yield bytes(packet)

    def share(self) -> float:
        """Fraction of the length in the header that was decoded; 1 without a length."""
        if self._container.format.name not in _WITH_LENGTH or not self.decoded:
            return 1.0
        length = float((self._stream.duration or 0) * self._stream.time_base)
        if not length and not self._container.streams.video:  # webm has one length, of the longest stream
            length = (self._container.duration or 0) / _CONTAINER_CLOCK
        return min(1.0, self.seconds / length) if length > 0 else 1.0


def _decoder(of_stream: Any) -> Any:
    """The decoder of a stream: libopus for Opus, as in libsndfile; FFmpeg's own differs by -72 dB in a few frames."""
    import av

    if of_stream.name != "opus" or "libopus" not in av.codecs_available:
        return of_stream
    decoder: Any = av.CodecContext.create("libopus", "r")
    decoder.extradata, decoder.sample_rate, decoder.layout = (
        of_stream.extradata,
        of_stream.sample_rate,
        of_stream.layout,
    )
    decoder.options = {"request_sample_fmt": "flt"}
    return decoder


def _samples(frame: Any) -> npt.NDArray[np.float32]:
    """The samples of a frame, float32 `[frames, channels]`, full scale 1."""
    channels = len(frame.layout.channels)
    if frame.format.is_planar:
        # PyAV 18 finds planes after the last one if there are eight or more, so that `to_ndarray` reads foreign memory
        kind = _PLANAR[frame.format.name]
        samples = np.stack([np.frombuffer(plane, kind, frame.samples) for plane in frame.planes[:channels]], axis=1)
    else:
        samples = frame.to_ndarray().reshape(-1, channels)
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        samples = samples / float(1 << (8 * samples.dtype.itemsize - 1))
    return np.ascontiguousarray(samples, np.float32)


def _speakers(layout: Any) -> tuple[str, ...]:
    return tuple(channel.name for channel in layout.channels)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".")


def recognised(path: Path) -> bool:
    """Whether PyAV can open a file and finds audio in it."""
    try:
        with Container(path):
            return True
    except AudioError:
        return False


def packets_digest(path: Path) -> str:
    """A hash of the compressed audio in a file, without its tags.

    Raises:
        AudioError: PyAV cannot read the file.
    """
    import av

    total = hashlib.sha256()
    try:
        with Container(path) as container:
            for packet in container.packets():
                total.update(hashlib.sha256(packet).digest())
    except av.FFmpegError as error:
        raise AudioError(f"{path}: damaged ({_reason(error)})") from error
    return total.hexdigest()
