"""Windows of raw audio for generators: a context, and the target after it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
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
from musicgen_cls.errors import AudioError, SourceError, UsageError, check_positive, nearest
from musicgen_cls.files import safe_name
from musicgen_cls.sources.base import Side, Source
from musicgen_cls.sources.find import find_files, skipped_files

log = logging.getLogger(__name__)


class WaveformWindows(AudioDataModule):
    """Windows of waveform in two parts: a context, and the target after it.

    After Doyle and Lopez, "Genre Classification and Generation of Music Samples via Neural Networks", section 2.1: at
    10,000 Hz, 90 tracks of a genre train and 10 are held out as prompts. A track of 30 s has thirty windows of 1 s, and
    the last window validates. A batch has the windows of one track.

    Batches: `context` float32 `[batch, context_samples]` and `target` `[batch, target_samples]`, full scale 1; `genre`,
    `track`, `index` int64 `[batch]`; `start_s` `[batch]` s. For `predict`: `context`, `genre` and `position` of each
    recording, and the lists `file` and `id`.

    Further arguments are those of `AudioDataModule`, `GenreDataModule` and `TrackDataModule`.

    Args:
        source: the tracks: `Folder`, `GTZAN`, `FMA`, `HubDataset`, `Manifest`, `Shards` or `SyntheticGenres`.
            Not needed to continue files.
        context_seconds: length of the context, and of the prompt in `predict`, s.
        target_seconds: length of the target, which the network learns to generate, s.
        hop_seconds: time from one window of a track to the next, s; windows overlap if it is shorter than a window.
        batch: `track`, all windows of one track; `shuffled`, `batch_size` windows of any tracks.
        sample_rate: sample rate, Hz; audio of other rates is resampled.
        fractions: shares of training, validation and held-out tracks. If the share of validation is 0, as in the study,
            the last window of each training track validates.
        batch_size: windows in a shuffled batch; recordings that are continued at once.
        genre: continue only tracks of this genre; the genre in which `files` are continued.
        samples_per_prompt: number of samples for each prompt; each sample has its own random seed.
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
        samples_per_prompt: int = 1,
        **kwargs: Any,
    ) -> None:
        lengths = {"context_seconds": context_seconds, "target_seconds": target_seconds, "hop_seconds": hop_seconds}
        check_positive("--data.", samples_per_prompt=samples_per_prompt, **lengths)
        for name, value in lengths.items():
            if to_samples(value, sample_rate) < 1:
                raise UsageError(f"--data.{name} {value}: shorter than one sample at {sample_rate} Hz; raise it")
        self.context_seconds, self.target_seconds, self.hop_seconds = lengths.values()
        self.batch, self.genre, self.samples_per_prompt = batch, genre, samples_per_prompt
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
        """Whether validation has no own tracks and uses the last window of each training track."""
        return self.split in ("track", "artist") and self.fold is None and self.fractions[1] == 0

    def side_of_tracks(self, side: Side) -> Side:
        """The side itself; for validation the training side, if the last window of each training track validates."""
        return "train" if side == "validation" and self.last_window_validates else side

    def window_starts(self, length: int, side: Side | None) -> Starts:
        """A window every `hop_seconds`. If the last window validates, windows that overlap it do not train."""
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
        """Rows of the tracks of `genres`; the source can have more genres."""
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
            for problem in skipped_files(self.files):
                log.warning("left out: %s", problem)
            self._named_files()

    def predict_dataloader(self) -> DataLoader[Any]:
        """The prompts: the starts of held-out tracks, or of `files`."""
        rank, world = rank_of(self.trainer)
        prompts = self._prompts()[rank::world]
        starts = range(0, len(prompts), self.batch_size)
        batches = PromptBatches([_batch_of(prompts[start : start + self.batch_size]) for start in starts])
        return DataLoader(batches, batch_size=None)

    def _sampler(self, dataset: WindowDataset, **options: Any) -> WindowSampler:
        by_track = self.batch == "track" and options["shuffle"]
        return TrackSampler(dataset, **options) if by_track else super()._sampler(dataset, **options)

    def _prompts(self) -> list[dict[str, Any]]:
        """The usable prompts, each with its position among all; unusable ones are logged."""
        prompts: list[dict[str, Any]] = []
        for number, (path, name, genre, read) in enumerate(self._candidates()):
            try:
                context = read()
            except AudioError as error:
                log.warning("left out: %s", error)
                refused = error
            else:
                sound = torch.from_numpy(np.ascontiguousarray(context, dtype=np.float32))
                file = "" if path is None else str(path)
                prompt = {"context": sound, "genre": self.genres.index(genre), "file": file, "id": name}
                count = self.samples_per_prompt
                prompts += [{"position": number * count + sample, **prompt} for sample in range(count)]
        if not prompts:
            raise refused
        self.prompts = len(prompts)
        return prompts

    def _candidates(self) -> Iterator[tuple[Path | None, str, str, Callable[[], Waveform]]]:
        """Path, id, genre and a reader of the prompt, for every held-out track, or for every file in `files`."""
        if self.files is not None:
            for path, genre in self._named_files():
                yield path, str(path), genre, partial(self._prompt_of_file, path)
            return
        assert self.collection is not None
        for row in np.unique(self.windows["test"].track):
            track = self.collection.tracks[row]
            if self.genre in (None, track.genre):
                yield track.path, track.id, track.genre, partial(self._prompt_of_track, row)

    def _named_files(self) -> list[tuple[Path, str]]:
        """The files to continue, each with its genre: `genre`, the only genre, or the genre named by its folder."""
        assert self.files is not None
        only = self.genre or (self.genres[0] if len(self.genres) == 1 else None)
        of_folder = {safe_name(genre): genre for genre in self.genres} | {genre: genre for genre in self.genres}
        named = []
        for path in find_files(self.files):
            genre = only or of_folder.get(path.resolve().parent.name)
            if genre is None:
                raise UsageError(
                    f"{path}: the name of its folder is not a genre; set --data.genre to the genre of the "
                    f"continuation, one of {', '.join(self.genres)}"
                )
            named.append((path, genre))
        return named

    def _prompt_of_track(self, row: int) -> Waveform:
        """The first `context_seconds` of a track of the collection."""
        assert self.collection is not None
        return self._checked(self.collection.tracks[row].path, self.first_seconds(row, self.context_seconds))

    def _prompt_of_file(self, path: Path) -> Waveform:
        """The first `context_seconds` of a file with any sample rate and number of channels."""
        blocks, length = [], 0
        for block in stream(path, self.sample_rate):
            blocks.append(block)
            length += len(block)
            if length >= self.context_samples:
                break
        if length < self.context_samples:
            raise AudioError(
                f"{path}: too short, {length / self.sample_rate:.2f} s, but a prompt has {self.context_seconds:g} s; "
                "use a longer file"
            )
        return self._checked(path, np.concatenate(blocks)[: self.context_samples])

    def _checked(self, path: Path, context: Waveform) -> Waveform:
        check_sound(f"{path} (its first {self.context_seconds:g} s)", context)
        return context


class PromptBatches(IterableDataset[Batch]):
    """Batches of prompts; iterable, so that the trainer does not divide them among processes a second time."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def _batch_of(prompts: list[dict[str, Any]]) -> Batch:
    """One batch of several prompts."""
    return {
        "context": torch.stack([prompt["context"] for prompt in prompts]),
        "genre": torch.tensor([prompt["genre"] for prompt in prompts]),
        "position": torch.tensor([prompt["position"] for prompt in prompts]),
        "file": [prompt["file"] for prompt in prompts],
        "id": [prompt["id"] for prompt in prompts],
    }


def _not_among(genre: str, known: Sequence[str]) -> str:
    hint = nearest(genre, known) or f"; the genres are {', '.join(known)}"
    return f"no such genre{hint}"
