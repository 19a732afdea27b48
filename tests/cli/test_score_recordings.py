"""`predict` of generators of notes: recordings that are continued, and SoundFonts.

A stand-in takes the place of the network that transcribes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from musicgen_cls.__main__ import main
from musicgen_cls.cli.attached import prediction_writer
from musicgen_cls.datamodules import note_prompts
from musicgen_cls.errors import SourceError, UsageError
from musicgen_cls.notes import transcribe
from musicgen_cls.notes.midi import read_midi
from sine_network import sine_network, write_tones
from small_checkpoints import note_checkpoint
from soundfonts import write_soundfont

Run = Callable[..., tuple[int, str, str]]

TUNE = [60, 64, 67, 72, 67, 64, 65, 60] * 3


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return note_checkpoint(tmp_path_factory.mktemp("notes"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in an empty folder; gives status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musiccli"])
    monkeypatch.setattr(transcribe, "network", sine_network)
    monkeypatch.setattr(note_prompts, "fetch", Path)

    def call(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(arg) for arg in args])
        return status, *capsys.readouterr()

    return call


def test_predict_continues_recordings_and_scores(checkpoint: Path, run: Run) -> None:
    """The sound begins with the recording itself, the score with its transcription."""
    Path("songs").mkdir()
    tones = write_tones(Path("songs/a.flac"), TUNE, 120, 0.5, rate=16000)
    score = next((checkpoint.parent / "midi/jazz").glob("*.mid"))
    Path("songs/b.mid").write_bytes(score.read_bytes())
    options = ["--genre", "jazz", "--data.prompt_bars", 2, "--model.seconds", 6]
    status, _, err = run("predict", checkpoint, "songs", *options)
    assert status == 0, err
    lines = [json.loads(line) for line in Path("generated/continuations.jsonl").read_text().splitlines()]
    assert [Path(line["prompt"]).name for line in lines] == ["a.flac", "b.mid"]
    original, _ = soundfile.read(tones, dtype="float32")
    for line in lines[:1]:
        notes = read_midi(Path("generated") / line["score"])
        assert notes["pitch"][:8].tolist() == TUNE[:8]
        assert line["tempo"] in (119, 120, 121)
        assert len(notes) > 8
        assert 3 < line["context_seconds"] <= 4.1
        sound, rate = soundfile.read(Path("generated") / line["file"], dtype="float32")
        same = original[round(0.5 * 16000) : round(0.5 * 16000) + 3 * 16000]
        spectra = [np.abs(np.fft.rfft(part)[:3000]) for part in (sound[: 3 * rate], same)]  # to 1 kHz
        assert np.corrcoef(*spectra)[0, 1] > 0.95
        assert (Path("generated") / line["file"]).with_suffix(".roll.png").is_file()


def test_bad_recordings_get_one_line(checkpoint: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write("silence.wav", np.zeros(8000), 8000)
    soundfile.write("noise.wav", np.random.default_rng(0).normal(0, 0.01, 20000), 8000)
    Path("text.wav").write_text("words")
    Path("empty").mkdir()
    cases = [
        ("silence.wav", "silence.wav: silent throughout"),
        ("noise.wav", "noise.wav: no notes were found in its first"),
        ("text.wav", "text.wav: not audio"),
        ("empty", "--data.files empty: no such file, no folder with such files (mid, midi, wav,"),
    ]

    def unreachable(name: str) -> Path:
        raise SourceError(f"{name} could not be fetched: no network")

    for number, (name, reason) in enumerate([*cases, ("noise.wav", "basic_pitch could not be fetched")]):
        if number == len(cases):
            monkeypatch.setattr(note_prompts, "fetch", unreachable)
        status, _, err = run("predict", checkpoint, name, "--genre", "jazz")
        assert status == 2
        assert reason in err
        assert err.strip().count("\n") == 0
        assert not Path("generated").exists()


def test_a_soundfont_plays_the_pieces(checkpoint: Path, run: Run) -> None:
    pytest.importorskip("tinysoundfont")
    write_soundfont(Path("sine.sf2"))
    for out, options in (("own", []), ("sine", ["--soundfont", "sine.sf2"])):
        options += ["--genre", "jazz", "--model.seconds", 1.5, "--out", out]
        assert run("predict", checkpoint, *options)[0] == 0
    own, sine = (soundfile.read(f"{out}/jazz/jazz.00000.wav")[0] for out in ("own", "sine"))
    assert not np.array_equal(own, sine)
    assert Path("own/jazz/jazz.00000.mid").read_bytes() == Path("sine/jazz/jazz.00000.mid").read_bytes()
    settings = [json.loads(Path(out, "generation.json").read_text())["soundfont"] for out in ("own", "sine")]
    assert settings == [None, "sine.sf2"]


def test_soundfonts_that_are_refused(checkpoint: Path, run: Run) -> None:
    Path("words.sf2").write_text("words")
    for name, reason in (("gone.sf2", "--soundfont gone.sf2: no such file"), ("words.sf2", "not a SoundFont")):
        status, _, err = run("predict", checkpoint, "--genre", "jazz", "--soundfont", name)
        assert (status, reason in err, err.strip().count("\n")) == (2, True, 0)
        assert not Path("generated").exists()


@pytest.mark.parametrize("kind", ["musicgen_cls.tasks.classification.GenreClassifier",
                                  "musicgen_cls.tasks.generation.GenreGenerator"])  # fmt: skip
def test_only_scores_are_played_by_a_soundfont(kind: str) -> None:
    config = SimpleNamespace(model=SimpleNamespace(class_path=kind), soundfont="a.sf2")
    with pytest.raises(UsageError, match=r"--soundfont a.sf2: plays scores only; name the checkpoint of a generator"):
        prediction_writer(config, None)
