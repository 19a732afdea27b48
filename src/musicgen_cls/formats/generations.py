"""What `predict` writes beside generated recordings and reads again, as `judge` does: a line on each, and settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct

from musicgen_cls.errors import RecordError, counted
from musicgen_cls.files import writing
from musicgen_cls.formats.records import lines, read

LINES = "continuations.jsonl"
SETTINGS = "generation.json"

_NAME_BYTES = 255  # most that file systems take
_REMEDY = "delete that line, and predict makes its recording again"

MIN_STEPS = 1000
"""A generator that was trained for fewer steps is hardly trained."""

Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]


class Told(Struct, frozen=True, kw_only=True):
    """What the judge takes from a line; of music that others made, only the name of the file is needed."""

    file: str
    genre: str | None = None
    seed: str | None = None
    checkpoint: str | None = None
    steps: Count | None = None
    epochs: Count | None = None
    context_seconds: Seconds | None = None

    def __post_init__(self) -> None:
        for path in filter(None, (self.file, self.seed, self.checkpoint)):
            if "\0" in path or max(len(os.fsencode(part)) for part in path.split("/")) > _NAME_BYTES:
                raise ValueError(f"{path[:40]!r} is no path")


class Continuation(Told, frozen=True, kw_only=True):
    """A line as `predict` writes it: one recording.

    `seed` is the file that it continues, `seed_id` the id of that track, `generation` a hash of what it was made with,
    `position` its number in that; `steps` and `epochs` are what the generator was trained for, where that is known;
    `loudness_db` is by second.
    """

    genre: str
    seed: str
    seed_id: str
    position: Count
    generation: str
    checkpoint: str
    sample_rate: Annotated[int, Meta(gt=0)]
    context_seconds: Seconds
    seconds: Seconds
    loudness_db: Annotated[list[float], Meta(min_length=1)]


Kind = TypeVar("Kind", bound=Told)


def training_warning(steps: int) -> str:
    """What to say of a generator that was trained for so few steps that its music says little; nothing of others."""
    if steps >= MIN_STEPS:
        return ""
    return (
        f"the generator was trained for {counted(steps, 'step')} only, fewer than {MIN_STEPS:,}: it is hardly trained"
    )


def read_lines(folder: Path, kind: type[Kind]) -> list[Kind]:
    """The lines about the recordings in a folder, the last one about each; none if it has no such file.

    Raises:
        RecordError: a line is damaged.
    """
    return [value for value, _ in _last_lines(folder, kind)]


def genres_of(folder: Path) -> dict[str, str]:
    """The genre of each recording that `predict` made there, by its path below the folder.

    The name of its sub-folder may differ from the genre, which can have characters that no file name has.

    Raises:
        RecordError: a line about a recording is damaged.
    """
    return {line.file: line.genre for line in read_lines(folder, Told) if line.genre is not None}


def tidy(folder: Path) -> None:
    """Leave one whole line about each recording in a folder's file, if there is one.

    Raises:
        RecordError: a line is damaged.
    """
    if (folder / LINES).is_file():
        kept = [raw.rstrip(b"\n") + b"\n" for _, raw in _last_lines(folder, Continuation)]
        with writing(folder / LINES) as temporary:
            temporary.write_bytes(b"".join(kept))


def was_stopped(folder: Path, settings: dict[str, Any]) -> bool:
    """Whether a generation with these settings was stopped in a folder.

    Raises:
        RecordError: the folder's settings are damaged.
    """
    path = folder / SETTINGS
    remedy = "delete it; the recordings there are then another's, which only --overwrite true writes over"
    return path.is_file() and read(path, dict[str, Any], remedy) == {**settings, "finished": False}


def _last_lines(folder: Path, kind: type[Kind]) -> list[tuple[Kind, bytes]]:
    """The last line about each recording, with its bytes; one that a kill cut short is left out."""
    path = folder / LINES
    found: dict[str, tuple[Kind, bytes]] = {}
    for line in lines(path, kind):
        if line.value is not None:
            found[line.value.file] = line.value, line.raw
        elif not line.torn:
            raise RecordError(f"{path}: line {line.number}: {line.reason}; {_REMEDY}")
    return list(found.values())
