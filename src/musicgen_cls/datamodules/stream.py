"""A listener's own files, as windows, for `predict`: no collection, no store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import IterableDataset

from musicgen_cls.audio.io import Waveform, check_range, stream, to_pcm
from musicgen_cls.errors import AudioError


def stream_windows(path: Path, sample_rate: int, window: int) -> Iterator[tuple[int, int, Waveform]]:
    """Cut a file of any length into windows that follow one another, in constant memory.

    The end that does not fill a window is heard in a last window moved back to end with the file. A file shorter than
    a window is repeated until it fills one.

    Args:
        path: the file.
        sample_rate: Hz.
        window: samples.

    Yields:
        First sample of the window, the one after its last in the file, and the window, float32 `[window]`.

    Raises:
        AudioError: the file is no usable audio, or silent throughout.
    """
    held = np.empty(0, np.float32)  # what is not yet cut, after up to one window that is
    start, cut, low, high = 0, 0, np.inf, -np.inf
    for block in stream(path, sample_rate):
        if block.size:
            low, high = min(low, float(block.min())), max(high, float(block.max()))
        held = np.concatenate([held, block])
        while len(held) - cut >= window:
            yield start + cut, start + cut + window, held[cut : cut + window]
            cut += window
        spare = max(0, cut - window)
        held, start, cut = held[spare:], start + spare, cut - spare
    check_range(path, low, high, start + len(held))
    rest = len(held) - cut
    if start + cut == 0:
        yield 0, rest, np.resize(held, window)
    elif rest:
        yield start + len(held) - window, start + len(held), held[-window:]


def batches(path: Path, sample_rate: int, window: int, size: int) -> Iterator[dict[str, Any]]:
    """The windows of a file in batches: `x` int16 `[batch, window]`, `start_s` `[batch]` s, `file`.

    The last batch is marked `last` and tells the length of the file, `seconds`. A file that cannot be used ends in a
    batch with `error` and no `x`.
    """
    starts: list[float] = []
    windows: list[npt.NDArray[np.int16]] = []
    heard = 0
    try:
        for start, end, waveform in stream_windows(path, sample_rate, window):
            if len(windows) == size:
                yield _batch(path, starts, windows)
                starts, windows = [], []
            starts.append(start / sample_rate)
            heard = end
            windows.append(to_pcm(waveform))
    except AudioError as error:
        yield {"file": str(path), "error": str(error), "last": True}
        return
    yield _batch(path, starts, windows) | {"last": True, "seconds": heard / sample_rate}


def _batch(path: Path, starts: list[float], windows: list[npt.NDArray[np.int16]]) -> dict[str, Any]:
    x = torch.from_numpy(np.stack(windows))
    return {"file": str(path), "x": x, "start_s": torch.tensor(starts), "last": False}


class FileWindows(IterableDataset[dict[str, Any]]):
    """Batches of windows of many files; `key` is the version of the file.

    Args:
        files: version and path of each.
        sample_rate: Hz.
        window: samples.
        size: windows in a batch.
    """

    def __init__(self, files: Sequence[tuple[str, Path]], sample_rate: int, window: int, size: int) -> None:
        self.files = files
        self.sample_rate = sample_rate
        self.window = window
        self.size = size

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for version, path in self.files:
            for batch in batches(path, self.sample_rate, self.window, self.size):
                yield batch | {"key": version}


def version_of(path: Path) -> str:
    """A file as it is now: its path, size in bytes and time of change."""
    try:
        stat = path.stat()
    except OSError:
        return f"{path.absolute()}|gone"
    return f"{path.absolute()}|{stat.st_size}|{stat.st_mtime_ns}"
