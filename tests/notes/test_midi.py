"""MIDI files: what is written is read back; damaged files give one line."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import symusic

from musicgen_cls.errors import ScoreError
from musicgen_cls.notes.families import FAMILIES
from musicgen_cls.notes.key import from_c
from musicgen_cls.notes.midi import read_midi, write_midi
from musicgen_cls.notes.score import (
    Notes,
    length_seconds,
    moved_back,
    notes_of,
    onset_seconds,
    transposed,
    without_overlaps,
)


def a_piece(bars: int = 4, bar: int = 48, tempo: int = 90) -> Notes:
    onset = np.arange(0, bars * bar, 6)
    pitch = np.resize([60, 64, 67, 72, 65, 69, 67, 62], len(onset))
    piano, drums = FAMILIES.index("piano"), 0
    both = {name: np.concatenate([value, value]) for name, value in {"onset": onset, "place": onset % bar}.items()}
    return notes_of(
        **both, duration=4, bar=bar, tempo=tempo, key=0, velocity=80,
        family=np.repeat([piano, drums], len(onset)), pitch=np.concatenate([pitch, np.resize([36, 42], len(onset))]),
    )  # fmt: skip


@pytest.mark.parametrize("bar", [48, 36, 42])
def test_what_is_written_is_read_back(tmp_path: Path, bar: int) -> None:
    notes = a_piece(bar=bar)
    write_midi(notes, tmp_path / "a.mid")
    assert np.array_equal(read_midi(tmp_path / "a.mid"), notes)


def test_tempo_and_metre_change_in_the_middle(tmp_path: Path) -> None:
    first, second = a_piece(bars=2), a_piece(bars=2, bar=36, tempo=180)
    second["onset"] += 96
    notes = np.concatenate([first, second])
    write_midi(notes, tmp_path / "a.mid")
    found = read_midi(tmp_path / "a.mid")
    assert np.array_equal(found, notes)
    assert length_seconds(found) == pytest.approx(
        8 * 60 / 90 + (72 - 2) / 12 * 60 / 180
    )  # the last note is 4 of 6 steps


def test_seconds_follow_the_tempo() -> None:
    notes = a_piece(tempo=120)
    assert np.allclose(onset_seconds(notes), notes["onset"] / 12 * 0.5)


def test_no_pitch_sounds_twice_at_once() -> None:
    notes = notes_of(onset=[0, 6, 6], duration=[48, 12, 6], place=[0, 6, 6], bar=48, tempo=120, key=0, family=2,
                     pitch=[60, 60, 64], velocity=80)  # fmt: skip
    assert without_overlaps(notes)["duration"].tolist() == [6, 12, 6]


def test_moving_back_keeps_a_prompt_and_the_range() -> None:
    notes = a_piece()
    pitched = np.flatnonzero(notes["family"] != 0)
    notes["pitch"][pitched[-2:]] = 2, 126
    moved = moved_back(notes, -5)
    assert moved["pitch"].max() <= 127
    assert np.array_equal(moved["pitch"][pitched[:-2]].astype(int), notes["pitch"][pitched[:-2]].astype(int) - 5)
    assert sorted(moved["pitch"][pitched[-2:]]) == [9, 121]
    assert sorted(moved_back(notes, 6)["pitch"][pitched[-2:]]) == [8, 120]
    assert np.array_equal(moved_back(moved_back(a_piece(), 3), -3), a_piece())


def test_transposing_keeps_drums_and_range() -> None:
    notes = a_piece()
    up = transposed(notes, 5)
    drums = notes["family"] == 0
    assert np.array_equal(up["pitch"][up["family"] == 0], notes["pitch"][drums])
    assert set(up["key"]) == {5}
    high = notes_of(onset=[0], duration=1, place=0, bar=48, tempo=120, key=0, family=2, pitch=[125], velocity=80)
    assert transposed(high, 5)["pitch"].tolist() == [118]
    assert [from_c(key) for key in (0, 5, 6, 7, 11, 23)] == [0, 5, 6, -5, -1, -1]


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack(">I", len(data)) + data


def midi(form: int, *events: bytes) -> bytes:
    end = b"\x00\xff\x2f\x00"
    return chunk(b"MThd", struct.pack(">HHH", form, 1, 480)) + chunk(b"MTrk", b"".join(events) + end)


NOTE_ON_OFF = b"\x00\x90\x3c\x50\x83\x60\x80\x3c\x00"

DAMAGED = {
    "not a MIDI file": b"RIFF" + bytes(40),
    "MIDI format 2": midi(2, NOTE_ON_OFF),
    "0 ticks a beat": midi(1, NOTE_ON_OFF)[:12] + b"\0\0" + midi(1, NOTE_ON_OFF)[14:],
    "no notes": midi(1),
    "tempo of inf": midi(1, b"\x00\xff\x51\x03\x00\x00\x00", NOTE_ON_OFF),
    "notes begin at once": midi(1, *[bytes([0, 0x90 | c, p, 80]) for c in range(9) for p in range(128)],
                                *[bytes([1, 0x80 | c, p, 0]) for c in range(9) for p in range(128)]),
    "beats long": midi(1, NOTE_ON_OFF, b"\xff\xff\xff\x7f\x90\x3c\x50\x10\x80\x3c\x00"),
}  # fmt: skip


@pytest.mark.parametrize("reason", DAMAGED)
def test_a_file_that_cannot_be_used_gets_one_line(tmp_path: Path, reason: str) -> None:
    path = tmp_path / "x.mid"
    path.write_bytes(DAMAGED[reason])
    with pytest.raises(ScoreError, match=reason) as error:
        read_midi(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_ends_too_early_gets_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.mid"
    write_midi(a_piece(), path)
    whole = path.read_bytes()
    for length in (10, 20, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(ScoreError, match=r"not a MIDI file|damaged|no notes"):
            read_midi(path)


def test_onsets_between_two_steps_are_rounded_up(tmp_path: Path) -> None:
    score = symusic.Score(24)  # two ticks a step
    track = symusic.Track("x", 0, False)
    for tick in range(1, 12, 2):
        track.notes.append(symusic.Note(tick, 2, 60 + tick, 80))
    score.tracks.append(track)
    score.dump_midi(tmp_path / "x.mid")
    assert read_midi(tmp_path / "x.mid")["onset"].tolist() == [1, 2, 3, 4, 5, 6]


def test_a_metre_of_no_beats_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.mid"
    path.write_bytes(midi(1, b"\x00\xff\x58\x04\x00\x00\x18\x08", NOTE_ON_OFF))
    assert read_midi(path)["bar"].tolist() == [48]


def test_sound_effects_are_left_out(tmp_path: Path) -> None:
    score = symusic.Score(480)
    for program in (0, 126):
        track = symusic.Track("x", program, False)
        track.notes.append(symusic.Note(0, 480, 60, 80))
        score.tracks.append(track)
    score.dump_midi(tmp_path / "x.mid")
    assert len(read_midi(tmp_path / "x.mid")) == 1
