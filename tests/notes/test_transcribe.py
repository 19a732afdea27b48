"""Transcription: windows, the notes in probabilities, models that are none, and the published network."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from musicgen_cls.errors import SourceError, UsageError
from musicgen_cls.notes.composed import compose
from musicgen_cls.notes.families import DRUMS
from musicgen_cls.notes.render import render
from musicgen_cls.notes.score import onset_seconds
from musicgen_cls.notes.transcribe import (
    FRAMES,
    HOP,
    KEYS,
    LOWEST,
    RATE,
    _probabilities,
    find_notes,
    network,
    notes_in,
)
from musicgen_cls.pretrained.fetch import fetch


def probabilities(*parts: tuple[int, int, int, float], frames: int = 200) -> np.ndarray:
    """Probabilities `[frames, 88]` that are 0 but for parts: key, first frame, frame after the last, value."""
    found = np.zeros((frames, KEYS), np.float32)
    for key, start, end, value in parts:
        found[start:end, key] = value
    return found


def spans(sounds: np.ndarray, onsets: np.ndarray) -> list[tuple[int, int, int]]:
    """Key, first frame and frame after the last of the notes."""
    found = notes_in(sounds, onsets)
    times = [(round(float(note["start"]) * RATE / HOP), round(float(note["end"]) * RATE / HOP)) for note in found]
    return [(int(note["pitch"]) - LOWEST, *own) for note, own in zip(found, times, strict=True)]


def test_a_note_lasts_until_it_is_improbable_for_long() -> None:
    sounds = probabilities((40, 10, 50, 0.8), (40, 61, 90, 0.8), (41, 10, 50, 0.8), (41, 62, 90, 0.8))
    onsets = probabilities((40, 10, 11, 0.9), (41, 10, 11, 0.9))
    assert sorted(spans(sounds, onsets)) == [(40, 10, 90), (41, 10, 50), (41, 62, 90)]


def test_an_onset_ends_the_note_before() -> None:
    sounds = probabilities((40, 10, 90, 0.8))
    onsets = probabilities((40, 10, 11, 0.9), (40, 50, 51, 0.6), (40, 70, 71, 0.49))
    assert spans(sounds, onsets) == [(40, 10, 50), (40, 50, 90)]


def test_notes_without_an_onset_are_followed_both_ways() -> None:
    sounds = probabilities((40, 20, 60, 0.4), (40, 30, 31, 0.9), (50, 20, 60, 0.29))
    assert spans(sounds, probabilities()) == [(40, 20, 60)]


def test_short_notes_are_left_out() -> None:
    sounds = probabilities((40, 20, 30, 0.9), (42, 20, 31, 0.9))
    onsets = probabilities((40, 20, 21, 0.9), (42, 20, 21, 0.9))
    assert spans(sounds, onsets) == [(42, 20, 31)]
    assert notes_in(sounds, onsets)["strength"][0] == pytest.approx(0.9)


@pytest.mark.parametrize("samples", [1, 256, 40000, 43844, 250_000])
def test_windows_join_without_a_gap(samples: int) -> None:
    """Each frame is that of its own time, in whatever window it is."""
    waveform = np.zeros(samples, np.float32)
    waveform[::HOP] = np.arange(len(waveform[::HOP])) + 1

    def run(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert windows.shape[1:] == (43844, 1)
        values = np.repeat(windows[:, : FRAMES * HOP : HOP], KEYS, axis=2)
        return values, -values

    sounds, onsets = _probabilities(waveform, run)
    assert np.array_equal(sounds[:, 0], waveform[::HOP])
    assert np.array_equal(onsets, -sounds)


def test_models_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"words")
    with pytest.raises(UsageError, match=r"model.onnx: not a readable ONNX file; delete it"):
        network(file)
    given, output = (onnx.helper.make_tensor_value_info(name, 1, [1, 2]) for name in "xy")
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "another", [given], [output])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), file)
    with pytest.raises(UsageError, match=r"model.onnx: another network than Basic Pitch"):
        network(file)


def test_without_onnxruntime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"onnxruntime, which is not installed; install the extra 'export'"):
        network(tmp_path / "model.onnx")


@pytest.fixture(scope="module")
def basic_pitch() -> Path:
    """The published network."""
    try:
        return fetch("basic_pitch")
    except SourceError as error:
        pytest.skip(f"NO TRANSCRIPTION WAS CHECKED: {error}")


def test_the_published_network_finds_the_notes_of_a_piece(basic_pitch: Path) -> None:
    notes = compose("rock", 1, seconds=12.0)
    notes = notes[notes["family"] != DRUMS]
    times = onset_seconds(notes)
    found = find_notes(render(notes, RATE), basic_pitch)
    same = (found["pitch"][:, None] == notes["pitch"]) & (np.abs(found["start"][:, None] - times) < 0.06)
    assert same.any(axis=1).mean() >= 0.6  # precision
    assert same.any(axis=0).mean() >= 0.8  # recall
