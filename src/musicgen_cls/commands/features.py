"""`musiccli features`: write the table of features of a collection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct, defstruct, to_builtins
from msgspec.structs import asdict

from musicgen_cls.audio.features import COLUMNS, FRAME, RATE, feature_row
from musicgen_cls.audio.io import Waveform, check_sound, read
from musicgen_cls.audio.windows import to_samples
from musicgen_cls.collection.store import file_keys
from musicgen_cls.commands.workers import in_processes
from musicgen_cls.engines.local import Mapped
from musicgen_cls.engines.on_ray import Engine, cluster_of
from musicgen_cls.errors import AudioError, SourceError, UsageError, check_jobs, check_positive, counted
from musicgen_cls.files import as_path, check_writable, writing
from musicgen_cls.formats.records import finite, lines, seal
from musicgen_cls.sources.base import Source, Track
from musicgen_cls.sources.parts import as_part
from musicgen_cls.tables import write_csv

Row = dict[str, Any]

_FIELDS = [("filename", str), ("length", int), *((name, float) for name in COLUMNS[1:]), ("label", str)]
_Row = defstruct("_Row", _FIELDS, forbid_unknown_fields=True)


class RunHeader(Struct, frozen=True):
    """The first line of the journal of a run: its source and the length of parts."""

    location: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.location} with --seconds {self.seconds:g}"


class TrackRows(Struct, frozen=True):
    """A line of the journal: the rows of a track, or the reason why there are none.

    `version` has the size and the modification time of the file. Lines of older versions of this package have none.
    """

    track: str
    version: str
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
    cluster = cluster_of(engine, address, ordered=False)
    table = as_path(out, "--out")
    if table.exists():
        raise UsageError(f"--out {table}: exists; delete it, or name another file")
    check_writable(table.parent, "--out TABLE.csv")
    source.prepare()
    with _alone(table):
        return _features(source, table, seconds, cluster or partial(in_processes, jobs=jobs, order="as they come"))


@contextmanager
def _alone(table: Path) -> Iterator[None]:
    """Lock the table; raise `UsageError` if another process is writing it."""
    from filelock import FileLock, Timeout

    lock = FileLock(table.with_name(f".{table.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(f"--out {table}: another process is writing it; wait for it, or name another file") from None
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def _features(source: Source, table: Path, seconds: float, mapped: Mapped) -> Path:
    from tqdm import tqdm

    tracks = source.tracks()
    unfinished = table.with_name(table.name + ".partial")
    keys = file_keys(track.path for track in tracks)  # before the files are read
    versions = {track.id: f"{size}|{mtime_ns}" for track, (_, size, mtime_ns) in zip(tracks, keys, strict=True)}
    done = _finished_rows(unfinished, RunHeader(str(source.location), float(seconds)), versions)
    left = [track for track in tracks if track.id not in done]
    run = mapped(partial(_rows, seconds=seconds), left)
    with closing(run), unfinished.open("ab") as journal:
        for name, found in tqdm(run, total=len(tracks), initial=len(done), desc="Features", unit="track"):
            done[name] = found
            try:
                journal.write(seal(finite({"track": name, "version": versions[name], "found": found})))
                journal.flush()
            except OSError as error:
                raise UsageError(
                    f"{unfinished}: cannot be written ({error.strerror}); free space, and the same command resumes"
                ) from error
    rows = [row for own in _with_unique_names(tracks, done) for row in own]
    refused = [f"{track.path}: {done[track.id]}" for track in tracks if isinstance(done[track.id], str)]
    if rows:
        write_csv(table, ["filename", *COLUMNS, "label"], rows)
    unfinished.unlink()
    if not rows:
        raise SourceError(f"{table}: not written, since no track can be used; the first: {refused[0]}")
    print(f"{counted(len(rows), 'row')} of {counted(len(tracks) - len(refused), 'track')}: {table}")
    if refused:
        print("\n  ".join([f"{counted(len(refused), 'file')} left out:", *refused[:10]]))
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
    return {
        "filename": _name(track, part),
        **feature_row(waveform, RATE),
        "length": len(waveform),
        "label": track.genre,
    }


def _name(track: Track, part: str = "") -> str:
    """The file name of a row: the track's id with the part before its suffix."""
    return f"{track.id.removesuffix(track.path.suffix)}{part}{track.path.suffix}"


def _with_unique_names(tracks: Sequence[Track], done: dict[str, list[Row] | str]) -> Iterator[list[Row]]:
    """The rows of each track that has any, with unique names.

    The name of a track with one row can equal the name of a row of another track, such as `song.1.wav` beside
    `song.wav`. Such a row gets a number: `song.1.0.wav`.
    """
    names = {_name(track) for track in tracks}
    for track in tracks:
        if not isinstance(found := done[track.id], list):
            continue
        part = as_part(_name(track))
        if len(found) == 1 and part is not None and part[0].whole + part[1] in names:
            found = [found[0] | {"filename": _name(track, ".0")}]
        yield found


def _finished_rows(unfinished: Path, header: RunHeader, versions: dict[str, str]) -> dict[str, list[Row] | str]:
    """The rows of a stopped run by track, without tracks whose line is damaged or whose file has changed.

    Raises:
        UsageError: the rows are of another source or another length of parts, or their header is damaged.
    """
    first = next(lines(unfinished, RunHeader, sealed=True), None)
    if first is not None and first.value != header and not first.torn:
        reason = f"of a stopped run on {first.value}, not {header}" if first.value else f"line 1: {first.reason}"
        raise UsageError(f"{unfinished}: {reason}; complete that run, delete the file, or give another --out")
    own = (line for line in lines(unfinished, TrackRows, sealed=True) if line.value is not None)
    whole = [line for line in own if line.value and line.value.version == versions.get(line.value.track)]
    with writing(unfinished) as temporary:
        temporary.write_bytes(b"".join([seal(asdict(header)), *(line.raw for line in whole)]))
    done = (line.value for line in whole if line.value is not None)
    return {line.track: to_builtins(line.found) for line in done}
