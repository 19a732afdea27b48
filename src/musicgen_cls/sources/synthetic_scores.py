"""The scores of the synthetic music: composed songs in ten genres, with nothing to download."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from musicgen_cls.errors import check_positive
from musicgen_cls.files import as_path, cache_root
from musicgen_cls.notes.composed import compose
from musicgen_cls.notes.midi import SUFFIXES, write_midi
from musicgen_cls.sources.base import Track
from musicgen_cls.sources.synthetic_files import SyntheticSource
from musicgen_cls.synth import render as synth
from musicgen_cls.synth.styles import GENRES

VERSION = 1  # raise when the same arguments give other notes, so that old files are not reused


class ScoreRecipe(Struct, frozen=True):
    """The arguments that determine the notes of a folder's pieces, as `synthetic.json` stores them."""

    scores: int
    """The version."""

    seed: int
    seconds: float


class SyntheticScores(SyntheticSource):
    """The scores that `SyntheticGenres` is rendered from, as MIDI files under GTZAN's ten genre names.

    Every four consecutive pieces share an artist, which means instruments. Each piece is a tune of its own, with its
    own key, tempo, chords and melody. `prepare` writes the files. A larger set starts with the pieces of a smaller one.

    Args:
        pieces_per_genre: 1 or more.
        seconds: length of a piece, 0.1 or more; its last bar is whole.
        seed: random seed, 0 or more; another seed gives another collection.
        folder: folder for the files, new or made with the same arguments; a folder of the cache if None.

    """

    suffixes = SUFFIXES

    MAKING = "Composing synthetic scores"

    def __init__(
        self, pieces_per_genre: int = 100, seconds: float = 60.0, seed: int = 0, folder: str | None = None
    ) -> None:
        check_positive("--data.source.", pieces_per_genre=pieces_per_genre, seconds=seconds)
        synth.check(GENRES[0], 0, seed, seconds, 22050)
        super().__init__(pieces_per_genre, seconds)
        self.pieces_per_genre = pieces_per_genre
        self.seed = seed
        self.folder = folder

    @property
    def name(self) -> str:
        """A short name."""
        return "synthetic-scores"

    @property
    def location(self) -> Path:
        """`folder`, or a folder of the cache whose name has the arguments that determine the notes."""
        if self.folder:
            return as_path(self.folder, "--data.source.folder")
        return cache_root() / f"synthetic-scores-v{VERSION}-s{self.seed}-{self.seconds:.9g}s"

    @property
    def _recipe(self) -> ScoreRecipe:
        return ScoreRecipe(VERSION, self.seed, float(self.seconds))

    def _make(self, track: Track, index: int) -> None:
        write_midi(compose(track.genre, index, seed=self.seed, seconds=self.seconds), track.path)
