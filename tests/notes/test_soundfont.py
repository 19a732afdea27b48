"""Scores as sound, by the instruments of a SoundFont."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from musicgen_cls.errors import UsageError
from musicgen_cls.notes.composed import compose
from musicgen_cls.notes.families import FAMILIES
from musicgen_cls.notes.score import Notes, notes_of
from musicgen_cls.notes.soundfont import SoundFont
from soundfonts import write_soundfont

RATE = 8000


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_soundfont(tmp_path_factory.mktemp("font") / "sine.sf2")


@pytest.fixture
def font(file: Path) -> SoundFont:
    pytest.importorskip(
        "tinysoundfont", reason="NOT CHECKED: SoundFonts; run python -m pip install --no-deps tinysoundfont"
    )
    return SoundFont(file)


def one(family: int, pitch: int = 69) -> Notes:
    return notes_of(onset=[24], duration=24, place=0, bar=48, tempo=120, key=0, family=family, pitch=pitch,
                    velocity=100)  # fmt: skip


@pytest.mark.parametrize("family", range(len(FAMILIES)))
def test_a_note_sounds_at_its_pitch_from_onset_to_end(font: SoundFont, family: int) -> None:
    sound = font.render(one(family, 81), RATE)
    assert sound.dtype == np.float32
    assert len(sound) == round(2.5 * RATE)
    assert np.abs(sound[:RATE]).max() < 1e-4
    tone = sound[int(1.1 * RATE) : int(1.9 * RATE)]
    assert np.abs(tone).max() > 0.05
    strongest = np.argmax(np.abs(np.fft.rfft(tone * np.hanning(len(tone))))) * RATE / len(tone)
    assert strongest == pytest.approx(882, rel=0.01)
    assert np.abs(sound[int(2.3 * RATE) :]).max() < 0.01


def test_a_piece_has_a_fixed_loudness_and_is_reproducible(font: SoundFont) -> None:
    notes = compose("rock", 0, seconds=6.0)
    sound = font.render(notes, RATE, seconds=5.0)
    assert len(sound) == 5 * RATE
    assert np.abs(sound).max() < 1
    assert 0.06 < np.sqrt(np.mean(sound**2)) < 0.12
    assert np.array_equal(font.render(notes, RATE, seconds=5.0), sound)
    assert len(font.render(notes[:0], RATE)) == RATE // 2


def test_what_is_no_soundfont_is_one_line(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"^--soundfont .*gone\.sf2: no such file; give a SoundFont"):
        SoundFont(tmp_path / "gone.sf2")
    (tmp_path / "text.sf2").write_text("no instruments")
    with pytest.raises(UsageError, match=r"text\.sf2: not a SoundFont"):
        SoundFont(tmp_path / "text.sf2")
    with pytest.raises(UsageError, match="no such file"):
        SoundFont(tmp_path)
    monkeypatch.setitem(sys.modules, "tinysoundfont", None)
    with pytest.raises(UsageError, match=r"sine\.sf2: needs tinysoundfont.*pip install --no-deps tinysoundfont"):
        SoundFont(file)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_damaged_soundfont_is_one_line(font: SoundFont, file: Path, tmp_path: Path, share: float) -> None:
    data = file.read_bytes()
    (tmp_path / "half.sf2").write_bytes(data[: int(share * len(data))])
    with pytest.raises(UsageError, match=r"half\.sf2: a damaged SoundFont"):
        SoundFont(tmp_path / "half.sf2")


@pytest.mark.parametrize(
    ("table", "at"),
    [
        ("phdr", 38 * 5 + 24),
        ("pbag", 4 * 7),
        ("pgen", 4 * 3 + 2),
        ("inst", 20),
        ("ibag", 4),
        ("igen", 4 + 2),
        ("shdr", 24),
    ],
)
def test_an_index_out_of_range_is_one_line(font: SoundFont, file: Path, tmp_path: Path, table: str, at: int) -> None:
    """The library would end the program."""
    data = bytearray(file.read_bytes())
    place = data.index(table.encode()) + 8 + at
    data[place : place + 2] = b"\xff\xff"
    (tmp_path / "odd.sf2").write_bytes(data)
    with pytest.raises(UsageError, match=r"odd\.sf2: a damaged SoundFont"):
        SoundFont(tmp_path / "odd.sf2")
