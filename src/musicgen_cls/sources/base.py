"""Sources: collections of tracks, with a report on the files that cannot be used."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio import containers, libsndfile

AUDIO_SUFFIXES = (*libsndfile.SUFFIXES, *containers.SUFFIXES)
"""Formats that can be read, the preferred ones first."""

COMMON_SUFFIXES = "wav, au, flac, ogg, mp3, opus, aiff, m4a, wma, or another format of FFmpeg"
"""`AUDIO_SUFFIXES` in words, for messages."""

PROTECTED = (".m4p", ".aax", ".aaxc")
"""Audio formats with copy protection, which cannot be read."""

IMAGES = (".png", ".jpg", ".jpeg")
"""Images beside the music: covers, and the figures of `predict`."""

Side = Literal["train", "validation", "test"]
SIDES: tuple[Side, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Track:
    """One recording.

    `id` is unique in its source, and is printable text. Tracks with the same `group` are, or contain, the same
    recording: they stay on one side of a split. `artist` and `seconds` are None if they are not known (yet).
    """

    id: str
    path: Path
    genre: str
    artist: str | None = None
    seconds: float | None = None
    group: str | None = None


class TrackColumns(Sequence[Track], ABC):
    """Tracks that are stored as columns; each is made when it is read."""

    @abstractmethod
    def column(self, name: str) -> Sequence[Any]:
        """The field `name` of all tracks, in order."""


def column(tracks: Sequence[Track], name: str) -> Sequence[Any]:
    """The field `name` of all tracks, in order."""
    return tracks.column(name) if isinstance(tracks, TrackColumns) else [getattr(track, name) for track in tracks]


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that was left out, with the reason."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class Source(ABC):
    """A collection of tracks with genres.

    `__init__` reads no file, so that a checkpoint loads without its collection. `genres` and `tracks` read the disk and
    raise `SourceError`.
    """

    suffixes: tuple[str, ...] = AUDIO_SUFFIXES
    """Suffixes of the files that are tracks, in order of preference for a track that is there in two formats."""

    OFFICIAL_CAN_LEAK: ClassVar[bool] = False
    """Whether the published split is anyone's, so that its leaks are reported; otherwise they are refused."""

    parts_by_name: bool = False
    """Whether the names of files tell which are parts of one track (see `musicgen_cls.sources.parts`)."""

    has_versions: bool = False
    """Whether scores can be versions of one tune, by their notes and titles (see `musicgen_cls.notes.tunes`)."""

    def with_suffixes(self, suffixes: tuple[str, ...]) -> Self:
        """A copy of this source whose tracks are the files with other suffixes."""
        other = copy(self)
        for name in [name for name in vars(self) if isinstance(getattr(type(self), name, None), cached_property)]:
            delattr(other, name)  # it was computed with the old suffixes
        other.suffixes = suffixes
        return other

    @property
    def name(self) -> str:
        """Short lower-case name, for folders and reports."""
        return type(self).__name__.lower()

    @property
    @abstractmethod
    def location(self) -> Path:
        """The folder of the tracks. The class and this folder identify a store."""

    @property
    @abstractmethod
    def genres(self) -> tuple[str, ...]:
        """The genres, in label order."""

    @abstractmethod
    def tracks(self) -> Sequence[Track]:
        """Every track, in a fixed order. This decodes nothing."""

    @property
    def lists(self) -> tuple[Path, ...]:
        """The tables that name the tracks. Results do not replace them."""
        return ()

    def all_tracks(self) -> Sequence[Track]:
        """Every known track, including those whose files are missing."""
        return self.tracks()

    def prepare(self) -> None:
        """Download or render missing files. It is called once, on one process."""
        return None

    def problems(self) -> list[Problem]:
        """Files that cannot be tracks. This decodes nothing."""
        return []

    def notes(self) -> dict[str, str]:
        """Known damage of files in some copies of the collection, by track id."""
        return {}

    def official_split(self, name: str) -> dict[str, Side] | None:
        """Side of each track id in the published split `name`; None if the source has no such split."""
        return None


def protected_format(path: Path) -> str:
    """The reason why audio with copy protection is left out, and the remedy."""
    return f"{path.suffix[1:]} is copy-protected and cannot be decoded; use a copy without protection"


def connected(*reasons: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Number tracks by group: two tracks have the same number if shared keys connect them.

    Args:
        reasons: each has the key of every track as a number (see `numbered`); -1 for a track without one.

    Returns:
        int64 `[tracks]`, in the order in which the groups appear.
    """
    tracks = [np.flatnonzero(codes >= 0) for codes in reasons]
    first = np.cumsum([0, *(codes.max(initial=-1) + 1 for codes in reasons)])
    keys = [codes[rows] + start for codes, rows, start in zip(reasons, tracks, first[:-1], strict=True)]
    return components(np.concatenate(tracks), np.concatenate(keys), len(reasons[0]))


def components(rows: npt.ArrayLike, keys: npt.ArrayLike, count: int) -> npt.NDArray[np.int64]:
    """Number `count` rows by group, in order of appearance; `rows[i]` has the key `keys[i]`, a number from 0."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, keys = np.asarray(rows, dtype=np.int32), np.asarray(keys, dtype=np.int32)
    size = count + int(keys.max(initial=-1)) + 1
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, keys + count)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1][:count], dtype=np.int64)


def numbered(keys: Sequence[Hashable | None]) -> tuple[npt.NDArray[np.int32], list[Any]]:
    """A number from 0 for each key in order of appearance, -1 for None; and the different keys."""
    numbers: dict[Hashable, int] = {}
    codes = (-1 if key is None else numbers.setdefault(key, len(numbers)) for key in keys)
    return np.fromiter(codes, dtype=np.int32, count=len(keys)), list(numbers)
