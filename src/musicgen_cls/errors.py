"""The errors a user can cause, each one line that names what is wrong and the remedy."""

import math


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


class CheckpointError(MusicClsError):
    """A checkpoint that is missing, damaged or made for something else."""


class UsageError(MusicClsError):
    """A command line or a config that says something impossible."""


def check_positive(part: str, **arguments: float) -> None:
    """Raise `UsageError` for the first argument of a part, such as `--data.`, that is not a number above 0."""
    for name, value in arguments.items():
        if not 0 < value < math.inf:
            raise UsageError(f"{part}{name} {value}: must be more than 0, and finite")


def check_not_negative(part: str, **arguments: float) -> None:
    """Raise `UsageError` for the first argument of a part, such as `--data.`, that is not 0 or a number above."""
    for name, value in arguments.items():
        if not 0 <= value < math.inf:
            raise UsageError(f"{part}{name} {value}: must be 0 or more, and finite")


def check_jobs(jobs: int) -> None:
    """Raise `UsageError` for a number of processes that joblib does not take."""
    if jobs == 0 or jobs < -1:
        raise UsageError(f"--jobs {jobs}: must be 1 or more, or -1 for all cores")
