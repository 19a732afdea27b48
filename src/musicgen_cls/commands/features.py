"""`musiccli features`: write the table of features of a collection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct, defstruct, to_builtins

from musicgen_cls.audio.features import COLUMNS, FRAME, RATE, feature_row
from musicgen_cls.audio.io import Waveform, check_sound, read
from musicgen_cls.audio.windows import to_samples
from musicgen_cls.commands.journal import Journal, TrackLine, new_file, print_left_out, versions_of
from musicgen_cls.commands.workers import in_processes
from musicgen_cls.engines.local import Mapped
from musicgen_cls.engines.on_ray import Engine, cluster_of
from musicgen_cls.errors import AudioError, SourceError, UsageError, check_jobs, check_positive, counted
from musicgen_cls.files import alone
from musicgen_cls.sources.base import Source, Track
from musicgen_cls.sources.parts import as_part
from musicgen_cls.sources.recordings import check_recordings
from musicgen_cls.tables import write_csv

Row = dict[str, Any]

_FIELDS = [("filename", str), ("length", int), *((name, float | None) for name in COLUMNS[1:])]
_Row = defstruct("_Row", _FIELDS, forbid_unknown_fields=True)


class RunHeader(Struct, frozen=True):
    """The first line of the journal of a run: its source and the length of parts."""

    location: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.location} with --seconds {self.seconds:g}"


class TrackRows(TrackLine, frozen=True):
    """A line of the journal: the rows of a track, or the reason why there are none."""

    found: list[_Row] | str  # type: ignore[valid-type]


def features(
    source: Source,
    out: str,
    seconds: float = 3.0,
    jobs: int = -1,
    engine: Engine = "local",
    address: str | None = None,
) -> Path:
    """Write the table of features of a collection, for FeatureTable, in the format of GTZAN on Kaggle.

    The same command resumes a stopped run.

    Args:
        source: the tracks, such as GTZAN or Folder.
        out: the table, a CSV file.
        seconds: length of the parts of tracks, s; the rest at the end of a track is left out. A track shorter than two
            parts is one part, so that 30 s gives the rows of features_30_sec.csv.
        jobs: number of processes; -1 for one per core.
        engine: `local`, or `ray`: on a Ray cluster, with its processes instead of `jobs`.
        address: of the Ray cluster, `HOST:PORT` or `local`; that of this machine if not set.

    Raises:
        SourceError: no track can be used.
        UsageError: the table exists or cannot be written, there are rows of a stopped run with other arguments, or
            the cluster cannot be used.
    """
    check_positive("--", seconds=seconds)
    if to_samples(seconds, RATE) < FRAME:
        raise UsageError(f"--seconds {seconds}: must be {FRAME / RATE:.3f} or more, the {FRAME} samples of a frame")
    check_jobs(jobs)
    check_recordings(source)
    cluster = cluster_of(engine, address, ordered=False)
    table = new_file(out, "TABLE.csv")
    source.prepare()
    with alone(table):
        return _features(source, table, seconds, cluster or partial(in_processes, jobs=jobs, order="as they come"))


def _features(source: Source, table: Path, seconds: float, mapped: Mapped) -> Path:
    tracks = source.tracks()
    versions = versions_of(tracks)  # before the files are read
    journal = Journal(table, RunHeader(str(source.location), float(seconds)), TrackRows, versions)
    left = [track for track in tracks if track.id not in journal]
    journal.record(mapped(partial(_rows, seconds=seconds), left), "Features")
    good, refused = journal.usable(tracks)
    if good:
        named = zip(good, _with_unique_names(tracks, good, journal), strict=True)
        rows = (row | {"label": track.genre} for track, own in named for row in own)
        write_csv(table, ["filename", *COLUMNS, "label"], rows)
    journal.remove()
    if not good:
        raise SourceError(f"{table}: not written, since no track can be used; the first: {refused[0]}")
    count = sum(journal.rows(track.id) for track in good)
    print(f"{counted(count, 'row')} of {counted(len(good), 'track')}: {table}")
    print_left_out(refused)
    return table


def _rows(track: Track, seconds: float) -> tuple[str, list[Row] | str]:
    """The id of a track, and its rows or the reason why there are none."""
    try:
        waveform = read(track.path, RATE)
        check_sound(track.path, waveform)
        length = to_samples(seconds, RATE)
        count = len(waveform) // length
        if count < 2:
            return track.id, [_row(track, "", waveform)]
        return track.id, [_row(track, f".{i}", waveform[i * length : (i + 1) * length]) for i in range(count)]
    except AudioError as error:
        return track.id, str(error).removeprefix(f"{track.path}: ")


def _row(track: Track, part: str, waveform: Waveform) -> Row:
    return {"filename": _name(track, part), **feature_row(waveform, RATE), "length": len(waveform)}


def _name(track: Track, part: str = "") -> str:
    """The file name of a row: the track's id with the part before its suffix."""
    return f"{track.id.removesuffix(track.path.suffix)}{part}{track.path.suffix}"


def _with_unique_names(tracks: Sequence[Track], good: Sequence[Track], journal: Journal) -> Iterator[list[Row]]:
    """The rows of each track that has any, with unique names.

    The name of a track with one row can equal the name of a row of another track, such as `song.1.wav` beside
    `song.wav`. Such a row gets a number: `song.1.0.wav`.
    """
    names = {_name(track) for track in tracks}
    for track, rows in zip(good, journal.found([track.id for track in good]), strict=True):
        found = to_builtins(rows)
        part = as_part(_name(track))
        if len(found) == 1 and part is not None and part[0].whole + part[1] in names:
            found = [found[0] | {"filename": _name(track, ".0")}]
        yield found
