"""The rows of a data set of the Hugging Face hub, read once: tracks with labels and splits, audio as files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from musicgen_cls.errors import SourceError, nearest, one_line
from musicgen_cls.files import safe_name, shown, writing
from musicgen_cls.sources.base import Problem, Track
from musicgen_cls.sources.hub_files import needed

_AUDIO = ("audio", "sound", "clip")
_LABELS = ("genre", "label", "genres", "labels", "genre_top", "style", "class", "category")
_ARTISTS = ("artist", "artist_name")
_MAGIC = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"FORM": ".aiff", b".snd": ".au", b"ID3": ".mp3"}


@dataclass(frozen=True)
class Index:
    """The tracks of a data set with their splits, and the files that cannot be used."""

    genres: list[str]
    tracks: list[Track]
    split_of: dict[str, str]
    problems: list[Problem]


@dataclass(frozen=True)
class Columns:
    """The columns that a user named; None for those to find."""

    audio: str | None = None
    label: str | None = None
    artist: str | None = None


class RowReader:
    """Reads a data set once, row by row, and writes audio that is no file of its own into a folder.

    Args:
        name: of the data set, for messages.
        part: the name of its part; None if it has one only.
        columns: the columns that the user named.
        folder: the data set.
        place: where audio files are written.
    """

    def __init__(self, name: str, part: str | None, columns: Columns, folder: Path, place: Path) -> None:
        self.name, self.part, self.columns, self.folder, self.place = name, part, columns, folder, place
        self.datasets = needed("datasets", f"--data.source.path {name}")

    def index(self) -> Index:
        """The index of all rows.

        Raises:
            SourceError: the data set cannot be read, or has no such column.
        """
        from tqdm import tqdm

        splits, in_files = self._splits()
        features = next(iter(splits.values())).features
        audio = self._column("audio", features, _is_audio, _AUDIO)
        label = self._column("label", features, _is_class, _LABELS)
        artist = self.columns.artist or next((name for name in _ARTISTS if name in features), None)
        if artist is not None and artist not in features:
            raise self._no_column("artist", artist, features)
        names = getattr(features[label], "names", None)
        plain = self.datasets.Value("string") if in_files else {name: self.datasets.Value(kind) for name, kind in _RAW}
        tracks, problems, split_of = list[Track](), list[Problem](), dict[str, str]()
        for split, rows in splits.items():
            wanted = [audio, label, *([artist] if artist else [])]
            rows = rows.select_columns(wanted).cast_column(audio, plain)  # without decoding
            for number, row in enumerate(tqdm(self._rows(rows), desc=f"Reading {split}", unit="track")):
                path = self._file(row[audio], split, number)
                genre = _label(row[label], names)
                if path is None or genre is None:
                    what = "no audio" if path is None else "no label"
                    problems.append(Problem(self.folder / split / str(number), f"row {number} of {split} has {what}"))
                    continue
                id = f"{split}/{number:05d}_{shown(path.stem).removeprefix(f'{number:05d}_')}"
                tracks.append(Track(id, path, genre, str(row[artist]) if artist and row[artist] else None))
                split_of[id] = split
        if not tracks:
            raise SourceError(f"{self.name}: no row has audio and a label; name other columns")
        present = Counter(track.genre for track in tracks)
        genres = [name for name in names if present[name]] if names else sorted(present)
        return Index(genres, tracks, split_of, problems)

    def _splits(self) -> tuple[dict[str, Any], bool]:
        """The splits as streams of rows, and whether the audio of a row is the name of a file."""
        try:
            parts = self.datasets.get_dataset_config_names(str(self.folder))
            if self.part is None and len(parts) > 1 and "default" not in parts:
                raise SourceError(
                    f"{self.name}: has the parts {', '.join(parts)}; name one, as --data.source.config {parts[0]}"
                )
            if self.part is not None and self.part not in parts:
                near = nearest(self.part, parts) or f"; it has {', '.join(parts)}"
                raise SourceError(f"--data.source.config {self.part}: {self.name} has no such part{near}")
            builder = self.datasets.load_dataset_builder(str(self.folder), self.part)
            splits = builder.as_streaming_dataset()
        except SourceError:
            raise
        except Exception as error:  # many kinds, for a folder that is no data set, or is damaged
            scripted = any(self.folder.glob("*.py"))
            remedy = (
                "it needs a script, which is not run; use --data.source.revision refs/convert/parquet"
                if scripted
                else "name one in Parquet, or a folder of audio"
            )
            raise SourceError(
                f"{self.name}: cannot be read as a data set ({one_line(error)[:150]}); {remedy}"
            ) from error
        if next(iter(splits.values())).features is None:
            splits = {name: rows._resolve_features() for name, rows in splits.items()}
        return dict(splits), "folder" in type(builder).__name__.lower()

    def _rows(self, rows: Any) -> Iterator[dict[str, Any]]:
        try:
            yield from rows
        except SourceError:
            raise
        except Exception as error:  # a damaged file
            raise SourceError(
                f"{self.name}: a row cannot be read ({one_line(error)[:150]}); fetch the data set again"
            ) from error

    def _column(self, role: str, features: Any, fits: Callable[[Any], bool], usual: tuple[str, ...]) -> str:
        """The column of the audio or the labels: the one that the user named, or else by its type or name."""
        given: str | None = getattr(self.columns, role)
        if given is not None:
            if given not in features:
                raise self._no_column(role, given, features)
            return given
        found = [name for name, kind in features.items() if fits(kind)] or [n for n in usual if n in features]
        found = [name for name in usual if name in found] or found
        if not found:
            raise SourceError(
                f"{self.name}: no column of {'audio' if role == 'audio' else 'labels'}; it has "
                f"{', '.join(features)}; name one with --data.source.{role}"
            )
        return str(found[0])

    def _no_column(self, role: str, given: str, features: Any) -> SourceError:
        near = nearest(given, features)
        return SourceError(
            f"--data.source.{role} {given}: {self.name} has no such column{near}; it has {', '.join(features)}"
        )

    def _file(self, audio: Any, split: str, number: int) -> Path | None:
        """The file of a row's audio, which is written into the cache if it is no file of the data set."""
        if audio is None:
            return None
        path, content = (audio, None) if isinstance(audio, str) else (audio.get("path"), audio.get("bytes"))
        if content is None and path and Path(path).is_file():
            return Path(path)
        if content is None and not path:
            return None
        stem = safe_name(Path((path or "").partition("::")[0]).stem, 80)
        if written := self._written(split).get(number):
            return written
        if content is None:
            content = self._opened(path)
        target = self.place / safe_name(split) / f"{number:05d}_{stem}{_suffix(path or '', content)}"
        with writing(target) as temporary:
            temporary.write_bytes(content)
        return target

    @cache  # noqa: B019  a reader lives as long as it reads
    def _written(self, split: str) -> dict[int, Path]:
        """The files of a run that was stopped, by the number of the row."""
        found = (self.place / safe_name(split)).glob("[0-9]*_*")
        return {int(path.name.partition("_")[0]): path for path in found}

    def _opened(self, path: str) -> bytes:
        """The content of a file in an archive."""
        import fsspec  # comes with datasets

        with fsspec.open(path, "rb") as file:
            return bytes(file.read())


_RAW = (("bytes", "binary"), ("path", "string"))


def _is_audio(kind: Any) -> bool:
    return type(kind).__name__ == "Audio" or (isinstance(kind, dict) and {"bytes", "path"} <= kind.keys())


def _is_class(kind: Any) -> bool:
    return type(kind).__name__ == "ClassLabel"


def _label(value: Any, names: list[str] | None) -> str | None:
    """A label as text; None for a row without one, which has -1 in some data sets."""
    if names is not None:
        return names[value] if isinstance(value, int) and 0 <= value < len(names) else None
    if isinstance(value, list | dict):
        raise SourceError("--data.source.label: a row has several labels; name a column with one genre for each row")
    return str(value).strip() or None if value is not None else None


def _suffix(path: str, content: bytes) -> str:
    suffix = Path(path).suffix.lower()
    return suffix or next((suffix for magic, suffix in _MAGIC.items() if content.startswith(magic)), ".mp3")


def read_index(path: Path) -> Index | None:
    """The index in a file; None if there is none, it is damaged, or a file of it is missing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        tracks = [Track(id, Path(file), genre, artist) for id, file, genre, artist, _ in content["tracks"]]
        problems = [Problem(Path(file), reason) for file, reason in content["problems"]]
        found = Index(content["genres"], tracks, {row[0]: row[4] for row in content["tracks"]}, problems)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if all(track.path.is_file() for track in tracks) else None


def write_index(path: Path, index: Index) -> None:
    """Write the index to a file."""
    rows = [[t.id, str(t.path), t.genre, t.artist, index.split_of[t.id]] for t in index.tracks]
    problems = [[str(problem.path), problem.reason] for problem in index.problems]
    content = {"genres": index.genres, "tracks": rows, "problems": problems}
    with writing(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")
