"""Sources that have files of recordings, which some commands need."""

from __future__ import annotations

from musicgen_cls.errors import SourceError
from musicgen_cls.notes.midi import SUFFIXES
from musicgen_cls.sources.base import Source
from musicgen_cls.sources.shards import Shards


def check_recordings(source: Source) -> None:
    """Raise `SourceError` for a source of scores, or of decoded audio without its files."""
    if isinstance(source, Shards) or source.suffixes == SUFFIXES:
        name = type(source).__name__
        raise SourceError(f"{source.location}: --source {name}: has no files of recordings; name a source that has")
