"""Which files, or rows of a table, are parts of one track by their names.

Clips cut from tracks have names like `blues.00000.0.wav` and `blues.00000.1.wav`. The names `Symphony No.5.flac` and
`Symphony No.6.flac` look similar, but these files are not parts of one track. A number after a dot is therefore not
enough. The rules:

1. A name can be a part if it has a dot and a number of up to four digits before its suffix: `WHOLE.NUMBER.SUFFIX`.
2. Files whose names differ only in NUMBER are parts of WHOLE if their numbers count from 0 without gaps, they have one
   genre, and their lengths are equal within 0.1 s. The last of three or more parts may be shorter.
3. If rule 2 found parts, other files of the same length are parts too, even if numbers are missing, for example
   because a clip was deleted. Their numbers must not exceed the greatest number that rule 2 found.

A file `WHOLE.SUFFIX` beside its parts is the same recording.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

_PART = re.compile(r"(?P<whole>.+)\.(?P<number>[0-9]{1,4})(?P<ending>\.[^./]*[^./0-9][^./]*)?", re.DOTALL)
_SAME_S = 0.1
"""How much the lengths of equally long clips can differ, s, since encoders add samples."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file or row: its name, its genre, and its length in s, None if unknown."""

    name: str
    genre: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a track: `whole` is the track's name without a suffix, `number` counts from 0."""

    whole: str
    number: int


def as_part(name: str) -> tuple[Part, str] | None:
    """The part and the suffix in a name that has the form of a part's; None for other names."""
    found = _PART.fullmatch(name)
    return (Part(found["whole"], int(found["number"])), found["ending"] or "") if found else None


def parts_of_tracks(items: Sequence[Item]) -> list[Part | None]:
    """The part that each item is, by the rules above; None for an item that is a whole track."""
    sets: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)  # whole and ending: number -> row
    twice: set[tuple[str, str]] = set()
    for row, item in enumerate(items):
        if found := as_part(item.name):
            part, ending = found
            if sets[part.whole, ending].setdefault(part.number, row) != row:
                twice.add((part.whole, ending))
    of_one_genre = [
        [(number, items[row].seconds, row) for number, row in sorted(rows.items())]
        for key, rows in sets.items()
        if key not in twice and len({items[row].genre for row in rows.values()}) == 1
    ]
    greatest: dict[float, int] = {}  # length of clips -> the greatest number that rule 2 found
    for own in of_one_genre:
        if (seconds := _clip_length(own)) is not None:
            greatest[seconds] = max(greatest.get(seconds, 0), own[-1][0])
    parts: list[Part | None] = [None] * len(items)
    for own in of_one_genre:
        if any(own[-1][0] <= most and _fits(own, seconds) for seconds, most in greatest.items()):
            for number, _, row in own:
                found = as_part(items[row].name)
                parts[row] = Part(found[0].whole, number) if found else None
    return parts


_Set = Sequence[tuple[int, float | None, int]]
"""Number, length and row of possible parts of one track, ordered by number."""


def _clip_length(own: _Set) -> float | None:
    """The length of parts by rule 2; None if they are not parts."""
    known = [seconds for _, seconds, _ in own if seconds is not None]
    if [number for number, _, _ in own] != list(range(len(own))) or len(known) < 2:
        return None
    seconds = round(known[0], 1)
    enough = sum(abs(length - known[0]) <= _SAME_S for length in known) > 1  # two of one length
    return seconds if enough and _fits(own, known[0]) else None


def _fits(own: _Set, seconds: float) -> bool:
    """Whether all parts have a length; the last one may be shorter."""
    known = [length for _, length, _ in own if length is not None]
    if not known:
        return False
    *others, last = known
    return last <= seconds + 2 * _SAME_S and all(abs(length - seconds) <= 2 * _SAME_S for length in others)
