"""Anyone's own music: one sub-folder a genre."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from musicgen_cls.errors import SourceError
from musicgen_cls.files import as_path, shown
from musicgen_cls.sources.base import AUDIO_SUFFIXES, OTHER_AUDIO, PICTURES, Problem, Source, Track, other_format
from musicgen_cls.sources.names import AmbiguousName, Names, composed
from musicgen_cls.tables import read_csv


class Folder(Source):
    """A folder with a sub-folder for each genre, named after it; generated music names its genres itself.

    Files lie in them at any depth: wav, flac, ogg, opus, mp3, aiff and others, any rate, any number of channels.
    Artists come from `artists.csv` in the folder (columns `file,genre,artist`, files relative to the folder), else from
    the files' tags. Files may be parts of tracks by their names, as `song.0.wav` and `song.1.wav`.

    Args:
        root: the folder.
    """

    names_tell_parts = True

    def __init__(self, root: str) -> None:
        self.root = root

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.location.resolve().name.lower()

    @property
    def location(self) -> Path:
        """The folder."""
        return as_path(self.root, "--data.source.root")

    @property
    def genres(self) -> tuple[str, ...]:
        """Names of the sub-folders that hold audio, sorted."""
        return tuple(sorted({track.genre for track in self._tracks}))

    def tracks(self) -> list[Track]:
        """One track for every audio file; its id is its path below the folder."""
        return list(self._tracks)

    def problems(self) -> list[Problem]:
        """Files among the music whose names are not those of audio, and audio that lies in no sub-folder."""
        known = (*self.suffixes, *PICTURES)
        odd = [Problem(f, self._why_not(f)) for f in self._files if f.suffix.lower() not in known]
        music = (*self.suffixes, *OTHER_AUDIO)
        loose = [f for f in sorted(self.location.iterdir()) if f.suffix.lower() in music and f.is_file()]
        astray = [self.location / name for name in self._artists[1]]
        return [
            *odd,
            *(Problem(file, "in no genre's sub-folder") for file in loose if not file.name.startswith(".")),
            *(Problem(file, "named in artists.csv, but not there") for file in astray),
        ]

    @cached_property
    def _tracks(self) -> list[Track]:
        from musicgen_cls.formats.generations import genres_of

        root, tracks, genres = self.location, [], genres_of(self.location)
        for file, name in self._audio.items():
            relative = file.relative_to(root)
            genre = composed(shown(genres.get(relative.as_posix(), relative.parts[0])))
            tracks.append(Track(name, file, genre, self._artists[0].get(name)))
        return tracks

    def _why_not(self, file: Path) -> str:
        """Why a file is no track."""
        other = self.suffixes == AUDIO_SUFFIXES and file.suffix.lower() in OTHER_AUDIO
        return other_format(file) if other else f"not {self._kind} by its name"

    @property
    def _kind(self) -> str:
        """What tracks are."""
        return "audio" if self.suffixes == AUDIO_SUFFIXES else " or ".join(self.suffixes)

    @cached_property
    def _files(self) -> list[Path]:
        if not self.location.is_dir():
            raise SourceError(
                f"{self.location}: no such folder; set --data.source.root to one with a sub-folder a genre"
            )
        root = self.location
        files = (path for path in root.glob("*/**/*") if path.is_file())
        return sorted(f for f in files if not any(part.startswith(".") for part in f.relative_to(root).parts))

    @cached_property
    def _audio(self) -> dict[Path, str]:
        """The audio files, and their paths below the folder as text."""
        root = self.location
        audio = [file for file in self._files if file.suffix.lower() in self.suffixes]
        if not audio:
            wanted = ", ".join(suffix[1:] for suffix in self.suffixes)
            raise SourceError(
                f"{self.location}: no {self._kind} in sub-folders; put {wanted} files into one sub-folder a genre"
            )
        return {file: shown(file.relative_to(root).as_posix()) for file in audio}

    @cached_property
    def _artists(self) -> tuple[dict[str, str], list[str]]:
        """The artist of each file that `artists.csv` names, and the names in it that mean no file."""
        table = self.location / "artists.csv"
        if not table.is_file():
            return {}, []
        index, artists, astray = Names(self._audio.values()), dict[str, str](), list[str]()
        for line, row in read_csv(table, ("file", "artist"), "it needs file,genre,artist"):
            if not row["artist"]:
                continue
            try:
                name = index.find(row["file"]) or index.find(row["file"].replace("\\", "/"))
            except AmbiguousName as error:
                raise SourceError(f"{table} line {line}: {error}; write the name as the file has it") from error
            if name is None:
                astray.append(row["file"])
            else:
                artists[name] = row["artist"]
        return artists, astray
