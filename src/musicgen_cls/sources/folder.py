"""Your own music: one sub-folder for each genre."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from pathlib import Path

from musicgen_cls.errors import SourceError
from musicgen_cls.files import shown
from musicgen_cls.remote.url import as_place
from musicgen_cls.sources.base import (
    AUDIO_SUFFIXES,
    COMMON_SUFFIXES,
    IMAGES,
    PROTECTED,
    Problem,
    Source,
    Track,
    protected_format,
)
from musicgen_cls.sources.find import walk
from musicgen_cls.sources.names import AmbiguousName, Names, composed
from musicgen_cls.tables import read_csv


class GenreFolders(Source):
    """A folder with a sub-folder for each genre, which has the genre's name.

    Args:
        root: the folder, or a URL such as `s3://bucket/music`.
    """

    def __init__(self, root: str) -> None:
        self.root = root

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.location.resolve().name.lower()

    @property
    def location(self) -> Path:
        """The folder."""
        return as_place(self.root, "--data.source.root")

    @property
    def genres(self) -> tuple[str, ...]:
        """Names of the sub-folders that hold audio, sorted."""
        return tuple(sorted({track.genre for track in self._tracks}))

    def tracks(self) -> list[Track]:
        """One track for each audio file; its id is its path relative to the folder."""
        return list(self._tracks)

    def problems(self) -> list[Problem]:
        """Files without an audio suffix or in no sub-folder, missing files of `artists.csv`, unreadable folders."""
        known = (*self.suffixes, *IMAGES)
        odd = [Problem(f, self._why_not(f)) for f in self._files if f.suffix.lower() not in known]
        music = (*self.suffixes, *PROTECTED)
        depth = len(self.location.parts)
        loose = [f for f in self._all_files if f.suffix.lower() in music and len(f.parts) == depth + 1]
        missing = [self.location / name for name in self._artists[1]]
        return [
            *odd,
            *self._walked[1],
            *(Problem(file, "not in the sub-folder of a genre") for file in loose),
            *(Problem(file, "in artists.csv, but the file is missing") for file in missing),
        ]

    @cached_property
    def _tracks(self) -> list[Track]:
        from musicgen_cls.formats.generations import genres_of

        audio, depth = self._audio, len(self.location.parts)
        genres, artists = genres_of(self.location), self._artists[0]
        tracks = []
        for file, name in audio.items():
            folder, *others = file.parts[depth:]
            genre = composed(shown(genres.get("/".join([folder, *others]), folder) if genres else folder))
            tracks.append(Track(name, file, genre, artists.get(name)))
        return tracks

    def _why_not(self, file: Path) -> str:
        """The reason why a file is not a track."""
        closed = self.suffixes == AUDIO_SUFFIXES and file.suffix.lower() in PROTECTED
        return protected_format(file) if closed else f"not {self._kind}, by its suffix"

    @property
    @abstractmethod
    def _kind(self) -> str:
        """What the tracks are, in words."""

    @property
    def _all_files(self) -> list[Path]:
        return self._walked[0]

    @cached_property
    def _walked(self) -> tuple[list[Path], list[Problem]]:
        """The files, and the folders that cannot be read."""
        found = walk(self.location, linked=True)
        if not found[0] and not self.location.is_dir():
            raise SourceError(
                f"{self.location}: no such folder; set --data.source.root to one with a sub-folder for each genre"
            )
        return found

    @cached_property
    def _files(self) -> list[Path]:
        """The files in the sub-folders."""
        depth = len(self.location.parts)
        return [file for file in self._all_files if len(file.parts) > depth + 1]

    @cached_property
    def _audio(self) -> dict[Path, str]:
        """The audio files, and their paths relative to the folder as text."""
        audio = [file for file in self._files if file.suffix.lower() in self.suffixes]
        if not audio and self._walked[1]:
            raise SourceError(f"{self.location}: no {self._kind}; {self._walked[1][0]}; change its permissions")
        if not audio:
            audio_wanted = self.suffixes == AUDIO_SUFFIXES
            wanted = COMMON_SUFFIXES if audio_wanted else f"{', '.join(suffix[1:] for suffix in self.suffixes)} files"
            raise SourceError(
                f"{self.location}: no {self._kind} in sub-folders; put {wanted} into a sub-folder for each genre"
            )
        depth = len(self.location.parts)
        return {file: shown("/".join(file.parts[depth:])) for file in audio}

    @cached_property
    def _artists(self) -> tuple[dict[str, str], list[str]]:
        """The artist of each file in `artists.csv`, and the names in it that match no file."""
        table = self.location / "artists.csv"
        if not table.is_file():
            return {}, []
        index, artists, missing = Names(self._audio.values()), dict[str, str](), list[str]()
        for line, row in read_csv(table, ("file", "artist"), "it needs the columns file,genre,artist"):
            if not row["artist"]:
                continue
            try:
                name = index.find(row["file"]) or index.find(row["file"].replace("\\", "/"))
            except AmbiguousName as error:
                raise SourceError(f"{table} line {line}: {error}; write the exact name of the file") from error
            if name is None:
                missing.append(row["file"])
            else:
                artists[name] = row["artist"]
        return artists, missing


class Folder(GenreFolders):
    """A folder with a sub-folder for each genre, which has the genre's name.

    The files may be at any depth in the sub-folders: wav, flac, mp3, m4a, ogg, opus, wma, aiff and others, also videos,
    with any sample rate and number of channels. Artists come from `artists.csv` in the folder (columns
    `file,genre,artist`, files relative to the folder), or else from the files' tags. Files with names like `song.0.wav`
    and `song.1.wav` can be parts of one track. The genre of a generated recording comes from `continuations.jsonl`.

    Args:
        root: the folder, or a URL such as `s3://bucket/music`.
    """

    parts_by_name = True

    @property
    def _kind(self) -> str:
        return "audio" if self.suffixes == AUDIO_SUFFIXES else " or ".join(self.suffixes)
