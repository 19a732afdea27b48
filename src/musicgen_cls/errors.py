"""Errors that users can cause. Each message is one line that names the fault and the remedy."""

import math
import re
from collections.abc import Callable, Iterable
from numbers import Real

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LINE = 600  # characters; the middle of a longer message is left out


class MusicClsError(Exception):
    """Base of all errors that `musiccli` prints as one line, with exit status 2."""


class AudioError(MusicClsError):
    """A file has no usable audio."""


class UnreachableError(AudioError):
    """A file cannot be opened now: it is gone, its permissions forbid it, or the disk fails."""


class ScoreError(MusicClsError):
    """A file is no usable score."""


class SourceError(MusicClsError):
    """A collection of tracks is missing, empty or of another kind."""


class SplitError(MusicClsError):
    """The tracks cannot be divided into training, validation and test as asked."""


class StoreError(MusicClsError):
    """The cache of decoded audio cannot be written or read."""


class RecordError(MusicClsError):
    """A file that this package reads back is damaged, or another program wrote it."""


class CheckpointError(MusicClsError):
    """A checkpoint is missing, damaged or for another purpose."""


class UsageError(MusicClsError):
    """A command line, a config or an argument is invalid."""


def printable(text: str) -> str:
    r"""A text whose control characters, which could move the cursor of a terminal, are escapes like `\x1b`."""
    return _CONTROL.sub(lambda found: rf"\x{ord(found[0]):02x}", text)


def one_line(text: object) -> str:
    """A text as one printable line: line breaks become spaces, and the middle of a long text is left out."""
    line = printable(re.sub(r"\s+", " ", str(text)).strip())
    return line if len(line) <= _LINE else f"{line[: _LINE // 2]} [...] {line[-_LINE // 2 :]}"


def given(value: object) -> str:
    """A value of a setting as a config has it: `null` for None, and text in quotes."""
    return "null" if value is None else repr(value) if isinstance(value, str) else str(value)


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun: `1 track`, `2 tracks`, `1,000 tracks`; `plural` is for irregular nouns."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


MOST: dict[str, float] = {
    "seconds": 86_400,
    "context_seconds": 3600,
    "target_seconds": 3600,
    "hop_seconds": 3600,
    "samples_per_prompt": 10_000,
    "batch_size": 1_000_000,
    "windows_per_track": 1_000_000,
    "crops_per_track": 100_000,
    "n_fft": 1 << 20,
    "hop_length": 1 << 20,
    "n_mels": 4096,
    "frames": 10_000_000,
    "look_back": 100_000,
    "num_workers": 256,
    "tracks_per_genre": 100_000,
    "pieces_per_genre": 100_000,
    "trials": 100_000,
    "temperature": 10_000,
}
"""The largest allowed value of an argument; no machine has the time or memory for larger ones."""

RATES_HZ = (1_000, 768_000)
"""The lowest and the highest sample rate of audio."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message that suggests the known name nearest to a misspelt one; empty if none is near.

    Upper and lower case count as equal.
    """
    from difflib import get_close_matches

    by_lower = {word.lower(): word for word in known}
    near = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f"; did you mean '{by_lower[near[0]]}'?" if near else ""


def check_positive(part: str, **arguments: float) -> None:
    """Raise `UsageError` for an argument of a part, such as `--data.`, that is not above 0 or exceeds `MOST`."""
    _check(part, "more than 0", lambda value: value > 0, arguments)


def check_not_negative(part: str, **arguments: float) -> None:
    """Raise `UsageError` for an argument of a part, such as `--data.`, that is below 0 or exceeds `MOST`."""
    _check(part, "0 or more", lambda value: value >= 0, arguments)


def _check(part: str, wanted: str, sound: Callable[[float], bool], arguments: dict[str, float]) -> None:
    for name, value in arguments.items():
        most = MOST.get(name, math.inf)
        number = isinstance(value, Real)  # a config can have null, and a checkpoint anything
        if not (number and sound(value) and value <= most and value < math.inf):
            limit = "finite" if most == math.inf else f"at most {most:,}"
            raise UsageError(f"{part}{name} {given(value)}: must be {wanted}, and {limit}")


def check_rate(part: str, sample_rate: float) -> None:
    """Raise `UsageError` for a sample rate outside of `RATES_HZ`."""
    low, high = RATES_HZ
    if not (isinstance(sample_rate, Real) and low <= sample_rate <= high):
        raise UsageError(f"{part}sample_rate {given(sample_rate)}: must be from {low} to {high} Hz")


def check_seed(seed: int | None, option: str = "--seed") -> None:
    """Raise `UsageError` for a seed that torch or NumPy refuses; None means no seed."""
    if seed is not None and not 0 <= seed < 2**32:
        raise UsageError(f"{option} {seed}: must be from 0 to {2**32 - 1}")


def check_jobs(jobs: int) -> None:
    """Raise `UsageError` for an invalid number of processes."""
    if jobs == 0 or not -1 <= jobs <= 256:
        raise UsageError(f"--jobs {jobs}: must be from 1 to 256, or -1 for all cores")
