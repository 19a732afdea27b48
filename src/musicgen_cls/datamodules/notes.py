"""Windows of notes for networks that generate scores."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
import numpy as np
import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.utils.data import DataLoader

from musicgen_cls.collection.collection import Collection
from musicgen_cls.collection.scores import collect_scores
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.datamodules.dataset import Batch, WindowDataset, Windows, rank_of
from musicgen_cls.datamodules.division import Starts, lay_windows
from musicgen_cls.datamodules.front_end import FrontEnd
from musicgen_cls.datamodules.note_prompts import NOTHING, Prompt, prompt_files, read_prompt
from musicgen_cls.datamodules.note_tokens import Louder, NoteDataset, ToC, Transposed, unpacked
from musicgen_cls.datamodules.waveform import PromptBatches
from musicgen_cls.errors import CheckpointError, SourceError, UsageError, check_positive
from musicgen_cls.models.notes.sample import Wanted
from musicgen_cls.notes.families import DRUMS, FAMILIES
from musicgen_cls.notes.key import from_c
from musicgen_cls.notes.score import GRID, NOTE, Notes, transposed
from musicgen_cls.sources.base import Side, Source

SHORTEST = 16
"""Notes of the shortest piece and of the shortest window."""


PRESETS = 64
"""Training pieces of each genre whose tempo, metre, mode, instruments and density a checkpoint keeps."""

_Byte = Annotated[int, Meta(ge=1, le=255)]
_Key = Annotated[int, Meta(ge=0, le=23)]
_Families = Annotated[int, Meta(ge=0, lt=1 << len(FAMILIES))]
Preset = tuple[_Byte, _Byte, _Key, _Families, Annotated[float, Meta(ge=0)]]
"""Tempo, beats per minute; length of a bar, steps; key, see `NOTE`; the families that play, as bits; notes a beat."""


class NoteWindows(GenreDataModule):
    """Windows of consecutive notes of scores.

    Batches: `tokens` int64 `[batch, notes, 9]`, the columns of `musicgen_cls.models.notes.fields.COLUMNS`, with
    velocity 0 where a piece ends before its window does; `genre`, `track`, `index` int64 `[batch]`.

    Further arguments are those of `GenreDataModule` and `TrackDataModule`; versions of one tune are on one side.

    Args:
        source: the scores: `MidiFolder` or `SyntheticScores`. Not needed to generate.
        notes: length of a window.
        windows_per_track: maximum number of windows of a piece; in training they are at random places.
        to_c: move each piece to C major or C minor; generated pieces are moved back.
        transpose: in training, move each window by -5 to 6 semitones instead; not with `to_c`.
        balance: let each genre have as many training windows as the largest has.
        batch_size: windows in a batch.
        genre: generate pieces of this genre; the genre in which `files` are continued.
        prompt_bars: bars at the start of a file, a score or a recording, that are continued.
        samples_per_prompt: number of pieces for each genre or file; each has its own random seed.
        cache_dir: folder for notes; the user's cache folder if not set.
    """

    MIN_GENRES = 1

    INPUT_ARGUMENTS: ClassVar[tuple[str, ...]] = ("to_c",)

    def __init__(
        self,
        source: Source | None = None,
        notes: int = 384,
        windows_per_track: int | None = 4,
        to_c: bool = True,
        transpose: bool = False,
        balance: bool = True,
        batch_size: int = 16,
        genre: str | None = None,
        prompt_bars: int = 8,
        samples_per_prompt: int = 1,
        cache_dir: str | None = None,
        **kwargs: Any,
    ) -> None:
        check_positive("--data.", notes=notes, prompt_bars=prompt_bars, samples_per_prompt=samples_per_prompt)
        check_positive("--data.", windows_per_track=1 if windows_per_track is None else windows_per_track)
        if notes < SHORTEST:
            raise UsageError(f"--data.notes {notes}: a window needs {SHORTEST} notes or more")
        if to_c and transpose:
            raise UsageError("--data.transpose true: not with pieces in C; set --data.to_c false, or leave it out")
        self.notes, self.windows_per_track = notes, windows_per_track
        self.to_c, self.transpose, self.balance = to_c, transpose, balance
        self.prompt_bars = prompt_bars
        self.genre, self.samples_per_prompt, self.cache_dir = genre, samples_per_prompt, cache_dir
        self.presets: dict[str, list[Preset]] = {}
        self._prompts: list[tuple[Path | None, Prompt]] = []
        super().__init__(source=source, batch_size=batch_size, **kwargs)
        if genre is not None and genre not in self.genres:
            raise UsageError(f"--data.genre '{genre}': no such genre; the genres are {', '.join(self.genres)}")
        self.front_end = FrontEnd(unpacked, augment=Louder(), transform=ToC() if to_c else None)
        if transpose:
            self.front_end.augment = nn.Sequential(Louder(), Transposed())

    @property
    def window_length(self) -> int:
        """Length of a window, notes."""
        return self.notes

    def blank_window(self) -> Tensor:
        """A window without notes, uint8 `[1, notes, 12]`."""
        return torch.zeros(1, self.notes, NOTE.itemsize, dtype=torch.uint8)

    def read_tracks(self) -> Collection:
        """Read the scores that are not in the store yet."""
        source = self._source()
        source.prepare()
        collection = collect_scores(source, cache_dir=self.cache_dir)
        return replace(collection, items=collection.items.view(np.uint8).reshape(-1, NOTE.itemsize))

    def window_starts(self, length: int, side: Side | None) -> Starts:
        """Windows one after the other, or in training as many at random places; the last can be shorter."""
        if length < SHORTEST:
            return np.zeros(0, dtype=np.int64), 0
        starts = np.arange(0, max(length - SHORTEST, 1), self.notes, dtype=np.int64)
        if self.windows_per_track is not None and len(starts) > self.windows_per_track:
            starts = starts[np.linspace(0, len(starts) - 1, self.windows_per_track).astype(int)]
        if side == "train":
            return np.zeros_like(starts), max(length - self.notes, 0)
        return starts, 0

    def lay_windows(self, collection: Collection, rows: Sequence[int], side: Side | None) -> Windows:
        """The windows of the pieces in `rows`; in training those of small genres come several times."""
        windows = lay_windows(collection, rows, self.genres, lambda length: self.window_starts(length, side))
        if side != "train" or not self.balance or not len(windows):
            return windows
        of_genre = [np.flatnonzero(windows.genre == label) for label in range(len(self.genres))]
        most = max(map(len, of_genre))
        return windows[np.concatenate([np.resize(own, most) for own in of_genre if len(own)])]

    def usable_tracks(self, collection: Collection) -> list[int]:
        """Rows of the pieces of `genres`; the source can have more genres."""
        there = {track.genre for track in collection.tracks}
        if missing := [genre for genre in self.genres if genre not in there]:
            raise SourceError(f"{self.location}: no score of genre '{missing[0]}'; it has {', '.join(sorted(there))}")
        return [row for row, track in enumerate(collection.tracks) if track.genre in self.genres]

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Stored notes to tokens, on the device."""
        batch = super().on_after_batch_transfer(batch, dataloader_idx)
        if "x" in batch:
            batch |= {"tokens": batch.pop("x"), "genre": batch.pop("y")}
        return batch

    def state_dict(self) -> dict[str, Any]:
        """The state of all datamodules, and what training pieces are like, by genre."""
        return {**super().state_dict(), "presets": self.presets or self._presets_of_training()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state that `state_dict` returned.

        Raises:
            CheckpointError: it has no training pieces, or describes them in another way.
        """
        try:
            self.presets = msgspec.convert(state_dict.get("presets"), dict[str, list[Preset]])
        except msgspec.ValidationError as error:
            raise CheckpointError(
                f"--ckpt_path: its training pieces are not described as in this version ({error}); use the version of "
                "musicgen_cls that wrote it, or train again"
            ) from error
        super().load_state_dict(state_dict)

    def _presets_of_training(self) -> dict[str, list[Preset]]:
        assert self.collection is not None
        found: dict[str, list[Preset]] = {genre: [] for genre in self.genres}
        for row in np.unique(self.windows["train"].track):
            own = found[self.collection.tracks[row].genre]
            if len(own) < PRESETS:
                own.append(preset_of(self.piece(int(row)), self.notes))
        return found

    def piece(self, row: int) -> Notes:
        """The notes of a row of the collection."""
        assert self.collection is not None
        start = int(self.collection.offset[row])
        stored = self.collection.items[start : start + int(self.collection.lengths[row])]
        return np.ascontiguousarray(stored).view(NOTE)[:, 0]

    def prepare_data(self) -> None:
        """Read missing scores, once, on one process; to generate, none are needed."""
        if self.trainer is None or self.trainer.state.fn != "predict":
            super().prepare_data()

    def setup(self, stage: str) -> None:
        """Divide the pieces, and place the windows; to generate, none are needed."""
        if stage != "predict":
            super().setup(stage)

    def prepare_predict(self) -> None:
        """Read the files to continue. What else the pieces shall be is known only once the checkpoint is loaded."""
        paths: list[Path | None] = [None] if self.files is None else list(prompt_files(self.files))
        self._prompts = [(path, NOTHING if path is None else read_prompt(path, self.prompt_bars)) for path in paths]

    def predict_dataloader(self) -> DataLoader[Any]:
        """The pieces to generate, one batch for each genre or file."""
        if not self._prompts:
            self.prepare_predict()
        requests = list(self._requests())
        self.prompts = sum(len(batch["position"]) for batch in requests)
        rank, world = rank_of(self.trainer)
        return DataLoader(PromptBatches(requests[rank::world]), batch_size=None)

    def _requests(self) -> Iterator[Batch]:
        """Batches with `position` `[batch]` and the lists `wanted`, `file`, `recording`, `back` (semitones)."""
        first, count = 0, self.samples_per_prompt
        for path, prompt in self._prompts:
            for genre in [self.genre] if self.genre else self._genres_for(path):
                positions = range(first, first + count)
                first += count
                wanted, back = zip(*(self.wanted(genre, prompt.notes, position) for position in positions), strict=True)
                yield {
                    "wanted": list(wanted),
                    "back": list(back),
                    "position": torch.tensor(positions),
                    "recording": [prompt.recording] * count,
                    "file": ["" if path is None else str(path)] * count,
                }

    def wanted_of_each_genre(self) -> list[Wanted]:
        """A piece of each genre to generate from nothing, as its first training piece."""
        self.presets = self.presets or self._presets_of_training()
        return [self.wanted(genre, NOTHING.notes, 0)[0] for genre in self.genres]

    def wanted(self, genre: str, prompt: Notes, position: int) -> tuple[Wanted, int]:
        """What a piece shall be, as its prompt or as a training piece; and the semitones that move it to its key."""
        label = self.genres.index(genre)
        known = self.presets.get(genre) or [(120, 4 * GRID, 0, 0, 0.0)]
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
        drawn = known[np.random.default_rng((seed, position)).integers(len(known))]
        tempo, bar, key, played, density = preset_of(prompt, self.notes) if len(prompt) else drawn
        families = tuple(number for number in range(len(FAMILIES)) if played >> number & 1)
        back = from_c(key) if self.to_c else 0
        moved = transposed(prompt, -back)
        pitched = prompt["family"] != DRUMS
        if pitched.any():  # an octave more or less where its pitches would leave 0 to 127
            back = int(prompt["pitch"][pitched][0]) - int(moved["pitch"][pitched][0])
        return Wanted(label, tempo, bar, key >= 12, families, density, moved), back

    def _genres_for(self, path: Path | None) -> list[str]:
        """The genres in which a file is continued: that of its folder, else all; all without a file."""
        own = [genre for genre in self.genres if path is not None and genre == path.resolve().parent.name]
        return own or self.genres

    def _dataset(self, side: Side) -> WindowDataset:
        assert self.collection is not None
        return NoteDataset(self.collection, self.windows[side], self.notes)


def preset_of(notes: Notes, window: int) -> Preset:
    """Tempo, metre and mode that most notes of a piece have, and the families that play at least a fiftieth of them.

    The density is that of the first notes, as many as a window has.
    """
    tempo, bar, key = (int(np.bincount(notes[name]).argmax()) for name in ("tempo", "bar", "key"))
    played = np.bincount(notes["family"], minlength=12) >= len(notes) / 50
    onset = notes["onset"][:window].astype(np.int64)
    beats = max(int(onset[-1] - onset[0]), GRID) / GRID
    return tempo, bar, key, int(np.sum(1 << np.flatnonzero(played))), len(onset) / beats
