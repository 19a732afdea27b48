"""A collection that `musiccli shards` wrote, in a folder or in object storage."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from musicgen_cls.errors import SourceError
from musicgen_cls.files import shown
from musicgen_cls.remote.url import as_place
from musicgen_cls.shards.layout import CatalogueTrack, StoreNote, read_catalogue, read_store
from musicgen_cls.shards.storage import Storage, storage_of
from musicgen_cls.sources.base import Problem, Side, Source, Track

_OPTION = "--data.source.root"


class Shards(Source):
    """A collection that `musiccli shards` wrote: its decoded tracks, in a folder or in object storage.

    Args:
        root: the folder, or a URL such as `s3://bucket/music`.
    """

    def __init__(self, root: str) -> None:
        self.root = root

    @property
    def name(self) -> str:
        """The last part of the folder or URL."""
        return self.location.resolve().name.lower()

    @property
    def location(self) -> Path:
        """The folder or URL."""
        return as_place(self.root, _OPTION)

    @property
    def genres(self) -> tuple[str, ...]:
        """The genres of the source that the store was written from."""
        return tuple(self.note.genres)

    @property
    def parts_by_name(self) -> bool:  # type: ignore[override]
        """Whether the names of files tell which are parts of one track."""
        return self.note.parts_by_name

    @property
    def OFFICIAL_CAN_LEAK(self) -> bool:  # type: ignore[override]
        """Whether the published split is anyone's."""
        return self.note.official_can_leak

    @cached_property
    def storage(self) -> Storage:
        """The folder or the object storage."""
        return storage_of(self.root, _OPTION)

    @cached_property
    def note(self) -> StoreNote:
        """The facts about the store; reading them checks that it is complete."""
        return read_store(self.storage)

    @cached_property
    def catalogue(self) -> list[CatalogueTrack]:
        """The tracks with their places in the shards."""
        return read_catalogue(self.storage, self.note)

    def tracks(self) -> list[Track]:
        """The tracks of the source that the store was written from, in its order, with their paths in it."""
        return [
            Track(own.id, self.location / own.path, own.genre, own.artist, group=own.group) for own in self.catalogue
        ]

    def problems(self) -> list[Problem]:
        """The files that were no tracks when the store was written."""
        return [Problem(self.location / shown(left.path), left.reason) for left in self.note.left_out]

    def official_split(self, name: str) -> dict[str, Side] | None:
        """Side of each track id in the published split `name`; None if the source has no such split."""
        found = {track.id: track.sides[name] for track in self.catalogue if name in track.sides}
        return found or None

    def with_suffixes(self, suffixes: tuple[str, ...]) -> Shards:
        """A store has one form."""
        raise SourceError(f"{self.location}: has decoded audio, not {', '.join(suffixes)} files; use Folder for them")
