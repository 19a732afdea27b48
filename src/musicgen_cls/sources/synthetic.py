"""Synthetic music in ten genres: it needs no download and no licence, has artists, and is reproducible."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from io import BytesIO
from pathlib import Path
from uuid import uuid4

from msgspec import Struct
from msgspec.structs import asdict

from musicgen_cls.audio.io import to_pcm
from musicgen_cls.errors import SourceError, StoreError, check_positive, check_rate
from musicgen_cls.files import CACHE_VARIABLE, as_path, cache_root
from musicgen_cls.formats.records import read
from musicgen_cls.sources.base import Source, Track
from musicgen_cls.synth import render as synth
from musicgen_cls.synth.styles import GENRES

VERSION = 1  # raise when the same arguments give other sounds, so that old files are not reused


class Recipe(Struct, frozen=True):
    """The arguments that determine the sound of a folder's tracks, as `synthetic.json` stores them."""

    version: int
    seed: int
    sample_rate: int
    seconds: float


class SyntheticGenres(Source):
    """Synthetic music under GTZAN's ten genre names, rendered by `prepare` into 16-bit mono wav files.

    Every four consecutive tracks share an artist, which means instruments and mix. Each track has its own key, tempo,
    chords and melody. A larger set starts with the tracks of a smaller one.

    Args:
        tracks_per_genre: 1 or more.
        seconds: length of a track, 0.1 or more.
        seed: random seed, 0 or more; another seed gives another collection.
        sample_rate: Hz, 4000 or more.
        folder: folder for the files, new or made with the same arguments; a folder of the cache if None.

    """

    def __init__(
        self,
        tracks_per_genre: int = 20,
        seconds: float = 30.0,
        seed: int = 0,
        sample_rate: int = 22050,
        folder: str | None = None,
    ) -> None:
        check_positive("--data.source.", tracks_per_genre=tracks_per_genre, seconds=seconds)
        check_rate("--data.source.", sample_rate)
        synth.check(GENRES[0], 0, seed, seconds, sample_rate)
        self.tracks_per_genre = tracks_per_genre
        self.seconds = seconds
        self.seed = seed
        self.sample_rate = sample_rate
        self.folder = folder

    @property
    def name(self) -> str:
        """A short name."""
        return "synthetic"

    @property
    def location(self) -> Path:
        """`folder`, or a folder of the cache whose name has the arguments that determine the sound."""
        if self.folder:
            return as_path(self.folder, "--data.source.folder")
        return cache_root() / f"synthetic-v{VERSION}-s{self.seed}-r{self.sample_rate}-{self.seconds:.9g}s"

    @property
    def genres(self) -> tuple[str, ...]:
        """The ten genres in alphabetical order."""
        return GENRES

    def tracks(self) -> list[Track]:
        """Every track by genre and number, whether it is rendered yet or not."""
        return [self._track(genre, index) for genre in self.genres for index in range(self.tracks_per_genre)]

    def prepare(self) -> None:
        """Render the missing files, on all cores.

        A process can be killed at any time, and two processes can do this at once.

        Raises:
            SourceError: the folder holds other files.
            StoreError: the folder cannot be written.
        """
        try:
            self._claim()
            missing = [track for track in self.tracks() if not track.path.exists()]
            if missing:
                self._render_all(missing)
        except OSError as error:
            raise StoreError(
                f"{self.location}: cannot write synthetic tracks ({error.strerror or error}); choose another folder "
                f"with the environment variable {CACHE_VARIABLE} or --data.source.folder"
            ) from error

    def _track(self, genre: str, index: int) -> Track:
        name = f"{genre}.{index:05d}"
        path = self.location / "genres" / genre / f"{name}.wav"
        return Track(name, path, genre, artist=synth.artist_name(genre, index), seconds=float(self.seconds))

    def _claim(self) -> None:
        """Write the arguments into the folder before the first track; refuse a folder of other arguments."""
        note = self.location / "synthetic.json"
        recipe = Recipe(VERSION, self.seed, self.sample_rate, float(self.seconds))
        if note.exists():
            found = read(note, Recipe, "delete it and the folder genres beside it, and the tracks are rendered again")
            if found != recipe:
                raise SourceError(
                    f"{self.location}: tracks of {asdict(found)}, not of {asdict(recipe)}; change --data.source.folder"
                )
        elif (self.location / "genres").exists():
            raise SourceError(f"{self.location}: has genres that are not synthetic; change --data.source.folder")
        else:
            write_whole(note, json.dumps(asdict(recipe)).encode())

    def _render_all(self, missing: list[Track]) -> None:
        from tqdm import tqdm

        # Threads are enough: most of the time is spent in numpy calls, which release the interpreter lock.
        pool = ThreadPoolExecutor(os.cpu_count() or 1)
        try:
            jobs = [pool.submit(self._render, track) for track in missing]
            for job in tqdm(as_completed(jobs), total=len(jobs), desc="Rendering synthetic tracks", unit="track"):
                job.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _render(self, track: Track) -> None:
        import soundfile

        index = int(track.id.rpartition(".")[2])
        waveform = synth.render(track.genre, index, seed=self.seed, seconds=self.seconds, sample_rate=self.sample_rate)
        wav = BytesIO()  # in memory first, since libsndfile does not report a full disk
        soundfile.write(wav, to_pcm(waveform), self.sample_rate, format="WAV", subtype="PCM_16")
        write_whole(track.path, wav.getvalue())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file and its folders; its name appears only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
