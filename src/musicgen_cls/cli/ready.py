"""`prepare` of a store that is ready: its output again, without Lightning and torch, while nothing has changed.

`prepare` keeps what it printed, with what that depends on: the command line, its configs, the listed tracks, and the
files of the store. The same command prints it again at once, if all of them are the same. In any other case it runs as
a whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, to_builtins

from musicgen_cls import __version__, sources
from musicgen_cls.cli import configs
from musicgen_cls.collection.journal import Key
from musicgen_cls.collection.store import Store, file_keys
from musicgen_cls.errors import MusicClsError
from musicgen_cls.files import cache_root, writing
from musicgen_cls.formats.file_state import FileState, state_of
from musicgen_cls.formats.records import read
from musicgen_cls.sources.base import Source
from musicgen_cls.specs import init_arguments

if TYPE_CHECKING:
    from musicgen_cls.collection.collection import Collection

_STORE = ("audio.i16", "journal.jsonl", "tracks.csv", "integrity.csv")


class Ready(Struct, frozen=True):
    """What a `prepare` printed, and what it depends on beside the command line."""

    source: str
    arguments: dict[str, Any]
    tracks: str
    """Hash of the listed tracks, their files' sizes and times, and the files that are no tracks."""
    store: dict[str, FileState]
    printed: str


def print_again(args: Sequence[str]) -> bool:
    """Print what the same `prepare` printed before; False if it has to run, and nothing was done.

    Args:
        args: the command line, without its command.
    """
    printed = printed_before(args)
    if printed is not None:
        print(printed)
    return printed is not None


def printed_before(args: Sequence[str]) -> str | None:
    """What the same `prepare` printed before; None if it has to run.

    Args:
        args: the command line, without its command.
    """
    try:
        kept = read(_file(args), Ready, "")
        kind = getattr(sources, kept.source, None)
        if not (isinstance(kind, type) and issubclass(kind, Source)):
            return None
        if any(state_of(Path(path)) != state for path, state in kept.store.items()):
            return None
        source = kind(**kept.arguments)
        source.prepare()
        return kept.printed if kept.tracks == _hash_of(source, _keys(source)) else None
    except (MusicClsError, OSError, TypeError, ValueError):  # the whole command explains it
        return None


def keep(args: Sequence[str], datamodule: Any, collection: Collection, printed: str) -> None:
    """Keep what `prepare` printed about decoded audio; nothing for other items, and where the cache is read-only.

    Args:
        args: the command line, without its command.
        datamodule: the datamodule of the collection; those of users are not known well enough.
        collection: the tracks that can be used, with their store.
        printed: the output.
    """
    source = datamodule.source
    ours = all(type(part).__module__.startswith("musicgen_cls.") for part in (datamodule, source))
    if not ours or collection.folder is None:
        return
    files = [collection.folder / name for name in _STORE]
    states = {str(file): state for file in files if (state := state_of(file)) is not None}
    if len(states) < len(files):  # embeddings and shards have other files
        return
    with suppress(MusicClsError, OSError, ValueError):
        keys = _keys(source)
        if not Store(collection.folder).entries().keys() >= set(keys):
            return  # a file has changed since, or could not be opened
        file, name = _file(args), type(source).__name__
        kept = Ready(name, init_arguments(source), _hash_of(source, keys), states, printed)
        with writing(file) as temporary:
            temporary.write_text(json.dumps(to_builtins(kept)) + "\n")


def _file(args: Sequence[str]) -> Path:
    """The file that belongs to a command line, the content of its configs, and the folder that it runs in."""
    if "-" in args:
        raise ValueError("standard input can be read once")
    settings = [config.settings for config in configs.checked(args)[1]]
    facts = [__version__, str(Path.cwd()), list(args), settings]
    return cache_root() / "ready" / f"{_hash(json.dumps(facts, default=str))}.json"


def _hash_of(source: Source, keys: Sequence[Key]) -> str:
    """The hash of a source's tracks and problems, and of the states of its files."""
    return _hash(repr((list(source.tracks()), keys, source.problems())))


def _keys(source: Source) -> list[Key]:
    return file_keys(track.path for track in source.tracks())


def _hash(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()
