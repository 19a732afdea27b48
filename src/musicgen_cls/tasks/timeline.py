"""Predictions of a classifier over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from musicgen_cls.tasks.predicting import Predicting


@dataclass(frozen=True)
class Timeline:
    """Genre probabilities over the time of a recording.

    Attributes:
        start_s: start of each step, s, `[steps]`.
        end_s: end of each step, s, `[steps]`.
        probabilities: `[steps, genres]`.
    """

    start_s: npt.NDArray[np.float64]
    end_s: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float64]

    @classmethod
    def joined(cls, parts: Sequence[Timeline]) -> Timeline:
        """The predictions of several parts of a recording, one after another."""
        names = ("start_s", "end_s", "probabilities")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    @classmethod
    def of_windows(cls, start_s: Tensor | npt.ArrayLike, seconds: float, probabilities: Tensor) -> Timeline:
        """The predictions for windows of equal length.

        Args:
            start_s: start of each window, s, `[windows]`.
            seconds: length of a window, s.
            probabilities: `[windows, genres]`.
        """
        starts = np.asarray(start_s, dtype=np.float64)
        return cls(starts, starts + seconds, probabilities.cpu().double().numpy())

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """Mean probability of each genre, `[genres]`."""
        mean: npt.NDArray[np.float64] = self.probabilities.mean(axis=0)
        return mean

    def __iter__(self) -> Iterator[npt.NDArray[np.float64]]:
        """The starts, and the probabilities."""
        return iter((self.start_s, self.probabilities))


@torch.inference_mode()
def timeline(task: Predicting, x: Tensor, start_s: npt.ArrayLike, seconds: float) -> Timeline:
    """Predict each step of a recording; a window is one step if the network has no smaller ones.

    Args:
        task: the classifier.
        x: network input of the windows of one recording, `[windows, ...]`.
        start_s: start of each window, s, `[windows]`.
        seconds: length of each window, s.
    """
    probabilities = task.step_probabilities(x).double().cpu().numpy()  # [windows, steps, genres]
    windows, steps, genres = probabilities.shape
    starts = (np.asarray(start_s, dtype=np.float64)[:, None] + np.arange(steps) * seconds / steps).ravel()
    return Timeline(starts, starts + seconds / steps, probabilities.reshape(windows * steps, genres))
