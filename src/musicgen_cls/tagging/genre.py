"""The genre tag of an audio file, through mutagen."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from musicgen_cls.errors import AudioError, UsageError

SUFFIXES = (
    *(".mp3", ".flac", ".ogg", ".oga", ".opus", ".spx", ".m4a", ".m4b", ".mp4", ".aif", ".aiff", ".aifc", ".wav"),
    *(".wma", ".asf", ".ape", ".wv", ".mpc"),
)
"""Suffixes of files whose genre tag can be written."""

_CLASSES = {  # of mutagen, by module
    **{"mp3": "MP3", "flac": "FLAC", "oggvorbis": "OggVorbis", "oggopus": "OggOpus", "oggflac": "OggFLAC"},
    **{"oggspeex": "OggSpeex", "mp4": "MP4", "aiff": "AIFF", "wave": "WAVE", "asf": "ASF"},
    **{"monkeysaudio": "MonkeysAudio", "wavpack": "WavPack", "musepack": "Musepack"},
}
_KEYS = {"VComment": "genre", "MP4Tags": "\xa9gen", "APEv2": "Genre", "ASFTags": "WM/Genre"}
"""The name of the genre in each kind of tags; ID3 has a frame of its own."""


class TagError(AudioError):
    """The genre tag of a file cannot be read or written."""


def check_mutagen(option: str) -> None:
    """Raise `UsageError` if mutagen is not installed."""
    try:
        import mutagen  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"{option}: needs mutagen, which is not installed; run python -m pip install 'musicgen_cls[tags]'"
        ) from error


def read_genre(path: Path) -> tuple[str, ...]:
    """The genres in the tags of a file; none if it has no tags.

    Raises:
        TagError: the format has no genre tag that can be written, or the file is damaged.
    """
    try:
        return _genres(_opened(path).tags)
    except TagError:
        raise
    except Exception as error:  # mutagen fails in many ways at damaged files
        raise _failed(path, error) from error


def write_genre(path: Path, genre: str) -> None:
    """Write the genre into a file, in place of its genres; other tags and the audio stay as they are.

    Raises:
        TagError: as `read_genre`, or the file cannot be written.
    """
    try:
        audio = _opened(path)
        if audio.tags is None:
            audio.add_tags()
        kind = _kind(audio.tags)
        if kind == "ID3":
            _write_id3(audio, genre)
        else:
            audio.tags[_KEYS[kind]] = [genre]
            audio.save()
        if read_genre(path) != (genre,):
            raise TagError(f"{path}: the tag of the genre cannot be read back; the format may not allow '{genre}'")
    except TagError:
        raise
    except Exception as error:  # as above
        raise _failed(path, error) from error


def _opened(path: Path) -> Any:
    """The file as a mutagen object. Its kind comes from its content; its suffix must be one of `SUFFIXES`."""
    from mutagen import File

    name = path.suffix.lower().removeprefix(".") or "a file without a suffix"
    if path.suffix.lower() not in SUFFIXES:
        raise TagError(f"{path}: {name} has no genre tag that can be written; convert it, as to m4a or flac")
    kinds = [getattr(import_module(f"mutagen.{module}"), kind) for module, kind in _CLASSES.items()]
    audio = File(os.fspath(path), options=kinds)
    if audio is None:
        raise TagError(f"{path}: its content is no {name}, or of another kind without tags; check the file")
    return audio


def _kind(tags: Any) -> str:
    """`ID3`, or a key of `_KEYS`."""
    names = [cls.__name__ for cls in type(tags).__mro__]
    return next(name for name in ("ID3", *_KEYS) if name in names)


def _genres(tags: Any) -> tuple[str, ...]:
    if tags is None:
        return ()
    kind = _kind(tags)
    if kind == "ID3":
        return tuple(genre for frame in tags.getall("TCON") for genre in frame.genres)
    return tuple(map(str, tags.get(_KEYS[kind], ())))


def _write_id3(audio: Any, genre: str) -> None:
    """Write a genre into ID3 tags. Their version stays 2.4 or becomes 2.3, which every player reads."""
    from mutagen.id3 import TCON

    version = 4 if audio.tags.version >= (2, 4, 0) and len(audio.tags) else 3
    frame = TCON(encoding=3 if version == 4 else 1, text=[genre])  # type: ignore[no-untyped-call]
    audio.tags.setall("TCON", [frame])
    if version == 3:
        audio.tags.update_to_v23()
    audio.save(v2_version=version)


def _failed(path: Path, error: Exception) -> TagError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return TagError(f"{path}: its tags cannot be read or written ({reason})")
