"""Windows of raw audio for generators: a context, and the target that follows it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from musicgen_cls.audio.io import Waveform, check_sound, stream
from musicgen_cls.audio.windows import to_samples
from musicgen_cls.collection.collection import Collection
from musicgen_cls.datamodules.audio import AudioDataModule
from musicgen_cls.datamodules.dataset import Batch, TrackSampler, WindowDataset, WindowSampler, rank_of
from musicgen_cls.datamodules.division import Starts
from musicgen_cls.datamodules.front_end import FrontEnd, full_scale
from musicgen_cls.errors import AudioError, SourceError, UsageError, check_positive
from musicgen_cls.files import safe_name
from musicgen_cls.sources.base import Side, Source
from musicgen_cls.sources.find import find_files, passed_by

log = logging.getLogger(__name__)


class WaveformWindows(AudioDataModule):
    """Windows of waveform in two parts, a context and the target that follows it.

    After Doyle and Lopez, "Genre Classification and Generation of Music Samples via Neural Networks", section 2.1: at
    10,000 Hz, 90 tracks of a genre train and 10 are kept as prompts; a track of 30 s gives thirty windows of 1 s, and
    the last one validates; a batch is the windows of one track.

    Batches: `context` float32 `[batch, context_samples]` and `target` `[batch, target_samples]`, full scale 1; `genre`,
    `track`, `index` int64 `[batch]`; `start_s` `[batch]` s. For `predict`: `context`, `genre` and `position` of each
    recording, and lists `file` and `id`.

    Further arguments are those of `AudioDataModule`, `GenreDataModule` and `TrackDataModule`.

    Args:
        source: the tracks: `Folder`, `GTZAN`, `FMA` or `SyntheticGenres`. Not needed to continue files.
        context_seconds: length of the context, for `predict` of the prompt, s.
        target_seconds: length of what follows it, which the network learns to continue with, s.
        hop_seconds: from one window of a track to the next, s; below the windows' length they overlap.
        batch: `track`, all windows of one track; `shuffled`, `batch_size` windows of any.
        sample_rate: Hz; other rates are resampled.
        fractions: shares of training, validation and held-out tracks. Where validation has 0, as in the study, the last
            window of each training track validates.
        batch_size: windows in a batch, if shuffled; recordings continued at once.
        genre: continue tracks of this genre only; `files` are continued in it.
        takes: samples of each prompt, each with its own random seed.
    """

    MIN_GENRES = 1

    INPUT_ARGUMENTS: ClassVar[tuple[str, ...]] = ("sample_rate", "context_seconds", "target_seconds")

    def __init__(
        self,
        source: Source | None = None,
        context_seconds: float = 0.9,
        target_seconds: float = 4.1,
        hop_seconds: float = 0.25,
        batch: Literal["track", "shuffled"] = "shuffled",
        sample_rate: int = 10_000,
        fractions: Sequence[float] = (0.9, 0.0, 0.1),
        batch_size: int = 32,
        genre: str | None = None,
        takes: int = 1,
        **kwargs: Any,
    ) -> None:
        lengths = {"context_seconds": context_seconds, "target_seconds": target_seconds, "hop_seconds": hop_seconds}
        check_positive("--data.", takes=takes, **lengths)
        for name, value in lengths.items():
            if to_samples(value, sample_rate) < 1:
                raise UsageError(f"--data.{name} {value}: shorter than one sample at {sample_rate} Hz")
        self.context_seconds, self.target_seconds, self.hop_seconds = lengths.values()
        self.batch, self.genre, self.takes = batch, genre, takes
        seconds = context_seconds + target_seconds
        super().__init__(
            source=source,
            sample_rate=sample_rate,
            seconds=seconds,
            fractions=fractions,
            batch_size=batch_size,
            **kwargs,
        )
        if genre is not None and genre not in self.genres:
            raise UsageError(f"--data.genre '{genre}': {_not_among(genre, self.genres)}")
        self.front_end = FrontEnd(full_scale, augment=self.augment)
        self.target_samples = self.window_samples - self.context_samples

    @property
    def context_samples(self) -> int:
        """Length of a context, samples."""
        return to_samples(self.context_seconds, self.sample_rate)

    @property
    def last_window_validates(self) -> bool:
        """Whether validation has no tracks of its own."""
        return self.split in ("track", "artist") and self.fold is None and self.fractions[1] == 0

    def side_of_tracks(self, side: Side) -> Side:
        """Validation's windows are cut from training tracks where the last window of each validates."""
        return "train" if side == "validation" and self.last_window_validates else side

    def window_starts(self, length: int, side: Side | None) -> Starts:
        """A window every `hop_seconds`; the last one may be validation's, and none that overlaps it trains then."""
        hop = to_samples(self.hop_seconds, self.sample_rate)
        starts = np.arange(0, length - self.window_samples + 1, hop, dtype=np.int64)
        if self.last_window_validates and side == "validation":
            return starts[-1:], 0
        if self.last_window_validates and side == "train":
            return starts[starts + self.window_samples <= starts[-1]], 0
        return starts, 0

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Int16 windows to contexts and targets, on the device."""
        batch = super().on_after_batch_transfer(batch, dataloader_idx)
        if "x" in batch:
            waveform = batch.pop("x")
            batch |= {"context": waveform[:, : self.context_samples], "target": waveform[:, self.context_samples :]}
            batch["genre"] = batch.pop("y")
        return batch

    def usable_tracks(self, collection: Collection) -> list[int]:
        """Rows of the tracks of the genres to learn; the source may have others."""
        there = sorted({track.genre for track in collection.tracks})
        for genre in self.genres:
            if genre not in there:
                raise SourceError(f"{self.location}: genre '{genre}': {_not_among(genre, there)}")
        return [row for row, track in enumerate(collection.tracks) if track.genre in self.genres]

    def prepare_predict(self) -> None:
        """Fetch and decode the collection, or find the files."""
        if self.files is None:
            self.prepare_data()
        else:
            for problem in passed_by(self.files):
                log.warning("left out: %s", problem)
            self._named_files()

    def predict_dataloader(self) -> DataLoader[Any]:
        """The prompts: starts of held-out tracks, or of `files`."""
        rank, world = rank_of(self.trainer)
        seeds = self._seeds()[rank::world]
        starts = range(0, len(seeds), self.batch_size)
        batches = SeedBatches([_together(seeds[start : start + self.batch_size]) for start in starts])
        return DataLoader(batches, batch_size=None)

    def _sampler(self, dataset: WindowDataset, **options: Any) -> WindowSampler:
        by_track = self.batch == "track" and options["shuffle"]
        return TrackSampler(dataset.windows, **options) if by_track else super()._sampler(dataset, **options)

    def _seeds(self) -> list[dict[str, Any]]:
        """The prompts that can be continued, each with its number among all; the others are named."""
        seeds: list[dict[str, Any]] = []
        for number, (path, name, genre, read) in enumerate(self._candidates()):
            try:
                context = read()
            except AudioError as error:
                log.warning("left out: %s", error)
                refused = error
            else:
                sound = torch.from_numpy(np.ascontiguousarray(context, dtype=np.float32))
                seed = {"context": sound, "genre": self.genres.index(genre), "file": str(path), "id": name}
                seeds += [{"position": number * self.takes + take, **seed} for take in range(self.takes)]
        if not seeds:
            raise refused
        self.prompts = len(seeds)
        return seeds

    def _candidates(self) -> Iterator[tuple[Path, str, str, Callable[[], Waveform]]]:
        """Path, id, genre and prompt of every held-out track, or of every file that was named."""
        if self.files is not None:
            for path, genre in self._named_files():
                yield path, str(path), genre, partial(self._prompt, path)
            return
        assert self.collection is not None
        for row in np.unique(self.windows["test"].track):
            track = self.collection.tracks[row]
            if self.genre in (None, track.genre):
                yield track.path, track.id, track.genre, partial(self._opening, row)

    def _named_files(self) -> list[tuple[Path, str]]:
        """The files to continue, each with its genre: `genre`, the only one there is, or the name of its folder."""
        assert self.files is not None
        only = self.genre or (self.genres[0] if len(self.genres) == 1 else None)
        of_folder = {safe_name(genre): genre for genre in self.genres} | {genre: genre for genre in self.genres}
        named = []
        for path in find_files(self.files):
            genre = only or of_folder.get(path.resolve().parent.name)
            if genre is None:
                raise UsageError(
                    f"{path}: its folder is not named after a genre; give the genre to continue it in with "
                    f"--data.genre, one of {', '.join(self.genres)}"
                )
            named.append((path, genre))
        return named

    def _opening(self, row: int) -> Waveform:
        """The first `context_seconds` of a track of the collection."""
        assert self.collection is not None
        return self._checked(self.collection.tracks[row].path, self.beginning(row, self.context_seconds))

    def _prompt(self, path: Path) -> Waveform:
        """The first `context_seconds` of a file of any rate and number of channels."""
        blocks, length = [], 0
        for block in stream(path, self.sample_rate):
            blocks.append(block)
            length += len(block)
            if length >= self.context_samples:
                break
        if length < self.context_samples:
            raise AudioError(
                f"{path}: too short, {length / self.sample_rate:.2f} s, but a prompt has {self.context_seconds:g} s; "
                "take a longer file"
            )
        return self._checked(path, np.concatenate(blocks)[: self.context_samples])

    def _checked(self, path: Path, context: Waveform) -> Waveform:
        check_sound(f"{path} (its first {self.context_seconds:g} s)", context)
        return context


class SeedBatches(IterableDataset[Batch]):
    """Batches of prompts; iterable, so that the trainer does not divide them among processes once more."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def _together(seeds: list[dict[str, Any]]) -> Batch:
    """One batch of several prompts."""
    return {
        "context": torch.stack([seed["context"] for seed in seeds]),
        "genre": torch.tensor([seed["genre"] for seed in seeds]),
        "position": torch.tensor([seed["position"] for seed in seeds]),
        "file": [seed["file"] for seed in seeds],
        "id": [seed["id"] for seed in seeds],
    }


def _not_among(genre: str, known: Sequence[str]) -> str:
    near = get_close_matches(genre, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"the genres are {', '.join(known)}"
    return f"not there; {hint}"
