"""MIDI files: reading to notes on the grid, and writing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_cls.errors import ScoreError
from musicgen_cls.files import writing
from musicgen_cls.notes.families import DRUMS, FAMILIES, PROGRAM, family_of
from musicgen_cls.notes.key import find_key
from musicgen_cls.notes.score import GRID, LONGEST_BAR, Notes, notes_of, without_overlaps

SUFFIXES = (".mid", ".midi")

MOST_AT_ONCE = 256
"""Notes that can begin together; a file with more is refused."""

LONGEST_BEATS = 36_000
"""Beats in the longest piece that is read: five hours at 120 beats per minute."""


def read_midi(path: Path) -> Notes:
    """Read a MIDI file. Onsets and durations are rounded to the grid; sound effects are left out.

    Raises:
        ScoreError: the file is not MIDI, is damaged, or has no notes or too many.
    """
    score = _parsed(path)
    ticks = score.ticks_per_quarter
    columns: list[dict[str, Any]] = []
    for track in score.tracks:
        family = DRUMS if track.is_drum else family_of(track.program)
        if family is not None and len(track.notes):
            columns.append({**track.notes.numpy(), "family": np.full(len(track.notes), family)})
    if not columns:
        raise ScoreError(f"{path}: no notes; use a file with at least one")
    joined = {name: np.concatenate([column[name] for column in columns]) for name in columns[0]}
    onset = _steps(joined["time"], ticks)
    end = _steps(joined["time"].astype(np.int64) + joined["duration"], ticks)
    _check_size(path, onset, end)
    bars = _bars(score, ticks, int(onset.max()))
    tempo = _tempos(path, score, ticks)
    sorted_notes = notes_of(
        onset=onset,
        duration=np.maximum(end - onset, 1),
        place=onset - _before(bars[0], bars[0], onset),
        bar=_before(bars[0], bars[1], onset),
        tempo=_before(tempo[0], tempo[1], onset),
        key=0,
        family=joined["family"],
        pitch=joined["pitch"].astype(np.int64) & 127,
        velocity=joined["velocity"],
    )
    notes = without_overlaps(sorted_notes)
    notes["key"] = find_key(notes)
    return notes


def write_midi(notes: Notes, path: Path) -> None:
    """Write notes as a MIDI file with a track for each family, tempos and metres; under a temporary name first."""
    import symusic

    notes = without_overlaps(notes)
    score: Any = symusic.Score(GRID * 40)  # 480 ticks a beat, as most programs write
    score.tracks = [_track(notes[notes["family"] == number], name) for number, name in enumerate(FAMILIES)
                    if np.any(notes["family"] == number)]  # fmt: skip
    for row in _changes(notes["tempo"]):
        at = 0 if row == 0 else int(notes["onset"][row])
        score.tempos.append(symusic.Tempo(at * 40, qpm=float(notes["tempo"][row])))
    for row in _changes(notes["bar"]):
        at = 0 if row == 0 else int(notes["onset"][row]) - int(notes["place"][row])
        score.time_signatures.append(symusic.TimeSignature(max(at, 0) * 40, *metre(int(notes["bar"][row]))))
    with writing(path) as temporary:
        temporary.write_bytes(score.dumps_midi())


def metre(bar: int) -> tuple[int, int]:
    """Numerator and denominator of a metre whose bar has `bar` steps, with the longest notes that fit: 3/4 for 36."""
    for denominator in (4, 8, 16):
        steps = GRID * 4 // denominator
        if bar % steps == 0:
            return bar // steps, denominator
    return max(1, round(bar / GRID)), 4


def _track(notes: Notes, name: str) -> Any:
    import symusic

    track: Any = symusic.Track(name, PROGRAM.get(name, 0), name == FAMILIES[DRUMS])
    time, duration, pitch, velocity = (np.ascontiguousarray(notes[field], np.int32) for field in
                                       ("onset", "duration", "pitch", "velocity"))  # fmt: skip
    track.notes = symusic.Note.from_numpy(time * 40, duration * 40, pitch.astype(np.int8), velocity.astype(np.int8),
                                          "tick")  # fmt: skip
    return track


def _parsed(path: Path) -> Any:
    import symusic

    try:
        data = path.read_bytes()
    except OSError as error:
        raise ScoreError(f"{path}: cannot be read ({error.strerror}); check the file") from error
    if data[:4] != b"MThd" or len(data) < 14:
        raise ScoreError(f"{path}: not a MIDI file; give a file of MIDI format 0 or 1")
    if int.from_bytes(data[8:10], "big") == 2:
        raise ScoreError(f"{path}: MIDI format 2, independent patterns without a common time; save it as format 1")
    if data[12:14] == b"\0\0":
        raise ScoreError(
            f"{path}: damaged MIDI file, with 0 ticks a beat; save it again with a program that can open it"
        )
    try:
        return symusic.Score.from_midi(data)
    except (RuntimeError, ValueError) as error:
        raise ScoreError(f"{path}: damaged MIDI file; save it again with a program that can open it") from error


def _check_size(path: Path, onset: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> None:
    if int(onset.min()) < 0 or int(end.max()) > LONGEST_BEATS * GRID:
        raise ScoreError(
            f"{path}: {int(end.max()) // GRID} beats long, more than {LONGEST_BEATS}; remove its last notes"
        )
    most = int(np.bincount(onset).max())
    if most > MOST_AT_ONCE:
        raise ScoreError(f"{path}: {most} notes begin at once, more than {MOST_AT_ONCE}; use another file")


def _bars(score: Any, ticks: int, last: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Onset and length of each bar up to the step `last`; 4/4 where the file names no metre, as the format says."""
    signatures = {0: 4 * GRID}
    for signature in score.time_signatures:
        if signature.numerator < 1:
            continue  # the metre before lasts
        length = GRID * 4 * signature.numerator // max(1, signature.denominator)
        at = 0 if not signatures else round(signature.time * GRID / ticks)
        signatures[at] = min(max(length, GRID // 4), LONGEST_BAR)
    changes = sorted(signatures.items())
    starts: list[int] = []
    lengths: list[int] = []
    for (at, length), (following, _) in zip(changes, [*changes[1:], (last + 1, 0)], strict=True):
        own = range(at, max(min(following, last + 1), at), length)
        starts += own
        lengths += [length] * len(own)
    return np.array(starts, dtype=np.int64), np.array(lengths, dtype=np.int64)


def _tempos(path: Path, score: Any, ticks: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Onset of each tempo, steps, and the tempo, beats per minute; 120 where the file names none."""
    tempos = {0: 120}
    for tempo in score.tempos:
        if not 4 <= tempo.qpm <= 1000:
            raise ScoreError(f"{path}: a tempo of {tempo.qpm:g} beats per minute; give one from 4 to 1000")
        tempos[round(tempo.time * GRID / ticks)] = min(max(round(tempo.qpm), 1), 255)
    times, values = zip(*sorted(tempos.items()), strict=True)
    return np.array(times), np.array(values)


def _steps(time: npt.NDArray[Any], ticks: int) -> npt.NDArray[np.int64]:
    """Ticks as steps of the grid; halves are rounded up, since rounding them to even would favour even steps."""
    return (2 * GRID * time.astype(np.int64) + ticks) // (2 * ticks)


def _before(times: npt.NDArray[np.int64], values: npt.NDArray[np.int64], at: npt.NDArray[np.int64]) -> Any:
    """The value of the last time that is not after each of `at`."""
    return values[np.searchsorted(times, at, side="right") - 1]


def _changes(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Rows whose value differs from the row before, the first among them."""
    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
