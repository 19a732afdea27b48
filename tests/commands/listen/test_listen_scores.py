"""`musiccli listen` with a generator of notes: scores and recordings that it continues."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile

from musicgen_cls import untrained
from musicgen_cls.commands.listen.answer import LONGEST_S, Limits, Song
from musicgen_cls.commands.listen.models import NoteMaker, choices, load_generator, load_maker
from musicgen_cls.commands.listen.page import Application, _dropped
from musicgen_cls.commands.listen.scores import continued_score
from musicgen_cls.commands.listen.service import Service
from musicgen_cls.datamodules import note_prompts
from musicgen_cls.errors import CheckpointError, MusicClsError
from musicgen_cls.notes import transcribe
from musicgen_cls.notes.composed import compose
from musicgen_cls.notes.midi import read_midi, write_midi
from sine_network import sine_network, write_tones

LIMITS = Limits(max_mb=50, max_minutes=10)


@pytest.fixture(scope="module")
def maker(notes_generator: Path) -> NoteMaker:
    found = load_maker(str(notes_generator))
    assert isinstance(found, NoteMaker)
    return found


@pytest.fixture
def service(notes_generator: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(untrained, "checkpoint", lambda *_: trained)
    return Service(choices([str(notes_generator)]), LIMITS, tmp_path / "sessions")


@pytest.fixture
def score(tmp_path: Path) -> Song:
    write_midi(compose("jazz", 9, seconds=8.0), tmp_path / "upload.mid")
    return Song(tmp_path / "upload.mid", "my tune.mid")


def test_a_score_is_continued(maker: NoteMaker, score: Song) -> None:
    shares: list[float] = []
    found = continued_score(score, maker, "jazz", 0, 6, 0, shares.append)
    begun = read_midi(score.path)
    begun = begun[begun["onset"] < 48]
    assert np.array_equal(found.notes[["onset", "pitch"]][: len(begun)], begun[["onset", "pitch"]])
    assert len(found.notes) > len(begun)
    assert 0 < found.sound.prompt_s == found.sound.prompt_s_of_score < 6
    assert shares == sorted(shares)
    assert np.array_equal(found.notes, continued_score(score, maker, "jazz", 0, 6, 0).notes)
    assert not np.array_equal(found.notes, continued_score(score, maker, "jazz", 0, 6, 1).notes)


def test_the_page_has_players_a_piano_roll_and_the_score(service: Service, score: Song) -> None:
    text = service.continued("one", score, "notes.ckpt", "metal", 0, 5, 0, lambda _: None)
    assert text.count("<audio") == 2
    assert "prompt and continuation" in text
    assert 'alt="piano roll of prompt and continuation" src="data:image/png;base64,' in text
    address = re.search(r'href="gradio_api/file=([^"]*)" download', text)
    assert address is not None
    path = Path(unquote(address[1]))
    assert path.name == "my tune-continued.mid"
    assert path.is_relative_to(service.folder)
    assert len(read_midi(path)) > 10
    message, best = service.answer("one", score, "untrained")
    assert best is None
    assert "my tune.mid: a score; a generator of notes can continue it" in message


def test_a_recording_is_continued(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcribe, "network", sine_network)
    monkeypatch.setattr(note_prompts, "fetch", Path)
    tones = write_tones(tmp_path / "tones.wav", [60, 64, 67, 72, 67, 64, 65, 60] * 2, 120)
    text = service.continued("one", Song(tones, "tones.wav"), "notes.ckpt", "jazz", 0, 5, 0, lambda _: None)
    assert text.count("<audio") == 2
    assert re.search(r"prompt, [12]\.\d s of tones.wav", text)
    soundfile.write(tmp_path / "silence.wav", np.zeros(8000), 8000)
    text = service.continued("one", Song(tmp_path / "silence.wav", "s.wav"), "notes.ckpt", "jazz", 0, 5, 0, lambda _: 0)
    assert "s.wav: silent throughout" in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    ("genre", "start_s", "seconds", "message"),
    [
        ("polka", 0, 5, "genre 'polka': the generator has jazz, metal"),
        ("jazz", 1, 5, "start of the prompt, 1 s: a generator of notes starts at the first beat"),
        ("jazz", float("nan"), 5, "start of the prompt, nan s"),
        ("jazz", 0, LONGEST_S + 1, "length 31 s: must be more than 0 s, at most 30 s"),
        ("jazz", 0, 0.05, "length 0.05 s: the first bar alone has"),
    ],
)
def test_impossible_values(
    maker: NoteMaker, score: Song, genre: str, start_s: float, seconds: float, message: str
) -> None:
    with pytest.raises(MusicClsError, match=re.escape(message)):
        continued_score(score, maker, genre, start_s, seconds, 0)


def test_a_damaged_score_has_its_own_name(service: Service, tmp_path: Path) -> None:
    (tmp_path / "upload.mid").write_text("words")
    song = Song(tmp_path / "upload.mid", "words.mid")
    text = service.continued("one", song, "notes.ckpt", "jazz", 0, 5, 0, lambda _: None)
    assert text.startswith('<p class="message" role="alert">words.mid: not a MIDI file')


def test_kinds_of_generators(notes_generator: Path, service: Service, generator: Path) -> None:
    with pytest.raises(CheckpointError, match="not a generator of audio"):
        load_generator(str(notes_generator))
    assert _dropped(service.choices) == "Audio, a video with sound, or a MIDI file"
    assert _dropped(choices([str(generator)])) == "Audio, or a video with sound"
    application = Application(service.choices, LIMITS)
    application.close()
