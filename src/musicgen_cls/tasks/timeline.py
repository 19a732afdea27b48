"""What a classifier says from moment to moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from musicgen_cls.tasks.classification import GenreClassifier


@dataclass(frozen=True)
class Timeline:
    """Stretches of a recording, `start_s` to `end_s` `[steps]`, and their probabilities `[steps, genres]`."""

    start_s: npt.NDArray[np.float64]
    end_s: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float64]


@torch.inference_mode()
def timeline(task: GenreClassifier, x: Tensor, start_s: npt.ArrayLike, seconds: float) -> Timeline:
    """Every step of networks that have steps, every window of others.

    Args:
        task: the classifier.
        x: network input of windows of one recording, `[windows, ...]`.
        start_s: where each begins, `[windows]`.
        seconds: length of each.
    """
    say = task.step_probabilities(x).double().cpu().numpy()  # [windows, steps, genres]
    windows, steps, genres = say.shape
    starts = (np.asarray(start_s, dtype=np.float64)[:, None] + np.arange(steps) * seconds / steps).ravel()
    return Timeline(starts, starts + seconds / steps, say.reshape(windows * steps, genres))
