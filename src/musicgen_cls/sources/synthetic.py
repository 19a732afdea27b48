"""Synthetic music in ten genres: it needs no download and no licence, has artists, and is reproducible."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from musicgen_cls.audio.io import write_wav
from musicgen_cls.errors import check_positive, check_rate
from musicgen_cls.files import as_path, cache_root
from musicgen_cls.sources.base import Track
from musicgen_cls.sources.synthetic_files import SyntheticSource
from musicgen_cls.synth import render as synth
from musicgen_cls.synth.styles import GENRES

VERSION = 1  # raise when the same arguments give other sounds, so that old files are not reused


class Recipe(Struct, frozen=True):
    """The arguments that determine the sound of a folder's tracks, as `synthetic.json` stores them."""

    version: int
    seed: int
    sample_rate: int
    seconds: float


class SyntheticGenres(SyntheticSource):
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
        super().__init__(tracks_per_genre, seconds)
        self.tracks_per_genre = tracks_per_genre
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
    def _recipe(self) -> Recipe:
        return Recipe(VERSION, self.seed, self.sample_rate, float(self.seconds))

    def _make(self, track: Track, index: int) -> None:
        waveform = synth.render(track.genre, index, seed=self.seed, seconds=self.seconds, sample_rate=self.sample_rate)
        write_wav(track.path, waveform, self.sample_rate)
