"""What is a track: which files, or rows of a table, are parts of one track by their names.

Clips that were cut beforehand go round as `blues.00000.0.wav`, `blues.00000.1.wav` and so on. Symphonies go round as
`Symphony No.5.flac` and `Symphony No.6.flac`, and are not parts of anything. A number behind a dot is therefore not
enough. The rule:

1. A name with a number of up to four digits behind a dot, before its ending, may be a part: `WHOLE.NUMBER.ENDING`.
2. Names that differ in NUMBER only are parts of WHOLE if the numbers count from 0 without gaps, all have one genre, and
   all are equally long, within 0.1 s; but the last of three or more may be shorter.
3. Where rule 2 has found parts, others of their length are parts too although a number is missing, as that of a clip
   that was deleted: no number may be greater than the greatest that rule 2 has found.

A file `WHOLE.ENDING` beside its parts is the same recording.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

_PART = re.compile(r"(?P<whole>.+)\.(?P<number>[0-9]{1,4})(?P<ending>\.[^./]*[^./0-9][^./]*)?", re.DOTALL)
_SAME_S = 0.1
"""Clips of one length differ by what an encoder adds, s."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file or row: its name, its genre, and its length in s, None if that is not known."""

    name: str
    genre: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of which track something is: `whole` is the track's name without an ending, `number` from 0."""

    whole: str
    number: int


def as_part(name: str) -> tuple[Part, str] | None:
    """What a name says if it is that of a part: the part, and the ending; None if it has no number."""
    found = _PART.fullmatch(name)
    return (Part(found["whole"], int(found["number"])), found["ending"] or "") if found else None


def parts_of_tracks(items: Sequence[Item]) -> list[Part | None]:
    """Which part of which track each item is by the rule; None for a track of its own."""
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
    greatest: dict[float, int] = {}  # by the length of clips: the greatest number that rule 2 has found
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
"""Number, length and row of what may be parts of one track, by number."""


def _clip_length(own: _Set) -> float | None:
    """The length of parts by rule 2; None if they are none."""
    known = [seconds for _, seconds, _ in own if seconds is not None]
    if [number for number, _, _ in own] != list(range(len(own))) or len(known) < 2:
        return None
    seconds = round(known[0], 1)
    enough = sum(abs(length - known[0]) <= _SAME_S for length in known) > 1  # two of one length
    return seconds if enough and _fits(own, known[0]) else None


def _fits(own: _Set, seconds: float) -> bool:
    """Whether parts are of a length, but for the last, which may be shorter."""
    known = [length for _, length, _ in own if length is not None]
    if not known:
        return False
    *others, last = known
    return last <= seconds + 2 * _SAME_S and all(abs(length - seconds) <= 2 * _SAME_S for length in others)
