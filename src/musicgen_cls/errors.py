"""The errors a user can cause, each one line that names what is wrong and the remedy."""

import math
import re
from collections.abc import Callable

_LINE = 600  # characters: longer messages are cut in the middle


class MusicClsError(Exception):
    """Root of every error that `musiccli` prints as one line, with exit status 2."""


class AudioError(MusicClsError):
    """A file that holds no usable audio."""


class UnreachableError(AudioError):
    """A file that could not be opened just now: gone, forbidden, or its disk in trouble."""


class SourceError(MusicClsError):
    """A collection of tracks that is missing, empty or not what it should be."""


class SplitError(MusicClsError):
    """A division into training, validation and test that cannot be made."""


class StoreError(MusicClsError):
    """The cache of decoded audio cannot be written or read."""


class RecordError(MusicClsError):
    """A file that this package wrote and reads back is damaged, or is another's."""


class CheckpointError(MusicClsError):
    """A checkpoint that is missing, damaged or made for something else."""


class UsageError(MusicClsError):
    """A command line or a config that says something impossible."""


def one_line(text: object) -> str:
    """A text as one line: breaks become spaces, and of a long text the middle is left out, so that its end stays."""
    line = re.sub(r"\s+", " ", str(text)).strip()
    return line if len(line) <= _LINE else f"{line[: _LINE // 2]} [...] {line[-_LINE // 2 :]}"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun: `1 track`, `2 tracks`, `1,000 tracks`; `plural` where that is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


MOST: dict[str, float] = {
    "seconds": 86_400,
    "context_seconds": 3600,
    "target_seconds": 3600,
    "hop_seconds": 3600,
    "takes": 10_000,
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
    "trials": 100_000,
    "temperature": 10_000,
}
"""The greatest sensible value of an argument: beyond it there is no machine that ends the work, or holds it."""

RATES_HZ = (1_000, 768_000)
"""Sample rates that audio has."""


def check_positive(part: str, **arguments: float) -> None:
    """Raise `UsageError` for the first argument of a part, such as `--data.`, that is not above 0 and within `MOST`."""
    _check(part, "more than 0", lambda value: value > 0, arguments)


def check_not_negative(part: str, **arguments: float) -> None:
    """Raise `UsageError` for the first argument of a part, such as `--data.`, that is not from 0 up to `MOST`."""
    _check(part, "0 or more", lambda value: value >= 0, arguments)


def _check(part: str, wanted: str, sound: Callable[[float], bool], arguments: dict[str, float]) -> None:
    for name, value in arguments.items():
        most = MOST.get(name, math.inf)
        if not (sound(value) and value <= most and value < math.inf):
            limit = "finite" if most == math.inf else f"at most {most:,}"
            raise UsageError(f"{part}{name} {value}: must be {wanted}, and {limit}")


def check_rate(part: str, sample_rate: float) -> None:
    """Raise `UsageError` for a sample rate that no audio has."""
    low, high = RATES_HZ
    if not low <= sample_rate <= high:
        raise UsageError(f"{part}sample_rate {sample_rate}: must be from {low} to {high} Hz")


def check_jobs(jobs: int) -> None:
    """Raise `UsageError` for a number of processes that cannot be."""
    if jobs == 0 or not -1 <= jobs <= 256:
        raise UsageError(f"--jobs {jobs}: must be from 1 to 256, or -1 for all cores")
