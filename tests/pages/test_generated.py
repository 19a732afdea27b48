"""The page of generated music, opened in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from musicgen_cls.formats.generations import Continuation
from musicgen_cls.pages import generated as generated_page
from musicgen_cls.pages.generated import write_generated_page
from musicgen_cls.synth.render import render

RATE, SECONDS = 4000, 3.0
SETTINGS = {"seed": 7, "temperature": 0.9, "top_p": 1.0}


def generated(folder: Path, counts: dict[str, int], steps: int | None = 5000) -> list[Continuation]:
    """Recordings of some genres, two of each prompt, the genre's name being no name of a folder."""
    lines = []
    for number, (genre, count) in enumerate(counts.items()):
        (folder / str(number)).mkdir(parents=True)
        sound = render("jazz", number, seconds=SECONDS, sample_rate=RATE)
        for n in range(count):
            file = f"{number}/{n}.wav"
            soundfile.write(folder / file, sound, RATE)
            lines.append(
                Continuation(
                    file=file, genre=genre, prompt=f"songs/{genre}/{n // 2}.mp3", prompt_id=f"{n // 2}",
                    position=len(lines), generation="g", checkpoint="runs/best.ckpt", steps=steps, epochs=12,
                    sample_rate=RATE, context_seconds=0.9, seconds=SECONDS, loudness_db=[-20.0, -30.0, -70.0],
                )
            )  # fmt: skip
    return lines


def test_a_browser_shows_and_plays_every_recording(tmp_path: Path, opened: Callable[[Path], dict[str, Any]]) -> None:
    lines = generated(tmp_path, {"Old-Time / <Historic>": 2, "rock": 3})
    page = write_generated_page(tmp_path, lines, SETTINGS)
    text = page.read_text()
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", text)
    assert "<script" not in text
    found = opened(page)
    assert found["complaints"] == found["fetched"] == []
    assert len(found["pictures"]) == len(found["sounds"]) == 5
    assert all(seconds == pytest.approx(SECONDS, abs=0.3) for seconds in found["sounds"])
    assert found["played_s"] > 0
    assert not found["wide"]
    for said in (
        "Old-Time / <Historic>", "continues 0.mp3, sample 2 of 2", "runs/best.ckpt", "5,000 steps, 12 epochs",
        "5 from 3 prompts", "This page shows all 5 recordings.", "temperature 0.9",
    ):  # fmt: skip
        assert said in found["text"]
    assert "Warning" not in found["text"]


def test_the_prompt_and_the_loudness_stand_where_they_belong(tmp_path: Path) -> None:
    text = write_generated_page(tmp_path, generated(tmp_path, {"rock": 1}), SETTINGS).read_text()
    assert text.count("width: 30.00%") == 2  # 0.9 of 3 s
    assert '<rect width="30.00"' in text
    (points,) = re.findall(r'points="(.*?)"', text)
    assert points == "0.00,16.7 16.67,16.7 50.00,33.3 83.33,100.0 100.00,100.0"  # from -10 to -70 dB
    assert "This page shows the only recording." in text
    assert "1 recording</p>" in text


def test_a_page_has_limits_and_names_what_it_leaves_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = generated(tmp_path, {"jazz": 4, "rock": 2}, steps=999)
    monkeypatch.setattr(generated_page, "SHOWN", 3)
    text = write_generated_page(tmp_path, lines, SETTINGS).read_text()
    assert text.count("<audio") == 3
    assert re.findall(r"<h3>(.*?)</h3>", text) == ["0.wav", "1.wav", "0.wav"]  # of the genres in turn
    assert "shows 3 of 6 recordings; 3 others can be found" in text
    assert "4 recordings, 2 of them not shown" in text
    assert "trained for 999 steps only" in text
    monkeypatch.setattr(generated_page, "PAGE_BYTES", 1)
    text = write_generated_page(tmp_path, lines, SETTINGS).read_text()
    assert text.count("<audio") == 1


def test_long_recordings_are_played_from_their_start_and_lost_ones_are_left_out(tmp_path: Path, monkeypatch) -> None:
    lines = generated(tmp_path, {"rock": 2}, steps=None)
    monkeypatch.setattr(generated_page, "PLAYED_S", 2)
    (tmp_path / lines[0].file).unlink()
    text = write_generated_page(tmp_path, lines, SETTINGS).read_text()
    assert text.count("<audio") == 1
    assert "the first part of 3 s" in text
    assert "width: 45.00%" in text
    assert '<rect width="30.00"' in text
    assert "unknown" in text


def test_silence_and_sound_at_full_scale(tmp_path: Path) -> None:
    for level in (-100.0, 0.0):
        points = generated_page._curve([level], 1.0, 0.0).split()
        assert {point.split(",")[1] for point in points} == {"100.0" if level < 0 else "0.0"}
    lines = generated(tmp_path, {"rock": 1})
    soundfile.write(tmp_path / lines[0].file, np.zeros(RATE), RATE)
    assert write_generated_page(tmp_path, lines, SETTINGS).is_file()
