"""Windows of files of any length, for `predict`, without collection and store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import IterableDataset

from musicgen_cls.audio.io import Waveform, check_range, stream, to_pcm
from musicgen_cls.errors import AudioError, UsageError
from musicgen_cls.sources.find import find_files


def stream_windows(path: Path, sample_rate: int, window: int) -> Iterator[tuple[int, int, Waveform]]:
    """Cut a file of any length into consecutive windows, in constant memory.

    If the end of the file does not fill a window, the last window is moved back so that it ends with the file. A file
    shorter than a window is repeated until it fills one.

    Args:
        path: the file.
        sample_rate: sample rate, Hz.
        window: length of a window, samples.

    Yields:
        The position of the first sample of the window, the position after its last sample in the file, and the window,
        float32 `[window]`.

    Raises:
        AudioError: the file has no usable audio, or is silent.
    """
    held = np.empty(0, np.float32)  # at most one window that is cut, and the samples that are not cut yet
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

    The last batch has `last` set and the length of the file, `seconds`. For an unusable file, the last batch has
    `error` and no `x`.
    """
    starts: list[float] = []
    windows: list[npt.NDArray[np.int16]] = []
    length = 0
    try:
        for start, end, waveform in stream_windows(path, sample_rate, window):
            if len(windows) == size:
                yield _batch(path, starts, windows)
                starts, windows = [], []
            starts.append(start / sample_rate)
            length = end
            windows.append(to_pcm(waveform))
    except AudioError as error:
        yield {"file": str(path), "error": str(error), "last": True}
        return
    yield _batch(path, starts, windows) | {"last": True, "seconds": length / sample_rate}


def _batch(path: Path, starts: list[float], windows: list[npt.NDArray[np.int16]]) -> dict[str, Any]:
    x = torch.from_numpy(np.stack(windows))
    return {"file": str(path), "x": x, "start_s": torch.tensor(starts), "last": False}


class FileWindows(IterableDataset[dict[str, Any]]):
    """Batches of windows of many files; `key` is the version of the file.

    Args:
        files: version and path of each file.
        sample_rate: sample rate, Hz.
        window: length of a window, samples.
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
    """The version of a file: its path, size in bytes and modification time, as text."""
    try:
        stat = path.stat()
    except OSError:
        return f"{path.absolute()}|gone"
    return f"{path.absolute()}|{stat.st_size}|{stat.st_mtime_ns}"


def named_files(files: Sequence[str] | str | None) -> list[Path]:
    """The files to predict, in order; raises `UsageError` if none are named."""
    if files is None:
        raise UsageError("--data.files: not set, and predict needs files; name files, folders or patterns")
    return find_files(files)


def versioned_files(files: Sequence[str] | str | None) -> list[tuple[str, Path]]:
    """Version and path of the files to predict; raises as `named_files`."""
    return [(version_of(path), path) for path in named_files(files)]
