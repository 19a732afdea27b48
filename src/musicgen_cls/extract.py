"""`musiccli features`: the table of features of any collection."""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from musicgen_cls.audio.features import COLUMNS, FRAME, RATE, feature_row
from musicgen_cls.audio.io import Waveform, check_sound, read
from musicgen_cls.audio.windows import to_samples
from musicgen_cls.errors import AudioError, SourceError, UsageError, check_jobs, check_positive
from musicgen_cls.mistakes import command_parser, source_of_its_own
from musicgen_cls.paths import as_path, check_writable, writing
from musicgen_cls.sources.known import SOURCES
from musicgen_cls.sources.track import Source, Track
from musicgen_cls.workers import in_processes

Row = dict[str, Any]


def features(source: Source, out: str, seconds: float = 3.0, jobs: int = -1) -> Path:
    """Write the table of features of a collection: what FeatureTable reads, and Kaggle has of GTZAN.

    What a stopped run has done is not done again.

    Args:
        source: the tracks, as GTZAN or Folder.
        out: the table, a CSV file.
        seconds: length of the parts of tracks, s; what is left over at the end of a track belongs to none. A track of
            less than two parts is one part, whole: at 30 s this gives the rows of features_30_sec.csv.
        jobs: processes; -1 for as many as there are cores.

    Raises:
        SourceError: no track can be used.
        UsageError: the table is there already, or cannot be written; or a stopped run of another kind left its rows.
    """
    from tqdm import tqdm

    check_positive("--", seconds=seconds)
    if to_samples(seconds, RATE) < FRAME:
        raise UsageError(f"--seconds {seconds}: must be {FRAME / RATE:.3f} or more, the {FRAME} samples of a frame")
    check_jobs(jobs)
    table = as_path(out, "--out")
    if table.exists():
        raise UsageError(f"--out {table}: is there already; take it away, or name another")
    check_writable(table.parent, "--out TABLE.csv")
    source.prepare()
    tracks = source.tracks()
    _check_names(tracks)
    partial = table.with_name(table.name + ".partial")
    done = _begun(partial, {"location": str(source.location), "seconds": seconds})
    left = [track for track in tracks if track.id not in done]
    run = in_processes(functools.partial(_rows, seconds=seconds), left, jobs, "as they come")
    with closing(run), partial.open("a", encoding="utf-8") as journal:
        for name, found in tqdm(run, total=len(tracks), initial=len(done), desc="Features", unit="track"):
            done[name] = found
            journal.write(json.dumps([name, found]) + "\n")
            journal.flush()
    rows = [row for track in tracks if isinstance(found := done[track.id], list) for row in found]
    refused = [f"{track.path}: {done[track.id]}" for track in tracks if isinstance(done[track.id], str)]
    if rows:
        _write(table, rows)
    partial.unlink()
    if not rows:
        raise SourceError(f"{table}: not written, since no track can be used; the first: {refused[0]}")
    print(f"{len(rows)} rows of {len(tracks) - len(refused)} tracks: {table}")
    if refused:
        print("\n  ".join([f"{len(refused)} files left out:", *refused[:10]]))
    return table


def run(args: Sequence[str]) -> None:
    """Write the table that the command line asks for."""
    parser = command_parser(features, classes=SOURCES)
    parser.add_argument("--config", action="config")
    options = parser.instantiate_classes(parser.parse_args(list(args)))
    with source_of_its_own():
        features(options.source, options.out, options.seconds, options.jobs)


def _rows(track: Track, seconds: float) -> tuple[str, list[Row] | str]:
    """The rows of a track, or why there are none; with its id."""
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
    """Of a row: the track's, with the part before its ending."""
    return f"{track.id.removesuffix(track.path.suffix)}{part}{track.path.suffix}"


def _check_names(tracks: Sequence[Track]) -> None:
    """Refuse files that are named as the parts of another are: `song.1.wav` beside `song.wav`."""
    named = {_name(track): track for track in tracks}
    for name, track in named.items():
        whole, _, number = name.removesuffix(track.path.suffix).rpartition(".")
        if number.isdigit() and len(number) < 5 and (other := named.get(whole + track.path.suffix)):
            raise SourceError(f"{track.path}: named as part {number} of {other.path} would be in a table; rename it")


def _begun(partial: Path, what: dict[str, Any]) -> dict[str, list[Row] | str]:
    """Rows by track that a stopped run left; a line that is damaged, or was cut short, is left away.

    Raises:
        UsageError: they are of other parts, or of another source.
    """
    lines = partial.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) if partial.is_file() else []
    whole = [line for line in lines if line.endswith("\n")]
    head = json.dumps(what) + "\n"
    if whole and whole[0] != head:
        raise UsageError(
            f"{partial}: left by a stopped run on {whole[0].strip()}, not {head.strip()}; go on with that, take it "
            "away, or name another --out"
        )
    whole = whole or [head]
    with writing(partial) as temporary:
        temporary.write_text("".join(whole), encoding="utf-8")
    return dict(found for line in whole[1:] if (found := _noted(line)) is not None)


def _noted(line: str) -> tuple[str, list[Row] | str] | None:
    """What a line of a journal says of a track; None if it is damaged, so that the track is done again."""
    try:
        name, found = json.loads(line)
        wrong = isinstance(found, list) and any(row.keys() != {"filename", *COLUMNS, "label"} for row in found)
    except (ValueError, TypeError, AttributeError):
        return None
    return None if wrong or not isinstance(name, str) or not isinstance(found, list | str) else (name, found)


def _write(table: Path, rows: list[Row]) -> None:
    with writing(table) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["filename", *COLUMNS, "label"])
        writer.writeheader()
        writer.writerows(rows)
