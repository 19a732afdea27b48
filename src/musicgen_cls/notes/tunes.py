"""Which pieces are versions of one tune: by the notes that they share, and by their titles."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
import numpy.typing as npt

from musicgen_cls.notes.families import DRUMS, FAMILIES
from musicgen_cls.notes.score import GRID, Notes

PHRASE = 12
"""Steps from one melody note to the next, in a phrase that two pieces can share."""

NEIGHBOURS = 8
"""Pieces that a piece is compared with for each of its phrases: the next ones that have it. Of many versions of one
tune, each is so compared with the next ones, and no phrase costs more time than in proportion to its pieces."""

LEAST_MOVES = 4
"""Different steps of melody, as interval and time, in a phrase; a phrase of fewer is a figure of accompaniment."""

LEAST_SHARED, LEAST_SHARE = 6, 0.08
"""Two pieces are one tune if they share this number of phrases, and this part of the phrases of the shorter one."""

MOST_TITLED = 12
"""A title of more files names a series, such as `Track 1` to `Track 40`, and no tune."""

_NO_TITLE = """kar org orig original rev revised live solo duet trio piano pno guitar remix mix medley version vers ver
arr demo pt part vs xg gm gs"""
"""Words behind a title that do not belong to it, in the names of MIDI files."""

_SHORT = """i a an the of in on to at by for from and or no not so up down me my you your he him his she her we us our
it its they is are was be am do did go got had has have all any who why how man men boy way day sky sun sea eye joy now
new old one two ten big red hot sad bad mad far low out off oh ooh hey say see saw run sin son god war car bar cat dog
bus bee may fun top end too"""
"""Words of up to three letters that are no initials."""

_OPEN = "i a an the of in on to at by for from and or my your his her no op nr bwv kv opus number"
"""Words that do not end a title."""


def same_tune(pieces: Sequence[Notes]) -> list[str | None]:
    """A key for each piece that versions of one tune share; None for a piece that shares its tune with no other.

    The melody is the highest note at each onset of each instrument family. A phrase is `PHRASE` steps of it in
    succession, each an interval and a time in half beats, so that transposed copies and small changes of timing count.
    The time is nearly linear in the number of notes: only pieces that share a phrase are compared.
    """
    owners, phrases = _all_phrases(pieces)
    number = np.bincount(owners, minlength=len(pieces))
    keys: list[str | None] = [None] * len(pieces)
    ties: list[list[int]] = [[] for _ in pieces]
    for first, second, shared in _pairs(owners, phrases, len(pieces)):
        if shared >= LEAST_SHARED and shared >= LEAST_SHARE * min(number[first], number[second]):
            ties[first].append(second)
            ties[second].append(first)
    for row in range(len(pieces)):
        if ties[row] and keys[row] is None:
            _spread(f"tune {row}", row, ties, keys)
    return keys


def same_title(names: Sequence[str]) -> list[str | None]:
    """The title of each file name that several files share; None for the others.

    Case, punctuation, numbers of versions, initials of the author, and the performer after a hyphen do not count:
    `all_of_me_bb`, `All of Me 2` and `all_of_me-Sinatra_gw` are one title.
    """
    titles = [title_of(name) for name in names]
    rows: dict[str, list[int]] = defaultdict(list)
    for row, title in enumerate(titles):
        if title:
            rows[title].append(row)
    return [title if title and 1 < len(rows[title]) <= MOST_TITLED else None for title in titles]


def title_of(name: str) -> str | None:
    """The title in the name of a file, in lower case without spaces; None if the name has none, as `051.mid`."""
    stem = PurePath(name).name.rpartition(".")[0] or PurePath(name).name
    before = re.split(r"[-(]", stem, maxsplit=1)[0]
    if re.search(r"[^\W_][_ ]+[^\W_]", before) and not before.endswith(" "):  # `All of Me-Sinatra`, not `A - B`
        stem = before
    words = re.findall(r"[^\W_][^\s_]*", stem.lower().replace("'", ""))
    title = "".join(filter(str.isalnum, "".join(_without_marks(words))))
    return title if sum(map(str.isalpha, title)) >= 3 else None


def _without_marks(words: list[str]) -> list[str]:
    """The words of a title without version numbers and initials behind them."""
    kept, initials = list(words), True
    while len(kept) > 1:
        before = kept[-2].strip(".")
        for last in re.findall(r"[^\W_]+", kept[-1]):
            if last.isdigit():
                mark = len(last) == 1 and before not in _OPEN.split()
            elif last in _SHORT.split():
                mark = False
            elif last in _NO_TITLE.split() or re.fullmatch(r"[a-z]{1,3}\d{1,2}|[^\Waeiouy]{1,4}", last):
                mark = True
            else:
                mark, initials = initials and len(last) <= 3 and before not in _OPEN.split(), False
            if not mark:
                return kept
        kept.pop()
    return kept


def _all_phrases(pieces: Sequence[Notes]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """The pieces and hashes of all phrases, each phrase once a piece, sorted by hash."""
    own = [_phrases(notes) for notes in pieces]
    owners = np.repeat(np.arange(len(pieces)), [len(phrases) for phrases in own])
    phrases = np.concatenate([*own, np.zeros(0, np.uint64)])
    order = np.argsort(phrases, kind="stable")
    return owners[order], phrases[order]


def _phrases(notes: Notes) -> npt.NDArray[np.uint64]:
    """Hashes of the different phrases of a piece."""
    found = [_phrases_of_line(notes[notes["family"] == family]) for family in range(len(FAMILIES)) if family != DRUMS]
    return np.unique(np.concatenate(found))


def _phrases_of_line(notes: Notes) -> npt.NDArray[np.uint64]:
    highest = np.ones(len(notes), bool)
    highest[:-1] = notes["onset"][1:] != notes["onset"][:-1]  # notes are sorted by pitch within an onset
    line = notes[highest]
    if len(line) <= PHRASE:
        return np.zeros(0, np.uint64)
    interval = np.diff(line["pitch"].astype(np.int64))
    wait = np.minimum(np.rint(np.diff(line["onset"]) * 2 / GRID), 16).astype(np.int64)
    step = np.lib.stride_tricks.sliding_window_view((interval + 128) * 32 + wait, PHRASE)
    moves = 1 + (np.diff(np.sort(step, axis=1), axis=1) != 0).sum(axis=1)
    weights = np.random.default_rng(0).integers(1, 2**63, PHRASE, dtype=np.uint64) | np.uint64(1)
    mixed = (step.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) ^ (step.astype(np.uint64) << np.uint64(17))
    hashes = (mixed * weights).sum(axis=1, dtype=np.uint64)
    return np.asarray(hashes[moves >= LEAST_MOVES])


def _pairs(owners: npt.NDArray[np.int64], phrases: npt.NDArray[np.uint64], size: int) -> list[tuple[int, int, int]]:
    """Pairs of pieces with the number of phrases that they share."""
    starts = np.flatnonzero(np.append(True, phrases[1:] != phrases[:-1])) if len(phrases) else np.zeros(0, np.int64)
    counts = np.diff(np.append(starts, len(phrases)))
    codes = [np.zeros(0, np.int64)]
    for gap in range(1, NEIGHBOURS + 1):  # each owner of a phrase with the owner `gap` places behind it
        enough = counts > gap
        begin, number = starts[enough], counts[enough] - gap
        rows = np.repeat(begin - np.cumsum(number) + number, number) + np.arange(number.sum())
        codes.append(owners[rows] * size + owners[rows + gap])
    pairs, shared = np.unique(np.concatenate(codes), return_counts=True)
    return list(zip((pairs // size).tolist(), (pairs % size).tolist(), shared.tolist(), strict=True)) if size else []


def _spread(key: str, row: int, ties: Sequence[Sequence[int]], keys: list[str | None]) -> None:
    """Give a key to a row and to all that are connected with it."""
    waiting = [row]
    while waiting:
        here = waiting.pop()
        if keys[here] is None:
            keys[here] = key
            waiting += ties[here]
