"""A trained classifier as a Python object."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from musicgen_cls import untrained
from musicgen_cls.audio.io import check_sound, from_array, to_pcm
from musicgen_cls.audio.windows import sliding_starts
from musicgen_cls.checkpoints import Checkpoint, load_content, read_checkpoint
from musicgen_cls.datamodules.audio import AudioDataModule
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.datamodules.stream import batches
from musicgen_cls.errors import AudioError, CheckpointError, UsageError, one_line
from musicgen_cls.files import as_path
from musicgen_cls.memory import keep_memory
from musicgen_cls.metrics.threshold import THRESHOLD, check_threshold, is_sure
from musicgen_cls.tasks.base import Task
from musicgen_cls.tasks.classification import GenreClassifier
from musicgen_cls.tasks.timeline import Timeline, timeline
from musicgen_cls.trust import make, trusting


def load_parts(checkpoint: Checkpoint, device: torch.device) -> tuple[Task, GenreDataModule]:
    """The task and the datamodule of a checkpoint, in evaluation mode.

    Raises:
        CheckpointError: the objects cannot be built from the checkpoint's arguments and weights.
    """
    content = load_content(checkpoint.path, device)
    try:
        task, data = make(checkpoint.model), make(checkpoint.data)
        if not isinstance(task, Task) or not isinstance(data, GenreDataModule):
            raise CheckpointError(
                f"{checkpoint.path}: has no task and datamodule for genres; use a checkpoint that fit wrote"
            )
        task.load_state_dict(content["state_dict"])
        data.load_state_dict(content[type(data).__qualname__])
    except CheckpointError:
        raise
    except Exception as error:  # the arguments and weights in a file can be wrong in many ways
        reason = one_line(error)[:200]
        raise CheckpointError(
            f"{checkpoint.path}: cannot be loaded ({type(error).__name__}: {reason}); use the version of musicgen_cls "
            "that wrote it, or another checkpoint"
        ) from error
    return task.to(device).eval(), data


def load_classifier(checkpoint: Checkpoint, device: torch.device) -> tuple[GenreClassifier, GenreDataModule]:
    """The task and the datamodule of a classifier's checkpoint; see `load_parts`.

    Raises:
        CheckpointError: the checkpoint is of a generator.
    """
    task, data = load_parts(checkpoint, device)
    if not isinstance(task, GenreClassifier):
        raise CheckpointError(f"{checkpoint.path}: a generator, not a classifier; use it with musiccli predict")
    return task, data


class GenreRecogniser:
    """Predicts the probability of each genre for a file or a waveform, as `musiccli predict` does.

    The process keeps freed memory from then on; see `musicgen_cls.load`.

    Args:
        path: a checkpoint that `fit` wrote, no other file is needed; or `untrained`, see `musicgen_cls.untrained`.
        device: where to compute.
        trust: modules outside of this package whose classes the checkpoint may name, such as the module of your own
            network. They are imported, which runs their code.
        threshold: `genre` gives None if the most probable genre has a lower probability; 0 turns it off.

        genres: of the untrained reading, only these.

    Raises:
        CheckpointError: the checkpoint is missing, damaged or another file.
        SourceError: the pretrained networks of the untrained reading cannot be fetched.
        UsageError: genres are named for another checkpoint, the threshold is not from 0 to 1, or
            `MUSICGEN_CLS_KEEP_MEMORY` is neither 0 nor 1.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        device: str | torch.device = "cpu",
        trust: Collection[str] = (),
        threshold: float = THRESHOLD,
        genres: Sequence[str] = (),
    ) -> None:
        self.threshold = check_threshold(threshold, "threshold")
        keep_memory()
        if untrained.is_meant(path):
            path = untrained.checkpoint(genres)
        elif genres:
            raise UsageError("genres: only for the untrained reading; a checkpoint has genres of its own")
        self.checkpoint = read_checkpoint(path, "checkpoint", trust)
        self.device = torch.device(device)
        with trusting(trust):
            self.task, data = load_classifier(self.checkpoint, self.device)
        if not isinstance(data, AudioDataModule):
            raise CheckpointError(f"{path}: trained on {type(data).__name__}, not on audio; use musiccli test")
        self.data = data
        self.sample_rate: int = data.sample_rate
        """Sample rate of waveforms, Hz."""

    @property
    def genres(self) -> list[str]:
        """Names of the genres, in label order."""
        return self.data.genres

    def __call__(self, audio: str | PathLike[str] | npt.ArrayLike | Tensor) -> dict[str, float]:
        """Probability of each genre: the mean over windows that cover the whole recording.

        Args:
            audio: a file of any format, sample rate and length, or a mono waveform `[samples]` at `sample_rate`: floats
                with full scale 1, or integers, which are scaled by the range of their type.

        Raises:
            AudioError: the file or waveform has no usable audio.
        """
        return dict(zip(self.genres, self.timeline(audio).mean.tolist(), strict=True))

    def genre(self, audio: str | PathLike[str] | npt.ArrayLike | Tensor) -> str | None:
        """The most probable genre; None if its probability is below `threshold`. Raises as a call does."""
        probabilities = self(audio)
        best = max(probabilities, key=probabilities.__getitem__)
        return best if is_sure(probabilities[best], self.threshold) else None

    def timeline(self, audio: str | PathLike[str] | npt.ArrayLike | Tensor) -> Timeline:
        """The probabilities of each window. It unpacks as start of each window, s, and probabilities."""
        return self._joined(audio, self._windows)

    def steps(self, audio: str | PathLike[str] | npt.ArrayLike | Tensor) -> Timeline:
        """The probabilities of each step of a network that has steps, or of each window."""
        return self._joined(audio, partial(timeline, self.task))

    def _joined(
        self,
        audio: str | PathLike[str] | npt.ArrayLike | Tensor,
        predict: Callable[[Tensor, npt.NDArray[Any], float], Timeline],
    ) -> Timeline:
        """The predictions for all windows of a file or a waveform.

        Args:
            audio: as `__call__` takes it.
            predict: from network input `[batch, ...]`, start of each window, s, and length of windows, s.
        """
        parts = self._files(as_path(audio, "audio")) if isinstance(audio, str | PathLike) else self._waveform(audio)
        seconds = self.data.window_samples / self.sample_rate
        return Timeline.joined([predict(self._input(x), start, seconds) for start, x in parts])

    def _files(self, path: Path) -> Iterator[tuple[npt.NDArray[Any], Tensor]]:
        for batch in batches(path, self.sample_rate, self.data.window_samples, self.data.batch_size):
            if "error" in batch:
                raise AudioError(batch["error"])
            yield batch["start_s"].numpy(), batch["x"]

    def _waveform(self, audio: npt.ArrayLike | Tensor) -> Iterator[tuple[npt.NDArray[Any], Tensor]]:
        waveform = from_array(audio)
        if waveform.ndim != 1:
            raise UsageError(
                f"waveform of shape {waveform.shape}: give one channel, [samples], at {self.sample_rate} Hz"
            )
        check_sound("waveform", waveform)
        window = self.data.window_samples
        starts = sliding_starts(len(waveform), window, window)
        pcm = to_pcm(np.resize(waveform, max(window, len(waveform))))
        for at in np.array_split(starts, -(-len(starts) // self.data.batch_size)):
            yield at / self.sample_rate, torch.from_numpy(np.stack([pcm[i : i + window] for i in at]))

    @torch.inference_mode()
    def _windows(self, x: Tensor, start_s: npt.NDArray[Any], seconds: float) -> Timeline:
        """The predictions for a batch of windows."""
        probabilities = self.task.probabilities(x).double().cpu().numpy()
        starts = np.asarray(start_s, dtype=np.float64)
        return Timeline(starts, starts + seconds, probabilities)

    @torch.inference_mode()
    def _input(self, x: Tensor) -> Tensor:
        """The input of the network from int16 windows `[batch, samples]`."""
        return self.data.network_input(x.to(self.device))
