"""The division of tracks into sides, and the positions of their windows: plain functions without Lightning.

Tracks are divided first, and cut into windows afterwards. Only the split `segment` divides windows.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio.windows import spaced_starts
from musicgen_cls.collection.collection import Collection
from musicgen_cls.datamodules.dataset import Windows
from musicgen_cls.errors import SourceError, SplitError, UsageError, check_positive, counted
from musicgen_cls.sources import lists, splits
from musicgen_cls.sources.base import SIDES, Side, Source
from musicgen_cls.sources.lists import Listed
from musicgen_cls.sources.names import AmbiguousName, match

log = logging.getLogger(__name__)

Starts = tuple[npt.NDArray[np.int64], int]
"""First items of the windows of a track `[windows]`, and the slack: by how many items each can start later."""


# Tracks


def check_fold(split: str, fold: str | None) -> None:
    """Raise `UsageError` if a fold is given for a split without folds."""
    if fold is not None and split not in ("track", "artist"):
        raise UsageError(
            f"--data.fold '{fold}': split '{Path(split).name}' has no folds; use split 'track' or 'artist'"
        )


def match_genres(collection: Collection, genres: Sequence[str], location: Path) -> Collection:
    """The collection with the spelling of `genres`, where genres differ only in spelling.

    Raises:
        SourceError: a genre matches several of `genres`, or two genres match one.
    """
    theirs = dict.fromkeys(track.genre for track in collection.tracks)
    try:
        ours = match(theirs, genres)
    except AmbiguousName as error:
        raise SourceError(f"{location}: genre {error}; rename one of them") from error
    if all(genre == own for genre, own in ours.items()):
        return collection
    tracks = [replace(track, genre=ours.get(track.genre, track.genre)) for track in collection.tracks]
    return replace(collection, tracks=tracks)


def known_tracks(collection: Collection, genres: Sequence[str], split: str, location: Path) -> list[int]:
    """Rows of the tracks of `genres`; with the split `external`, tracks of other genres are left out.

    Raises:
        SourceError: the collection has other genres, or a genre has no track.
    """
    rows = [row for row, track in enumerate(collection.tracks) if track.genre in genres]
    unknown = Counter(track.genre for track in collection.tracks if track.genre not in genres)
    present = {collection.tracks[row].genre for row in rows}
    if not rows or (unknown and split != "external"):
        theirs = sorted({track.genre for track in collection.tracks})
        raise SourceError(
            f"{location}: has the genres {', '.join(theirs)}, but the checkpoint or --data.genres has "
            f"{', '.join(genres)}; --data.split external tests the genres that both have"
        )
    missing = [genre for genre in genres if genre not in present]
    if missing and split != "external":
        first = f", the first: {collection.problems[0]}" if collection.problems else ""
        raise SourceError(
            f"{location}: genre '{missing[0]}' has no usable track ({len(collection.problems)} files left out in all"
            f"{first}); repair or add files, or name only the other genres: --data.genres "
            f"[{', '.join(genre for genre in genres if genre in present)}]"
        )
    if unknown:
        names = ", ".join(f"{genre} ({counted(count, 'track')})" for genre, count in sorted(unknown.items()))
        log.warning("genres that the checkpoint does not have are left out: %s", names)
    return rows


def divide_by_list(collection: Collection, split: str, root: Path) -> Listed:
    """Divide the tracks by a user's list; log its unmatched rows and tracks."""
    names = [collection.name(row) for row in range(len(collection.tracks))]
    listed = lists.divide(split, collection.tracks, names, root, SIDES)
    for note in listed.notes:
        log.warning(note)
    return listed


def divide_officially(
    collection: Collection, source: Source, fractions: Sequence[float], seed: int, location: Path
) -> Listed:
    """Divide the tracks as the data set itself does, even if that leaks; log what it leaves out.

    Raises:
        SplitError: the data set has no training or no test split.
    """
    sides, taken = splits.published(source, collection.tracks, "official", fractions, seed)
    for side in ("train", "test"):
        if side not in sides:
            raise SplitError(f"{location}: split 'official': {source.name} has no {side} split; use --data.split track")
    names = [collection.name(row) for row in range(len(collection.tracks))]
    listed = lists.official(source, collection.tracks, names, sides)
    listed = replace(listed, notes=[*listed.notes, *([taken] if taken else [])])
    for note in listed.notes:
        log.warning(note)
    return listed


def grouping_notes(collection: Collection, split: str, listed: Listed | None) -> list[str]:
    """For reports: sentences on tracks that are kept together, with the reasons, and on what a list leaves out."""
    artists = splits.spellings(collection.tracks) if split == "artist" else None
    lines = [*collection.grouped, *([artists] if artists else [])]
    if split in splits.LEAKY or listed is not None:
        return lines + (listed.notes if listed else [])
    return [f"{line}; they stay on one side" for line in lines]


# Windows


def check_counts(windows_per_track: int, crops_per_track: int | None) -> None:
    """Raise `UsageError` unless both are 1 or more; `crops_per_track` may be None."""
    check_positive("--data.", windows_per_track=windows_per_track)
    check_positive("--data.", crops_per_track=1 if crops_per_track is None else crops_per_track)


def window_starts(length: int, window: int, limit: int | None, crops: int | None) -> Starts:
    """Windows evenly spaced over a track, without overlap; or crops at random positions.

    Args:
        length: length of the track, items.
        window: length of a window, items.
        limit: maximum number of windows; all that fit if None.
        crops: number of random crops; None for evenly spaced windows.
    """
    if length < window:
        return np.zeros(0, dtype=np.int64), 0
    if crops is not None:
        return np.zeros(crops, dtype=np.int64), length - window
    return spaced_starts(length, window, length if limit is None else limit), 0


def lay_windows(
    collection: Collection, rows: Sequence[int], genres: Sequence[str], starts_in: Callable[[int], Starts]
) -> Windows:
    """The windows of the tracks in `rows`, track by track.

    Args:
        collection: the tracks.
        rows: rows of the collection.
        genres: names of the classes in label order.
        starts_in: a function from the length of a track, items, to the starts of its windows.
    """
    track, start, slack = [], [], []
    for row in rows:
        starts, more = starts_in(int(collection.lengths[row]))
        track += [row] * len(starts)
        start += list(starts)
        slack += [more] * len(starts)
    tracks, offsets = np.array(track, dtype=np.int64), np.array(start, dtype=np.int64)
    label = {genre: number for number, genre in enumerate(genres)}
    return Windows(
        track=tracks,
        genre=np.array([label[collection.tracks[row].genre] for row in track], dtype=np.int64),
        start=collection.offset[tracks] + offsets,
        slack=np.array(slack, dtype=np.int64),
        start_s=((collection.before[tracks] + offsets) / collection.rate).astype(np.float32),
    )


def divide_windows(
    windows: Windows, genres: Sequence[str], fractions: Sequence[float], seed: int, location: Path
) -> dict[Side, Windows]:
    """The split `segment`, which leaks: windows of each side, divided at random without regard to tracks.

    Raises:
        SplitError: a genre has no window on a side with a share.
    """
    sides = np.array(splits.segment_sides(windows.genre, fractions, seed), dtype=str)
    divided = {side: windows[sides == side] for side in SIDES}
    for side, share in zip(SIDES, fractions, strict=True):
        for label, genre in enumerate(genres):
            if share and not (divided[side].genre == label).any():
                raise SplitError(
                    f"{location}: split 'segment' leaves genre '{genre}' without {side} windows; add tracks, use "
                    "shorter windows, or change --data.fractions"
                )
    return divided


def tracks_on(windows: Mapping[Side, Windows], *sides: Side) -> npt.NDArray[np.int64]:
    """Rows of the tracks with windows on these sides, each once, in ascending order."""
    return np.unique(np.concatenate([windows[side].track for side in sides]))
