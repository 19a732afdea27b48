"""Files with several recordings, and files whose header has a wrong length.

libsndfile reads only the first recording of a file, and only as much as the header says. A radio recording is a chain
of Ogg streams (RFC 3533, section 4). Joined mp3 files are simply concatenated. For an mp3 without a Xing header
libsndfile estimates the length from the first frames, and reads no further.
"""

from __future__ import annotations

import io
import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path

_BITRATES = {  # kbit/s by version (MPEG 1; 2 and 2.5) of layer III, ISO 11172-3 2.4.2.3 and ISO 13818-3 2.4.2.3
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_UNKNOWN_BYTES = 0x7FFF0000  # a program that writes a wav to a pipe gives at least this as the unknown length


@dataclass(frozen=True)
class Part:
    """A recording in a file: its first byte, the byte after its last one, and bytes to insert before it."""

    start: int
    end: int
    head: bytes = b""


class Slice(io.RawIOBase):
    """A part as a file, with its `head` inserted at the start."""

    def __init__(self, path: Path, part: Part) -> None:
        self._file = path.open("rb")
        self._part = part
        self._at = 0
        self._size = len(part.head) + part.end - part.start

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Change the position in the part."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """Read from `head` and from the file."""
        head = self._part.head[self._at : self._at + len(buffer)]
        data = head
        if len(head) < len(buffer):
            self._file.seek(self._part.start + max(0, self._at + len(head) - len(self._part.head)))
            left = self._size - self._at - len(head)
            data += self._file.read(max(0, min(len(buffer) - len(head), left)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def parts(path: Path) -> list[Part]:
    """The recordings of a file that libsndfile would not read to the end by itself; no parts for any other file."""
    with path.open("rb") as file:
        start = file.read(10)
        if start.startswith(b"OggS"):
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _chain(data)
        if start.startswith(b"ID3") or (len(start) > 1 and start[0] == 0xFF and start[1] & 0xE6 == 0xE2):
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _joined(data)
    return []


def _chain(data: mmap.mmap) -> list[Part]:
    """The streams of a chain of Ogg streams, if there are several. A stream begins with pages marked as first pages."""
    starts: list[int] = []
    at, in_first_pages = 0, False
    while 0 <= at <= len(data) - 27:
        if data[at : at + 4] != b"OggS":
            at = data.find(b"OggS", at)  # damaged pages are found later, by the decoder
            continue
        first = bool(data[at + 5] & 2)
        if first and not in_first_pages:
            starts.append(at)
        in_first_pages = first
        segments = data[at + 26]
        at += 27 + segments + sum(data[at + 27 : at + 27 + segments])
    ends = [*starts[1:], len(data)]
    return [Part(start, end) for start, end in zip(starts, ends, strict=True)] if len(starts) > 1 else []


def ends_in_a_page(path: Path) -> bool:
    """Whether an Ogg file ends with a complete page."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.rfind(b"OggS")
        if at < 0 or at > len(data) - 27:
            return False
        segments = data[at + 26]
        return at + 27 + segments + sum(data[at + 27 : at + 27 + segments]) <= len(data)


def _joined(data: mmap.mmap) -> list[Part]:
    """The mp3 recordings of a file, if there are several, or one without its length."""
    found: list[Part] = []
    at: int | None = 0
    while at is not None and (frame := _first_frame(data, at)) is not None:
        tag = _xing(data, frame)
        size = struct.unpack(">I", tag[1])[0] if tag is not None and tag[1] else None
        follows = None if size is None else _first_frame(data, frame + size, near=True)
        if tag is not None:
            found.append(Part(frame, len(data) if follows is None else frame + int(size or 0)))
        else:
            found.append(Part(frame, len(data), _length_unknown(data, frame)))
        at = follows
    plain = len(found) <= 1 and not any(part.head for part in found)
    return [] if plain else found


def _header(data: mmap.mmap, at: int) -> tuple[int, int, int, bool] | None:
    """Length of an mp3 frame in bytes, version (1 or 2), side information in bytes, and whether it has a CRC."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE6 != 0xE2:  # sync, layer III
        return None
    kind, crc = data[at + 1] >> 3 & 3, not data[at + 1] & 1
    rate, index = data[at + 2] >> 2 & 3, data[at + 2] >> 4
    if kind == 1 or rate == 3 or index in (0, 15):
        return None
    version = 1 if kind == 3 else 2
    samples = 1152 if version == 1 else 576
    length = samples // 8 * _BITRATES[version][index] * 1000 // _RATES[kind][rate] + (data[at + 2] >> 1 & 1)
    mono = data[at + 3] >> 6 == 3
    side = (17 if mono else 32) if version == 1 else (9 if mono else 17)
    return length, version, side, crc


def _first_frame(data: mmap.mmap, at: int, near: bool = False) -> int | None:
    """Position of the first mp3 frame after `at` and after ID3 tags; another frame must follow. None if there is none.

    Args:
        data: the file.
        at: start of the search.
        near: whether to search only a few bytes; there may be tags or nothing.
    """
    while data[at : at + 3] == b"ID3" and at + 10 <= len(data):
        size = sum((byte & 0x7F) << shift for byte, shift in zip(data[at + 6 : at + 10], (21, 14, 7, 0), strict=True))
        at += 10 + size
    for place in range(at, min(at + (64 if near else 1 << 16), len(data) - 4)):
        frame = _header(data, place)
        if frame is not None and _header(data, place + frame[0]) is not None:
            return place
    return None


def _xing(data: mmap.mmap, at: int) -> tuple[bytes, bytes] | None:
    """Number of frames and of bytes in the Xing header of a frame, 4 bytes each or empty; None without a header."""
    frame = _header(data, at)
    assert frame is not None
    place = at + 4 + frame[2] + 2 * frame[3]
    if data[at + 36 : at + 40] == b"VBRI":
        return b"", b""
    if data[place : place + 4] not in (b"Xing", b"Info"):
        return None
    flags, place = data[place + 7], place + 8
    frames = data[place : place + 4] if flags & 1 else b""
    place += len(frames)
    return frames, data[place : place + 4] if flags & 2 else b""


def _length_unknown(data: mmap.mmap, at: int) -> bytes:
    """A Xing frame with more frames than the file can have, so that the decoder reads to the end of the file."""
    frame = _header(data, at)
    assert frame is not None
    _, version, side, _ = frame
    head = bytes([0xFF, data[at + 1] | 1, data[at + 2] & 0x0C | 0x90, data[at + 3]])  # no CRC; 128 or 80 kbit/s
    length = 1152 // version // 8 * _BITRATES[version][9] * 1000 // _RATES[data[at + 1] >> 3 & 3][data[at + 2] >> 2 & 3]
    tag = head + bytes(side) + b"Xing" + struct.pack(">II", 1, max(1, (len(data) - at) // 24))
    return tag + bytes(length - len(tag))


def present_share(path: Path) -> float:
    """Fraction of the audio length in the header of a wav, au or aiff file that is there; 1 without a length."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(12)
        if start[:4] == b".snd" and len(start) == 12:
            offset, declared = struct.unpack(">II", start[4:])
            return _share(declared, size - offset)
        kind = {b"RIFF": ("<", b"data"), b"FORM": (">", b"SSND")}.get(start[:4])
        if kind is None:
            return 1.0
        order, wanted = kind
        while len(chunk := file.read(8)) == 8:
            name, declared = struct.unpack(f"{order}4sI", chunk)
            if name == wanted:
                return _share(declared, size - file.tell())
            file.seek(declared + declared % 2, os.SEEK_CUR)
    return 1.0


def _share(declared: int, present: int) -> float:
    return 1.0 if not 0 < declared < _UNKNOWN_BYTES or declared <= present else max(present, 0) / declared
