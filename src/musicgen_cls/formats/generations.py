"""Files beside generated recordings: a line about each recording, and the settings of the generation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from msgspec import Meta, Struct

from musicgen_cls.errors import RecordError, counted
from musicgen_cls.files import writing
from musicgen_cls.formats.records import lines, read

LINES = "continuations.jsonl"
SETTINGS = "generation.json"

_NAME_BYTES = 255  # the longest file name of common file systems
_REMEDY = "delete that line, and predict generates its recording again"

MIN_STEPS = 1000
"""With fewer training steps, a generator of waveforms is hardly trained."""

MIN_STEPS_OF_NOTES = 200
"""The same for a generator of notes; it learns from some thousand notes in a step."""

Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]


class Recording(Struct, frozen=True, kw_only=True):
    """What the judge reads from a line. For music that another program generated, the file name is enough."""

    OLD_KEYS: ClassVar[dict[str, str]] = {"seed": "prompt", "seed_id": "prompt_id"}
    """Older keys, with the present ones."""

    file: str
    genre: str | None = None
    prompt: str | None = None
    checkpoint: str | None = None
    steps: Count | None = None
    epochs: Count | None = None
    context_seconds: Seconds | None = None

    def __post_init__(self) -> None:
        for path in filter(None, (self.file, self.prompt, self.checkpoint)):
            if "\0" in path or max(len(os.fsencode(part)) for part in path.split("/")) > _NAME_BYTES:
                raise ValueError(f"{path[:40]!r} is not a path")


class Continuation(Recording, frozen=True, kw_only=True):
    """A line that `predict` writes: one recording.

    `prompt` is the file that it continues, and `prompt_id` the id of that track. `generation` is a hash of the
    settings, and `position` the number of the recording in the generation. `steps` and `epochs` are the length of the
    training, None if unknown. `loudness_db` has one value for each second.
    """

    LEAST_STEPS: ClassVar[int] = MIN_STEPS
    """With fewer training steps, the generator is hardly trained."""

    genre: str
    prompt: str
    prompt_id: str
    position: Count
    generation: str
    checkpoint: str
    sample_rate: Annotated[int, Meta(gt=0)]
    context_seconds: Seconds
    seconds: Seconds
    loudness_db: Annotated[list[float], Meta(min_length=1)]


class Piece(Continuation, frozen=True, kw_only=True):
    """A line about a generated piece of notes: `score` is its MIDI file; `prompt` is empty if it continues nothing."""

    LEAST_STEPS: ClassVar[int] = MIN_STEPS_OF_NOTES

    score: str
    key: str
    tempo: Count
    notes: Count
    in_scale: float | None = None
    bars_that_return: float | None = None


Kind = TypeVar("Kind", bound=Recording)


def training_warning(steps: int, least: int = MIN_STEPS) -> str:
    """A warning about a generator that was trained for fewer than `least` steps; an empty string for others."""
    if steps >= least:
        return ""
    return f"the generator was trained for {counted(steps, 'step')} only, fewer than {least:,}: it is hardly trained"


def read_lines(folder: Path, kind: type[Kind]) -> list[Kind]:
    """The last line about each recording in a folder; none if the folder has no such file.

    Raises:
        RecordError: a line is damaged.
    """
    return [value for value, _ in _last_lines(folder, kind)]


def genres_of(folder: Path) -> dict[str, str]:
    """The genre of each recording that `predict` generated in a folder, by its path relative to the folder.

    The name of the sub-folder can differ from the genre, which may have characters that file names cannot have.

    Raises:
        RecordError: a line about a recording is damaged.
    """
    return {line.file: line.genre for line in read_lines(folder, Recording) if line.genre is not None}


def tidy(folder: Path) -> None:
    """Keep one complete line about each recording in a folder's file, if the file exists.

    Raises:
        RecordError: a line is damaged.
    """
    if (folder / LINES).is_file():
        kept = [raw.rstrip(b"\n") + b"\n" for _, raw in _last_lines(folder, Continuation)]
        with writing(folder / LINES) as temporary:
            temporary.write_bytes(b"".join(kept))


def was_stopped(folder: Path, settings: dict[str, Any]) -> bool:
    """Whether a folder has a stopped generation with these settings.

    Raises:
        RecordError: the folder's settings are damaged.
    """
    path = folder / SETTINGS
    remedy = "delete it; the folder then counts as other files, which only --overwrite true replaces"
    if not path.is_file():
        return False
    found = read(path, dict[str, Any], remedy)
    if "takes" in found:  # the older key
        found["samples_per_prompt"] = found.pop("takes")
    return found == {**settings, "finished": False}


def _last_lines(folder: Path, kind: type[Kind]) -> list[tuple[Kind, bytes]]:
    """The last line about each recording, with its bytes; an incomplete line after a kill is left out."""
    path = folder / LINES
    found: dict[str, tuple[Kind, bytes]] = {}
    for line in lines(path, kind):
        if line.value is not None:
            found[line.value.file] = line.value, line.raw
        elif not line.torn:
            raise RecordError(f"{path}: line {line.number}: {line.reason}; {_REMEDY}")
    return list(found.values())
