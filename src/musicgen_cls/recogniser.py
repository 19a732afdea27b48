"""A trained classifier as a Python object."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property, partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from musicgen_cls import untrained
from musicgen_cls.audio.io import check_sound, from_array, to_pcm
from musicgen_cls.audio.windows import sliding_starts
from musicgen_cls.checkpoints import Checkpoint, load_content, read_checkpoint, read_facts, state_name
from musicgen_cls.datamodules.inputs import AudioInput, audio_input
from musicgen_cls.datamodules.stream import batches, version_of
from musicgen_cls.errors import AudioError, CheckpointError, SourceError, UsageError, one_line
from musicgen_cls.memory import keep_memory
from musicgen_cls.metrics.threshold import THRESHOLD, check_threshold, is_sure
from musicgen_cls.models.classifiers.blocks import apply_memory_format
from musicgen_cls.remote.url import as_place
from musicgen_cls.tasks.predicting import Predicting, Predictor
from musicgen_cls.tasks.timeline import Timeline, timeline
from musicgen_cls.trust import check_described, make, trusting

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from musicgen_cls.datamodules.audio import AudioDataModule
    from musicgen_cls.datamodules.base import GenreDataModule
    from musicgen_cls.tasks.base import Task
    from musicgen_cls.tasks.classification import GenreClassifier


def load_parts(checkpoint: Checkpoint, device: torch.device) -> tuple[Task, GenreDataModule]:
    """The task and the datamodule of a checkpoint, in evaluation mode.

    Raises:
        CheckpointError: the objects cannot be built from the checkpoint's arguments and weights.
    """
    from musicgen_cls.datamodules.base import GenreDataModule
    from musicgen_cls.tasks.base import Task

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
    from musicgen_cls.tasks.classification import GenreClassifier

    task, data = load_parts(checkpoint, device)
    if not isinstance(task, GenreClassifier):
        raise CheckpointError(f"{checkpoint.path}: a generator, not a classifier; use it with musiccli predict")
    return task, data


def light_parts(
    facts: Checkpoint, device: torch.device, trust: Collection[str] = ()
) -> tuple[Predictor, AudioInput] | None:
    """A classifier of this package and its input, without Lightning, whose import takes seconds.

    None for other tasks and datamodules, and for a checkpoint that is unusual in any way: `read_checkpoint` and
    `load_classifier` load it, or say what is wrong.

    Args:
        facts: what `read_facts` found.
        device: where to compute.
        trust: modules outside of this package whose classes the checkpoint may name.

    Raises:
        SourceError: the pretrained networks of the checkpoint cannot be fetched.
    """
    arguments = facts.model["init_args"]
    if facts.model["class_path"] != "musicgen_cls.tasks.GenreClassifier":
        return None
    try:
        check_described(arguments["network"], nn.Module, trust)
        content = load_content(facts.path, device)
        found = audio_input(facts.data["class_path"], facts.data["init_args"], content[state_name(facts.data)], device)
        if found is None:
            return None
        network = make(arguments["network"], num_classes=len(facts.genres))
        predictor = Predictor(apply_memory_format(network), len(facts.genres))
        weights = content["state_dict"].items()
        predictor.load_state_dict({name: w for name, w in weights if name.startswith(("network.", "calibration."))})
    except (SourceError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a file can be wrong in many ways, and the other way of loading names them
        log.debug("%s: loaded with Lightning (%r)", facts.path, error)
        return None
    return predictor.to(device).eval(), found


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
        self.checkpoint, self.device, self._trust = read_facts(path, "checkpoint"), torch.device(device), trust
        self._version = version_of(self.checkpoint.path)
        self._predicts: Predicting
        self._audio: AudioInput | AudioDataModule
        with trusting(trust):
            light = light_parts(self.checkpoint, self.device, trust)
        self._predicts, self._audio = self._parts if light is None else light
        self.sample_rate: int = self._audio.sample_rate
        """Sample rate of waveforms, Hz."""

    @cached_property
    def _parts(self) -> tuple[GenreClassifier, AudioDataModule]:
        """The task and the datamodule, which predict from now on."""
        from musicgen_cls.datamodules.audio import AudioDataModule

        path = self.checkpoint.path
        if version_of(path) != self._version:
            raise CheckpointError(f"{path}: has changed or is gone since it was loaded; load it again")
        with trusting(self._trust):
            task, data = load_classifier(read_checkpoint(path, "checkpoint", self._trust), self.device)
        if not isinstance(data, AudioDataModule):
            raise CheckpointError(f"{path}: trained on {type(data).__name__}, not on audio; use musiccli test")
        self._predicts, self._audio = task, data
        return task, data

    @property
    def task(self) -> GenreClassifier:
        """The task of the checkpoint; it predicts from now on. Lightning is imported.

        Raises:
            CheckpointError: the file has changed since it was loaded.
        """
        return self._parts[0]

    @property
    def data(self) -> AudioDataModule:
        """The datamodule of the checkpoint. Lightning is imported. Raises as `task` does."""
        return self._parts[1]

    @property
    def genres(self) -> list[str]:
        """Names of the genres, in label order."""
        return self._audio.genres

    @property
    def window_samples(self) -> int:
        """Length of a window, samples."""
        return self._audio.window_samples

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
        return self._joined(audio, partial(timeline, self._predicts))

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
        parts = self._files(as_place(audio, "audio")) if isinstance(audio, str | PathLike) else self._waveform(audio)
        seconds = self.window_samples / self.sample_rate
        return Timeline.joined([predict(self._input(x), start, seconds) for start, x in parts])

    def _files(self, path: Path) -> Iterator[tuple[npt.NDArray[Any], Tensor]]:
        for batch in batches(path, self.sample_rate, self.window_samples, self._audio.batch_size):
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
        window = self.window_samples
        starts = sliding_starts(len(waveform), window, window)
        pcm = to_pcm(np.resize(waveform, max(window, len(waveform))))
        for at in np.array_split(starts, -(-len(starts) // self._audio.batch_size)):
            yield at / self.sample_rate, torch.from_numpy(np.stack([pcm[i : i + window] for i in at]))

    @torch.inference_mode()
    def _windows(self, x: Tensor, start_s: npt.NDArray[Any], seconds: float) -> Timeline:
        """The predictions for a batch of windows."""
        return Timeline.of_windows(start_s, seconds, self._predicts.probabilities(x))

    @torch.inference_mode()
    def _input(self, x: Tensor) -> Tensor:
        """The input of the network from int16 windows `[batch, samples]`."""
        return self._audio.network_input(x.to(self.device))
