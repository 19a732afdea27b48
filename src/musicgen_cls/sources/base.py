"""Sources: collections of tracks, with a report on the files that cannot be used."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

AUDIO_SUFFIXES = (
    *(".wav", ".au", ".flac", ".ogg", ".mp3", ".opus", ".oga", ".aif", ".aiff", ".aifc", ".snd", ".w64", ".caf"),
)
"""Formats that libsndfile reads."""

OTHER_AUDIO = (
    *(".m4a", ".mp4", ".aac", ".wma", ".ape", ".wv", ".mpc", ".alac", ".ac3", ".amr", ".dsf", ".dff", ".tta", ".mka"),
    *(".webm", ".ra", ".mp2", ".spx", ".m4b", ".m4p", ".3gp"),
)
"""Formats of music that it does not read."""

PICTURES = (".png", ".jpg", ".jpeg")
"""Cover images, and the figures of `predict`."""

Side = Literal["train", "validation", "test"]
SIDES: tuple[Side, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Track:
    """One recording.

    `id` is unique in its source, and printable text. Tracks with the same `group` are, or contain, the same recording:
    they stay on one side of a split. `artist` and `seconds` are None where they are not known (yet).
    """

    id: str
    path: Path
    genre: str
    artist: str | None = None
    seconds: float | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that was left out, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class Source(ABC):
    """A collection of tracks with genres.

    `__init__` reads no file, so that a checkpoint loads without its collection; `genres` and `tracks` read the disk and
    raise `SourceError`.
    """

    suffixes: tuple[str, ...] = AUDIO_SUFFIXES
    """Endings of the files that are tracks; of a track in two formats the first one counts."""

    names_tell_parts: bool = False
    """Whether files may be parts of tracks by their names (see `musicgen_cls.sources.parts`)."""

    def holding(self, suffixes: tuple[str, ...]) -> Self:
        """The same source with other files for tracks."""
        other = copy(self)
        for name in [name for name in vars(self) if isinstance(getattr(type(self), name, None), cached_property)]:
            delattr(other, name)  # found with the suffixes of before
        other.suffixes = suffixes
        return other

    @property
    def name(self) -> str:
        """Short lower-case name, for folders and reports."""
        return type(self).__name__.lower()

    @property
    @abstractmethod
    def location(self) -> Path:
        """The folder of the tracks. With the class it identifies a store."""

    @property
    @abstractmethod
    def genres(self) -> tuple[str, ...]:
        """The genres, in label order."""

    @abstractmethod
    def tracks(self) -> list[Track]:
        """Every track, in a fixed order; nothing is decoded."""

    def described(self) -> list[Track]:
        """Every known track, also without its file."""
        return self.tracks()

    def prepare(self) -> None:
        """Download or render what is missing. Called once, on one process."""
        return None

    def problems(self) -> list[Problem]:
        """Files that are known, without decoding, not to be usable tracks."""
        return []

    def notes(self) -> dict[str, str]:
        """Known damages of files in some copies of the collection, by track id."""
        return {}

    def official_split(self, name: str) -> dict[str, Side] | None:
        """Side by track id of a published split called `name`, or None where the source has no such split."""
        return None


def other_format(path: Path) -> str:
    """Why a file of music that libsndfile cannot read is left out, and the remedy."""
    return f"{path.suffix[1:]} cannot be decoded; convert it, as with ffmpeg -i {path.name!r} {path.stem + '.flac'!r}"


def connected(ties: Sequence[Sequence[Hashable]]) -> npt.NDArray[np.int64]:
    """Number tracks by group: two have the same number if shared ties connect them.

    Args:
        ties: for every track, the things it is tied to.

    Returns:
        int64 `[tracks]`, not necessarily without gaps.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    things: dict[Hashable, int] = {}
    edges = [(row, len(ties) + things.setdefault(thing, len(things))) for row, own in enumerate(ties) for thing in own]
    size = len(ties) + len(things)
    rows, columns = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1][: len(ties)], dtype=np.int64)
