"""Decoding through libsndfile: wav, au, flac, ogg, opus, mp3, aiff and others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from musicgen_cls.audio.containers import recognised
from musicgen_cls.audio.mono import Block
from musicgen_cls.audio.parts import Part, Slice, ends_in_a_page, parts, present_share
from musicgen_cls.errors import AudioError, UnreachableError

SUFFIXES = (
    *(".wav", ".au", ".flac", ".ogg", ".mp3", ".opus", ".oga", ".aif", ".aiff", ".aifc", ".snd", ".w64", ".caf"),
)
"""Suffixes of files that libsndfile reads."""

TRUNCATED = 0.95
"""A file with less than this fraction of the length in its header counts as cut short."""

_SYSTEM_ERROR = 2  # libsndfile's code for errors of the operating system


class Refused(Exception):
    """libsndfile cannot read a file at all, or does not know its speakers; `reason` is the error for users."""

    def __init__(self, reason: AudioError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def blocks(path: Path, size: int, dtype: str) -> Iterator[Block]:
    """The samples of all recordings in a file.

    Args:
        path: the file.
        size: frames in a block.
        dtype: type of the samples, `float32` or `int16`.

    Raises:
        Refused: another decoder must read the file; this is raised before the first block.
        AudioError: the file is damaged or cut short.
        UnreachableError: the file cannot be opened.
    """
    import soundfile

    decoded = rate = 0
    try:
        found = parts(path)
        pieces: Sequence[Part | None] = found or [None]
        for part in pieces:
            with opened(path, part) as file:
                rate, declared, before = file.samplerate, file.frames, decoded
                if file.channels > 2 and not decoded and recognised(path):
                    raise Refused(AudioError(f"{path}: {file.channels} channels of unknown speakers"))
                while len(block := file.read(size, dtype=dtype, always_2d=True)):
                    decoded += len(block)
                    yield Block(rate, block)
                trusted = file.format in ("FLAC", "MP3") and declared < 1 << 60 and not (part and part.head)
                share = min((decoded - before) / declared, 1.0) if trusted and declared else present_share(path)
                if decoded > before and share < TRUNCATED:
                    raise cut_short(path, (decoded - before) / rate, share)
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
        unread = AudioError(f"{path}: not audio that can be read ({reason})")
        raise (unread if rate else Refused(unread)) from error  # a damaged file of a known format is not tried again


def cut_short(path: Path, seconds: float, share: float) -> AudioError:
    """The error for a file with `seconds` of audio, which are `share` of the length in its header."""
    return AudioError(f"{path}: cut short, {seconds:.1f} s of the {seconds / share:.1f} s in its header")


def opened(path: Path, part: Part | None = None) -> Any:
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
