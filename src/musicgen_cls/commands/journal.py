"""The journal of a command that writes one file from many tracks, so that a stopped run resumes."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import asdict

from musicgen_cls.collection.store import file_keys
from musicgen_cls.errors import RecordError, UsageError, counted
from musicgen_cls.files import NAME_BYTES, as_path, check_writable, shortened, shown, writing
from musicgen_cls.formats.records import Damage, check_seal, finite, lines, parse, seal
from musicgen_cls.sources.base import Track

_PARTIAL = ".partial"


class TrackLine(Struct, frozen=True):
    """A line of a journal. A subclass has `found`: a list of the rows of the track, or the reason why there are none.

    `version` has the path, the size and the modification time of the file. Lines that older versions of this package
    wrote have no path in it, so that their tracks are computed again.
    """

    track: str
    version: str


class _Place(NamedTuple):
    """Where the line of a track begins, bytes, and how many rows it has."""

    offset: int
    rows: int


class Journal:
    """The finished tracks of a run: in a file beside its result, until the result is complete.

    Lines that are damaged, of other tracks, or of files that have changed since, are removed at the start; so are those
    of files that could not be used, which can be readable now.

    Args:
        result: the file that the run writes.
        header: a record of the arguments that the rows depend on; its `str` names them. It is the first line.
        kind: the schema of the other lines, a `TrackLine`.
        versions: the version of the file of each track, by the track's id; see `versions_of`.

    Raises:
        UsageError: there are rows, of a run with other arguments or with a damaged header.
    """

    def __init__(self, result: Path, header: Struct, kind: type[TrackLine], versions: Mapping[str, str]) -> None:
        self.path = result.with_name(shortened(result.name, NAME_BYTES - len(_PARTIAL)) + _PARTIAL)
        self.refused: dict[str, str] = {}
        """The reason why a track has no rows, by its id."""
        self._kind, self._versions = kind, versions
        self._places: dict[str, _Place] = {}
        self._check(header)
        self._tidy(header)

    def __contains__(self, track: str) -> bool:
        """Whether a track is finished."""
        return track in self._places

    def rows(self, track: str) -> int:
        """The number of rows of a finished track."""
        return self._places[track].rows

    def record(self, results: Generator[tuple[str, Any], None, None], title: str) -> None:
        """Write the results for other tracks as they come, with a progress bar.

        Args:
            results: the id of each track, and its rows or the reason why there are none.
            title: of the progress bar.
        """
        from tqdm import tqdm

        total, done = len(self._versions), len(self._places)
        with closing(results), self.path.open("ab") as file:
            for track, found in tqdm(results, total=total, initial=done, desc=title, unit="track"):
                self._note(track, found, file.tell())
                try:
                    file.write(seal(finite({"track": track, "version": self._versions[track], "found": found})))
                    file.flush()
                except OSError as error:
                    raise UsageError(
                        f"{self.path}: cannot be written ({error.strerror}); free space, and the same command resumes"
                    ) from error

    def usable(self, tracks: Sequence[Track]) -> tuple[list[Track], list[str]]:
        """The finished tracks that have rows, and a line for each of the others: its file and the reason."""
        good = [track for track in tracks if track.id not in self.refused]
        return good, [f"{track.path}: {self.refused[track.id]}" for track in tracks if track.id in self.refused]

    def found(self, tracks: Sequence[str]) -> Iterator[Any]:
        """The rows of finished tracks, in their order, or the reasons why there are none.

        Raises:
            RecordError: the file was damaged since the line was written.
        """
        with self.path.open("rb") as file:
            for track in tracks:
                file.seek(self._places[track].offset)
                raw = file.readline()
                try:
                    check_seal(raw)
                    yield parse(raw, self._kind).found  # type: ignore[attr-defined]
                except Damage as damage:
                    raise RecordError(f"{self.path}: {damage}; the same command computes that track again") from None

    def remove(self) -> None:
        """Remove the file, once the result is complete."""
        self.path.unlink()

    def _check(self, header: Struct) -> None:
        first, second = (*islice(lines(self.path, type(header), sealed=True), 2), None, None)[:2]
        if first is None or second is None or first.torn:  # no track is finished
            return
        if first.value != header:
            reason = f"of a stopped run on {first.value}, not {header}" if first.value else f"line 1: {first.reason}"
            raise UsageError(f"{self.path}: {reason}; complete that run, delete the file, or give another --out")

    def _tidy(self, header: Struct) -> None:
        with writing(self.path) as temporary, temporary.open("wb") as file:
            file.write(seal(asdict(header)))
            for line in lines(self.path, self._kind, sealed=True):
                if line.value is None or line.value.version != self._versions.get(line.value.track):
                    continue
                if not isinstance(line.value.found, str):  # type: ignore[attr-defined]
                    self._note(line.value.track, line.value.found, file.tell())  # type: ignore[attr-defined]
                    file.write(line.raw)

    def _note(self, track: str, found: Any, offset: int) -> None:
        refused = isinstance(found, str)
        self._places[track] = _Place(offset, 0 if refused else len(found))
        if refused:
            self.refused[track] = found


def versions_of(tracks: Sequence[Track]) -> dict[str, str]:
    """The version of the file of each track, by the track's id: its path, size and modification time."""
    keys = file_keys(track.path for track in tracks)
    return {track.id: "|".join(map(str, key)) for track, key in zip(tracks, keys, strict=True)}


def new_file(out: str, example: str) -> Path:
    """The path of a file that a command writes, in a folder that can be written.

    Args:
        out: the option `--out`.
        example: what to give instead, for the error.

    Raises:
        UsageError: it exists, or its folder cannot be written.
    """
    path = as_path(out, "--out")
    if path.exists():
        raise UsageError(f"--out {path}: exists; delete it, or name another file")
    check_writable(path.parent, f"--out {example}")
    return path


def print_left_out(refused: Sequence[str]) -> None:
    """Print the files that have no rows, each with its reason: the first ten, and how many there are."""
    if refused:
        print("\n  ".join([f"{counted(len(refused), 'file')} left out:", *map(shown, refused[:10])]))
