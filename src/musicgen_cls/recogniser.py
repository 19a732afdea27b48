"""A trained classifier as a Python object."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from musicgen_cls.audio.io import check_sound, from_array, to_pcm
from musicgen_cls.audio.windows import sliding_starts
from musicgen_cls.checkpoints import Checkpoint, load_content, read_checkpoint
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.datamodules.stream import batches
from musicgen_cls.errors import AudioError, CheckpointError, UsageError, one_line
from musicgen_cls.files import as_path
from musicgen_cls.memory import keep_memory
from musicgen_cls.tasks.base import Task
from musicgen_cls.tasks.classification import GenreClassifier
from musicgen_cls.tasks.timeline import Timeline, timeline
from musicgen_cls.trust import make


def load_parts(checkpoint: Checkpoint, device: torch.device) -> tuple[Task, GenreDataModule]:
    """The task and the datamodule of a checkpoint as they were trained, in evaluation mode: for every command.

    Raises:
        CheckpointError: its classes do not take its settings or its weights.
    """
    content = load_content(checkpoint.path, device)
    try:
        task, data = make(checkpoint.model), make(checkpoint.data)
        if not isinstance(task, Task) or not isinstance(data, GenreDataModule):
            raise CheckpointError(f"{checkpoint.path}: neither a task nor a datamodule of genres")
        task.load_state_dict(content["state_dict"])
        data.load_state_dict(content[type(data).__qualname__])
    except CheckpointError:
        raise
    except Exception as error:  # settings and weights of strangers can be wrong in every way
        reason = one_line(error)[:200]
        raise CheckpointError(
            f"{checkpoint.path}: cannot be rebuilt ({type(error).__name__}: {reason}); use the version of musicgen_cls "
            "that wrote it, or another checkpoint"
        ) from error
    return task.to(device).eval(), data


def load_classifier(checkpoint: Checkpoint, device: torch.device) -> tuple[GenreClassifier, GenreDataModule]:
    """The same of a classifier.

    Raises:
        CheckpointError: it is a generator's.
    """
    task, data = load_parts(checkpoint, device)
    if not isinstance(task, GenreClassifier):
        raise CheckpointError(f"{checkpoint.path}: a generator's, not a classifier's; let musiccli predict use it")
    return task, data


class GenreRecogniser:
    """Takes a file or a waveform, gives the probability of each genre: what `musiccli predict` does, in Python.

    The process keeps freed memory from then on; see `musicgen_cls.load`.

    Args:
        path: a checkpoint that `fit` wrote; nothing else is needed.
        device: where to compute.
        trust: modules outside this package whose classes the checkpoint may name, as your own network's: they are
            imported, so that their code runs.

    Raises:
        CheckpointError: the checkpoint is missing, damaged or something else.
        UsageError: `MUSICGEN_CLS_KEEP_MEMORY` is neither 0 nor 1.
    """

    def __init__(
        self, path: str | PathLike[str], device: str | torch.device = "cpu", trust: Collection[str] = ()
    ) -> None:
        keep_memory()
        self.checkpoint = read_checkpoint(path, "checkpoint", trust)
        self.device = torch.device(device)
        self.task, data = load_classifier(self.checkpoint, self.device)
        if data.sample_rate is None:
            raise CheckpointError(f"{path}: trained on {type(data).__name__}, not on audio; use musiccli test")
        self.data = data
        self.sample_rate: int = data.sample_rate
        """Rate that waveforms are expected at, Hz."""

    @property
    def genres(self) -> list[str]:
        """Names of the genres, in label order."""
        return self.data.genres

    def __call__(self, audio: str | PathLike[str] | npt.ArrayLike | Tensor) -> dict[str, float]:
        """Probability of each genre: the mean over windows that cover the whole recording.

        Args:
            audio: a file of any format, rate and length, or a mono waveform `[samples]` at `sample_rate`: floats of
                full scale 1, or integers, which are scaled by their type.

        Raises:
            AudioError: the file or waveform holds no usable audio.
        """
        mean = self.timeline(audio)[1].mean(axis=0)
        return dict(zip(self.genres, mean.tolist(), strict=True))

    def timeline(
        self, audio: str | PathLike[str] | npt.ArrayLike | Tensor
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Start of each window `[windows]`, s, and its probabilities `[windows, genres]`."""
        parts = self._files(as_path(audio, "audio")) if isinstance(audio, str | PathLike) else self._waveform(audio)
        starts, probabilities = zip(*((start, self._probabilities(x)) for start, x in parts), strict=True)
        return np.concatenate(starts).astype(np.float64), np.concatenate(probabilities)

    def steps(self, audio: str | PathLike[str] | npt.ArrayLike | Tensor) -> Timeline:
        """What is said of each step of networks that have steps, of each window of others."""
        parts = self._files(as_path(audio, "audio")) if isinstance(audio, str | PathLike) else self._waveform(audio)
        seconds = self.data.window_length / self.sample_rate
        said = [timeline(self.task, self._input(x), start, seconds) for start, x in parts]
        return Timeline(
            np.concatenate([part.start_s for part in said]),
            np.concatenate([part.end_s for part in said]),
            np.concatenate([part.probabilities for part in said]),
        )

    def _files(self, path: Path) -> Iterator[tuple[npt.NDArray[Any], Tensor]]:
        for batch in batches(path, self.sample_rate, self.data.window_length, self.data.batch_size):
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
        window = self.data.window_length
        starts = sliding_starts(len(waveform), window, window)
        pcm = to_pcm(np.resize(waveform, max(window, len(waveform))))
        for at in np.array_split(starts, -(-len(starts) // self.data.batch_size)):
            yield at / self.sample_rate, torch.from_numpy(np.stack([pcm[i : i + window] for i in at]))

    @torch.inference_mode()
    def _probabilities(self, x: Tensor) -> npt.NDArray[np.float64]:
        logits = self.task(self._input(x))
        probabilities: npt.NDArray[np.float64] = functional.softmax(logits.float(), dim=1).double().cpu().numpy()
        return probabilities

    @torch.inference_mode()
    def _input(self, x: Tensor) -> Tensor:
        """Int16 windows `[batch, samples]` to the input of the network."""
        return self.data.network_input(x.to(self.device))
