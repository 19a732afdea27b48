"""What sources of synthetic music share: files under GTZAN's ten genre names, made by `prepare`."""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from msgspec import Struct
from msgspec.structs import asdict

from musicgen_cls.errors import SourceError, StoreError
from musicgen_cls.files import CACHE_VARIABLE
from musicgen_cls.formats.records import read
from musicgen_cls.sources.base import Source, Track
from musicgen_cls.synth import render as synth
from musicgen_cls.synth.styles import GENRES


class SyntheticSource(Source):
    """Files in genre folders of `location`, made from arguments, which `synthetic.json` beside them has.

    A larger set starts with the files of a smaller one.

    Args:
        per_genre: files in a genre.
        seconds: length of a file.
    """

    MAKING: ClassVar[str] = "Rendering synthetic tracks"
    """What the progress bar says while files are made."""

    def __init__(self, per_genre: int, seconds: float) -> None:
        self._per_genre = per_genre
        self.seconds = seconds

    @property
    @abstractmethod
    def _recipe(self) -> Struct:
        """The arguments that determine the content of the files."""

    @abstractmethod
    def _make(self, track: Track, index: int) -> None:
        """Write the file of a track, the one with the number `index` in its genre, whole or not at all."""

    @property
    def genres(self) -> tuple[str, ...]:
        """The ten genres in alphabetical order."""
        return GENRES

    def tracks(self) -> list[Track]:
        """Every track by genre and number, whether its file is there yet or not."""
        return [self._track(genre, index) for genre in self.genres for index in range(self._per_genre)]

    def prepare(self) -> None:
        """Make the missing files, on all cores.

        A process can be killed at any time, and two processes can do this at once.

        Raises:
            SourceError: the folder holds other files.
            StoreError: the folder cannot be written.
        """
        try:
            self._claim()
            missing = [track for track in self.tracks() if not track.path.exists()]
            if missing:
                self._make_all(missing)
        except OSError as error:
            raise StoreError(
                f"{self.location}: cannot write synthetic tracks ({error.strerror or error}); choose another folder "
                f"with the environment variable {CACHE_VARIABLE} or --data.source.folder"
            ) from error

    def _track(self, genre: str, index: int) -> Track:
        name = f"{genre}.{index:05d}"
        path = self.location / "genres" / genre / f"{name}{self.suffixes[0]}"
        return Track(name, path, genre, artist=synth.artist_name(genre, index), seconds=float(self.seconds))

    def _claim(self) -> None:
        """Write the arguments into the folder before the first track; refuse a folder of other arguments."""
        note, recipe = self.location / "synthetic.json", self._recipe
        if note.exists():
            remedy = "delete it and the folder genres beside it, and the tracks are rendered again"
            found: Any = read(note, type(recipe), remedy)
            if found != recipe:
                raise SourceError(
                    f"{self.location}: tracks of {asdict(found)}, not of {asdict(recipe)}; change --data.source.folder"
                )
        elif (self.location / "genres").exists():
            raise SourceError(f"{self.location}: has genres that are not synthetic; change --data.source.folder")
        else:
            write_whole(note, json.dumps(asdict(recipe)).encode())

    def _make_all(self, missing: list[Track]) -> None:
        from tqdm import tqdm

        # Threads are enough: most of the time is spent in numpy calls, which release the interpreter lock.
        pool = ThreadPoolExecutor(os.cpu_count() or 1)
        try:
            jobs = [pool.submit(self._make, track, int(track.id.rpartition(".")[2])) for track in missing]
            for job in tqdm(as_completed(jobs), total=len(jobs), desc=self.MAKING, unit="track"):
                job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file and its folders; its name appears only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
