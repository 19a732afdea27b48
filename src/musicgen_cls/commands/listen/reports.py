"""The tracks of test reports, with the files of their audio where they can be found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from musicgen_cls.errors import UsageError
from musicgen_cls.files import shown
from musicgen_cls.formats import records
from musicgen_cls.formats.reports import Report, ScoredAnswer
from musicgen_cls.sources.find import find_files

_REMEDY = "test the checkpoint again"


@dataclass(frozen=True)
class Tested:
    """A test report.

    Attributes:
        report: its figures.
        tracks: its tracks, mistakes first, the least probable true genre first.
        files: the audio of each track that has some on this machine, by the name of the track.
    """

    report: Report
    tracks: list[ScoredAnswer]
    files: dict[str, Path]


def reports_beside(checkpoint: Path) -> list[Path]:
    """The folders of a checkpoint's test reports, which `test` writes beside it."""
    found = sorted(checkpoint.parent.glob("*/tracks.csv"))
    return [path.parent for path in found if path.parent.name.startswith(f"{checkpoint.stem}-test-")]


def read_tested(folder: Path) -> Tested:
    """A report with its tracks.

    Raises:
        RecordError: the report is damaged.
        UsageError: the folder has no report of a classifier.
    """
    for name in ("report.json", "tracks.csv"):
        if not (folder / name).is_file():
            raise UsageError(
                f"--report {folder}: has no {name}; name the folder of a classifier's report, which musiccli test wrote"
            )
    report = records.read(folder / "report.json", Report, _REMEDY)
    tracks = records.read_table(folder / "tracks.csv", ScoredAnswer, _REMEDY)
    tracks.sort(key=lambda row: (row.genre == row.predicted, row.true_probability, row.track))
    return Tested(report, tracks, _files(report.location, {row.track for row in tracks}))


def _files(location: str | None, wanted: set[str]) -> dict[str, Path]:
    """The audio of tracks in the folder of a collection.

    A track is named by the path of its file in the folder, with or without the suffix, or by the name of its file.
    """
    root = Path(location or "")
    if location is None or not root.is_dir():
        return {}
    try:
        files = find_files([location], "--report")
    except UsageError:  # no audio there
        return {}
    found: dict[str, Path] = {}
    stems = Counter(path.stem for path in files)
    for path in files:
        place = path.relative_to(root)
        names = [place.as_posix(), place.with_suffix("").as_posix(), *([path.stem] if stems[path.stem] == 1 else [])]
        for name in map(shown, names):
            if name in wanted:
                found.setdefault(name, path)
    return found
