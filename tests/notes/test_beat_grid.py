"""Recordings as scores: beats, grid, first bar, key; and recordings that cannot be scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_cls.errors import AudioError, ScoreError, SourceError
from musicgen_cls.notes import beat_grid, transcribe
from musicgen_cls.notes.beat_grid import BAR, Transcription, beat_times, on_grid
from musicgen_cls.notes.composed import compose
from musicgen_cls.notes.families import DRUMS, FAMILIES
from musicgen_cls.notes.key import find_key
from musicgen_cls.notes.render import render
from musicgen_cls.notes.transcribe import FOUND, RATE
from musicgen_cls.pretrained.fetch import fetch
from sine_network import sine_network, write_tones

TUNE = [60, 64, 67, 72, 67, 64, 65, 60] * 4


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcribe, "network", sine_network)


def transcribed(path: Path, bars: int) -> Transcription:
    return beat_grid.transcribe(path, Path("model.onnx"), bars)


@pytest.mark.parametrize(("tempo", "lead_s"), [(100, 0.0), (120, 1.3), (144, 0.4)])
def test_tones_are_on_the_beats(tempo: float, lead_s: float, tmp_path: Path) -> None:
    found = transcribed(write_tones(tmp_path / "a.wav", TUNE, tempo, lead_s), 4)
    notes = found.notes
    assert notes["pitch"].tolist() == TUNE[:16]
    assert notes["onset"].tolist() == list(range(0, 4 * BAR, 12))
    assert (found.steps, set(notes["bar"]), set(notes["place"])) == (4 * BAR, {BAR}, {0, 12, 24, 36})
    assert float(notes["tempo"][0]) == pytest.approx(tempo, rel=0.03)
    assert set(notes["key"]) == {0}
    assert {FAMILIES[number] for number in notes["family"]} == {"piano"}
    assert found.beats[0] == pytest.approx(lead_s, abs=0.05)
    assert len(found.sound(BAR, 8000)) == pytest.approx(4 * 60 / tempo * 8000, rel=0.03)


def test_a_short_recording_has_fewer_bars(tmp_path: Path) -> None:
    found = transcribed(write_tones(tmp_path / "a.wav", TUNE[:8], 120), 100)
    assert found.notes["pitch"].tolist() == TUNE[:8]
    assert 2 * BAR - 12 <= found.steps <= 2 * BAR + 12


def test_notes_between_beats_that_drift() -> None:
    beats = np.array([1.0, 1.5, 2.1, 2.6])
    times = np.array([0.5, 0.95, 1.25, 1.8, 2.7])
    found = np.zeros(5, FOUND)
    found["start"], found["end"], found["pitch"], found["strength"] = times, times + 0.15, 60, 0.5
    notes = on_grid(found, beats)
    assert notes["onset"].tolist() == [0, 6, 18]
    assert notes["duration"].tolist() == [2, 4, 3]
    assert notes["velocity"].tolist() == [64] * 3
    assert set(notes["tempo"]) == {112}


def test_recordings_without_notes(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, 3 * RATE)
    for name, sound, error, reason in (
        ("silence", np.zeros(RATE), AudioError, "silence.wav: silent throughout"),
        ("noise", noise, ScoreError, "noise.wav: no notes were found in its first 3 s"),
    ):
        soundfile.write(tmp_path / f"{name}.wav", sound, RATE)
        with pytest.raises(error, match=reason):
            transcribed(tmp_path / f"{name}.wav", 4)


def test_the_rest_of_a_long_recording_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beat_grid, "LEAD_S", 1.0)
    path = write_tones(tmp_path / "a.wav", TUNE * 2, 120)
    read: list[int] = []
    whole = beat_grid.stream

    def counted(*arguments: object) -> object:
        for block in whole(*arguments):
            read.append(len(block))
            yield block

    monkeypatch.setattr(beat_grid, "stream", counted)
    monkeypatch.setattr("musicgen_cls.audio.io._BLOCK", RATE)
    transcribed(path, 2)
    assert sum(read) <= 14 * RATE < 32 * RATE


def test_the_tempo_of_a_rendered_piece() -> None:
    notes = compose("rock", 1, seconds=12.0)
    beats = beat_times(render(notes, RATE))
    assert 60 / np.median(np.diff(beats)) == pytest.approx(float(notes["tempo"][0]), rel=0.03)


def test_the_published_network_gives_tempo_key_and_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    try:
        model = fetch("basic_pitch")
    except SourceError as error:
        pytest.skip(f"NO TRANSCRIPTION WAS CHECKED: {error}")
    notes = compose("rock", 1, seconds=12.0)
    soundfile.write(tmp_path / "rock.wav", render(notes, RATE), RATE)
    found = beat_grid.transcribe(tmp_path / "rock.wav", model, 4).notes
    own = notes[(notes["family"] != DRUMS) & (notes["onset"] < 4 * BAR)]
    assert float(found["tempo"][0]) == pytest.approx(float(notes["tempo"][0]), rel=0.03)
    assert find_key(found) == find_key(own)
    right = set(zip(own["onset"].tolist(), own["pitch"].tolist(), strict=True))
    there = set(zip(found["onset"].tolist(), found["pitch"].tolist(), strict=True))
    assert len(right & there) >= 0.8 * len(right)
