"""Predictions for an evaluation set: probabilities of windows, and their means over tracks."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from musicgen_cls.errors import UsageError

Ints = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]  # of any precision


@dataclass
class Scores:
    """Predictions for every window of an evaluation set, and the metrics of windows and tracks.

    Attributes:
        index: id of each window in its set, unique, ascending, `[windows]` int64.
        track: id of the window's track, `[windows]` int64.
        start_s: start of the window in the track, s, `[windows]` float32.
        y: true class, `[windows]` int64.
        log_probs: natural logarithms of the class probabilities, `[windows, num_classes]` float32.

    Raises:
        UsageError: there is no window.

    """

    index: Ints
    track: Ints
    start_s: Floats
    y: Ints
    log_probs: Floats

    def __post_init__(self) -> None:
        if not len(self.index):
            raise UsageError("no test windows to score: check the split and that its tracks are as long as one window")

    @cached_property
    def _tracks(self) -> tuple[Ints, Ints, Ints]:
        """Track ids and the first window of each, `[tracks]`; the position of each window's track, `[windows]`."""
        return np.unique(self.track, return_index=True, return_inverse=True)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.log_probs.shape[1])

    @property
    def track_ids(self) -> Ints:
        """Ids of the tracks, ascending, `[tracks]`."""
        return self._tracks[0]

    @property
    def track_y(self) -> Ints:
        """True class of each track, `[tracks]`."""
        return self.y[self._tracks[1]]

    @cached_property
    def track_windows(self) -> Ints:
        """Number of windows of each track, `[tracks]`."""
        return np.bincount(self._tracks[2])

    @cached_property
    def track_probs(self) -> Floats:
        """Mean of the probabilities of each track's windows, `[tracks, num_classes]` float64; rows sum to 1."""
        total = np.zeros((len(self.track_ids), self.num_classes))
        np.add.at(total, self._tracks[2], np.exp(self.log_probs.astype(np.float64)))
        return total / self.track_windows[:, None]

    @property
    def pred(self) -> Ints:
        """Most probable class of each window, `[windows]`."""
        return _most_probable(self.log_probs)

    @property
    def track_pred(self) -> Ints:
        """Most probable class of each track by `track_probs`, `[tracks]`."""
        return _most_probable(self.track_probs)

    @property
    def mistakes(self) -> Ints:
        """Positions of the tracks with a wrong prediction, the most probable prediction first, `[mistakes]`."""
        wrong = np.flatnonzero(self.track_pred != self.track_y)
        order: Ints = wrong[np.argsort(-self.track_probs[wrong].max(axis=1), kind="stable")]
        return order

    @property
    def loss(self) -> float:
        """Mean negative log-likelihood of the windows, in nats."""
        return float(-self.log_probs[np.arange(len(self.y)), self.y].mean(dtype=np.float64))

    @property
    def track_loss(self) -> float:
        """Mean negative log-likelihood of the tracks, in nats."""
        with np.errstate(divide="ignore"):
            return float(-np.log(self.track_probs[np.arange(len(self.track_y)), self.track_y]).mean())

    @property
    def segment_accuracy(self) -> float:
        """Proportion of windows whose most probable class is the true one."""
        return float((self.pred == self.y).mean())

    @property
    def track_accuracy(self) -> float:
        """Proportion of tracks whose most probable class is the true one."""
        return float((self.track_pred == self.track_y).mean())


class TrackScores(Metric):
    """Collects the windows of an epoch; `compute` gives their `Scores`, the same on one device and on many.

    A distributed sampler repeats windows so that all processes have equally many. Each `index` counts once. Call
    `update`, not the metric itself, which would compute on every batch. Every process must have a batch, as such a
    sampler ensures.
    """

    full_state_update = False

    index: list[Tensor]
    track: list[Tensor]
    start_s: list[Tensor]
    y: list[Tensor]
    log_probs: list[Tensor]

    _dtypes = {  # noqa: RUF012
        "index": torch.int64,
        "track": torch.int64,
        "start_s": torch.float32,
        "y": torch.int64,
        "log_probs": torch.float32,
    }

    def __init__(self, **kwargs: Any) -> None:
        """Take the keyword arguments of `torchmetrics.Metric`."""
        super().__init__(**kwargs)
        for name in self._dtypes:
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, index: Tensor, track: Tensor, start_s: Tensor, y: Tensor, log_probs: Tensor) -> None:
        """Add a batch: four tensors `[batch]` and log-probabilities `[batch, num_classes]`, as in `Scores`."""
        batch = {"index": index, "track": track, "start_s": start_s, "y": y, "log_probs": log_probs}
        for name, dtype in self._dtypes.items():
            getattr(self, name).append(batch[name].detach().to(self.device, dtype))

    def compute(self) -> Scores:
        """The windows since the last reset, sorted by `index` and without repeats, on the CPU.

        Raises:
            UsageError: there is no window.

        """
        if not len(self.index):
            raise UsageError("no test windows were scored: check the split and `limit_*_batches`")
        arrays = {name: dim_zero_cat(getattr(self, name)).cpu().numpy() for name in self._dtypes}
        _, first = np.unique(arrays["index"], return_index=True)
        return Scores(**{name: array[first] for name, array in arrays.items()})


def _most_probable(probs: Floats) -> Ints:
    """Class of each row, `[n]`, from `[n, num_classes]`; the first one if several are equal."""
    best: Ints = np.argmax(probs, axis=1)
    return best
