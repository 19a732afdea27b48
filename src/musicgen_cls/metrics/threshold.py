"""The threshold of predictions: a less probable genre is shown as "unsure"."""

from musicgen_cls.errors import UsageError

THRESHOLD = 0.5
"""The default threshold: the most probable genre has at least the probability of all others together."""


def check_threshold(threshold: float, option: str = "--threshold") -> float:
    """The threshold itself; raises `UsageError` unless it is from 0 to 1."""
    if not 0 <= threshold <= 1:
        raise UsageError(f"{option} {threshold}: must be a probability from 0 to 1; 0 turns it off")
    return threshold


def is_sure(probability: float, threshold: float = THRESHOLD) -> bool:
    """Whether the probability of the most probable genre reaches the threshold; always with the threshold 0."""
    return probability >= threshold
