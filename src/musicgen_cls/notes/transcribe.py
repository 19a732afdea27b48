"""The notes of a recording, by the network Basic Pitch.

Bittner et al. 2022, "A lightweight instrument-agnostic model for polyphonic note transcription and multipitch
estimation", ICASSP, https://arxiv.org/abs/2203.09893. For each frame and each of the 88 keys of a piano the network
gives the probability that a note sounds, and that one begins. The notes are found as the paper describes it:

1. A note begins where the probability of an onset has a peak in time of 0.5 or more. The last onsets come first. The
   note lasts until the probability that it sounds has been below 0.3 for more than 11 frames, or until a later note
   of its pitch. What a note covers is set to 0.
2. Notes without an onset: what is left above 0.3, the most probable frame first, followed in both directions.
3. Notes that are shorter than 120 ms are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio.mono import Waveform
from musicgen_cls.errors import UsageError

RATE = 22050
"""Sample rate of the network's input, Hz."""

HOP = 256
"""Samples between frames."""

WINDOW = 43844
"""Samples of the network's input."""

FRAMES, KEYS = 172, 88
"""Frames of a window, and pitches."""

LOWEST = 21
"""MIDI pitch of the lowest key, A0."""

ONSET, SOUNDS = 0.5, 0.3
"""The least probabilities of an onset, and of a note that sounds."""

LONGEST_GAP = 11
"""Frames for which the probability of a note may be lower before it ends."""

SHORTEST_S = 0.12
"""Length of the shortest note, s."""

FOUND = np.dtype([("start", "f8"), ("end", "f8"), ("pitch", "u1"), ("strength", "f4")])
"""A note of a recording: start and end, s; MIDI pitch; mean probability, 0 to 1."""

Found = npt.NDArray[np.void]
"""Notes, `FOUND` `[notes]`."""

Frames = npt.NDArray[np.float32]
"""A probability for each frame and key, `[frames, 88]`."""

_EDGE = 15  # frames at either end of a window, where the network sees too little audio
_STEP = FRAMES - 2 * _EDGE
_AT_ONCE = 8  # windows


def find_notes(waveform: Waveform, model: Path) -> Found:
    """The notes of a recording, sorted by their start.

    Args:
        waveform: float32 `[samples]` at `RATE`.
        model: the network, an ONNX file; `musicgen_cls.pretrained.fetch` gives it.

    Raises:
        UsageError: the file is no such network, or onnxruntime is not installed.
    """
    sounds, onsets = _probabilities(waveform, network(model))
    return notes_in(sounds, onsets)


def network(model: Path) -> Callable[[Frames], tuple[Frames, Frames]]:
    """The network: windows `[batch, 43844, 1]` to probabilities of sounding and of onset, each `[batch, 172, 88]`.

    Raises:
        UsageError: the file is no such network, or onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise UsageError(
            "a recording is transcribed with onnxruntime, which is not installed; install the extra 'export', or give "
            "a MIDI file"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(model.read_bytes(), options, providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        found = {output.name: output.shape[1:] for output in session.get_outputs()}
    except Exception as error:  # the classes of onnxruntime's errors have no common base but this
        raise UsageError(f"{model}: not a readable ONNX file; delete it, and it is fetched again") from error
    if given.shape[1:] != [WINDOW, 1] or any(found.get(name) != [FRAMES, KEYS] for name in _OUTPUTS):
        raise UsageError(f"{model}: another network than Basic Pitch; delete it, and it is fetched again")

    def run(windows: Frames) -> tuple[Frames, Frames]:
        sounds, onsets = session.run(list(_OUTPUTS), {given.name: windows})
        return sounds, onsets

    return run


_OUTPUTS = ("StatefulPartitionedCall:1", "StatefulPartitionedCall:2")  # notes, and onsets


def _probabilities(waveform: Waveform, run: Callable[[Frames], tuple[Frames, Frames]]) -> tuple[Frames, Frames]:
    """Probabilities of sounding and of onset, each `[frames, 88]`; windows overlap, and their edges are left out."""
    frames = -(-len(waveform) // HOP)
    count = -(-frames // _STEP)
    padded = np.zeros(((count - 1) * _STEP) * HOP + WINDOW, np.float32)
    kept = min(len(waveform), len(padded) - _EDGE * HOP)
    padded[_EDGE * HOP : _EDGE * HOP + kept] = waveform[:kept]
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[:: _STEP * HOP, :, None]
    parts = [run(np.ascontiguousarray(windows[at : at + _AT_ONCE])) for at in range(0, count, _AT_ONCE)]
    sounds, onsets = (
        np.concatenate(part)[:, _EDGE:-_EDGE].reshape(-1, KEYS)[:frames] for part in zip(*parts, strict=True)
    )
    return sounds, onsets


def notes_in(sounds: Frames, onsets: Frames) -> Found:
    """The notes in probabilities of sounding and of onset, each `[frames, 88]`, sorted by their start."""
    left = sounds.copy()
    spans: list[tuple[int, int, int]] = []
    before = np.concatenate([np.zeros((1, KEYS), np.float32), onsets[:-1]])
    after = np.concatenate([onsets[1:], np.zeros((1, KEYS), np.float32)])
    peaks = np.argwhere((onsets >= ONSET) & (onsets > before) & (onsets >= after))
    for start, key in peaks[::-1]:
        end = _last(left[:, key], start) + 1
        left[start:end, key] = 0
        spans.append((start, end, key))
    rest = np.argwhere(left > SOUNDS)
    order = np.argsort(-left[rest[:, 0], rest[:, 1]], kind="stable")
    for frame, key in rest[order]:
        if left[frame, key] > 0:
            start = len(left) - 1 - _last(left[::-1, key], len(left) - 1 - frame)
            end = _last(left[:, key], frame) + 1
            left[start:end, key] = 0
            spans.append((start, end, key))
    spans = sorted(span for span in spans if (span[1] - span[0]) * HOP / RATE >= SHORTEST_S)
    notes = np.zeros(len(spans), FOUND)
    for row, (start, end, key) in enumerate(spans):
        strength = float(sounds[start:end, key].mean())
        notes[row] = start * HOP / RATE, end * HOP / RATE, LOWEST + key, strength
    return notes


def _last(column: npt.NDArray[np.float32], start: int) -> int:
    """The last frame of a note that sounds at `start`, in the probabilities of its pitch `[frames]`."""
    frames = np.concatenate([[start], start + 1 + np.flatnonzero(column[start + 1 :] >= SOUNDS)])
    gaps = np.flatnonzero(np.diff(frames) > LONGEST_GAP + 1)
    return int(frames[gaps[0]] if len(gaps) else frames[-1])
