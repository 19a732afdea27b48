"""Generators of notes through the command line: fit, test, resume, predict, judge, and bad input."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_cls.__main__ import main
from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.notes.families import FAMILIES
from musicgen_cls.notes.midi import read_midi
from musicgen_cls.notes.score import length_seconds
from small_checkpoints import write_songs

Run = Callable[..., tuple[int, str, str]]

QUIET = ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]
GENRES = ("jazz", "metal")
SMALL = {
    "score_quickstart": ["--model.network.dim", "16", "--model.network.layers", "1", "--model.network.heads", "2"],
    "score_transformer": ["--model.network.dim", "16", "--model.network.layers", "1", "--model.network.heads", "2"],
    "score_rnn": ["--model.network.dim", "16", "--model.network.layers", "1"],
    "score_markov": ["--model.network.buckets", "4096"],
}


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two genres of four composed songs of 12 s."""
    return write_songs(tmp_path_factory.mktemp("scores") / "midi", 4, 12.0)


def fit_args(scores: Path, config: str, *more: str) -> list[str]:
    steps = [] if config == "score_markov" else ["--trainer.limit_train_batches", "2", "--trainer.max_epochs", "1"]
    data = ["--data.source", "MidiFolder", "--data.source.root", str(scores), "--data.fractions", "[0.5, 0.25, 0.25]"]
    size = ["--data.notes", "48", "--data.batch_size", "4", *SMALL[config]]
    return ["fit", "--config", config, *data, *size, "--trainer.logger.name", config, *steps, *QUIET, *more]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in an empty folder; gives status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musiccli"])

    def call(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(arg) for arg in args])
        return status, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def checkpoint(scores: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of an n-gram, which knows something after one pass."""
    folder = tmp_path_factory.mktemp("markov")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["musiccli"])
        assert main(fit_args(scores, "score_markov")) == 0
    yield folder / "lightning_logs/score_markov/version_0/checkpoints/best.ckpt"
    shutil.rmtree(folder)


@pytest.mark.parametrize("config", [name for name in SMALL if name != "score_markov"])
def test_each_config_fits_tests_and_resumes(config: str, scores: Path, run: Run) -> None:
    status, out, err = run(*fit_args(scores, config))
    assert status == 0, err
    assert "bits a note" in out
    folder = Path("lightning_logs") / config / "version_0"
    check_report(folder / "checkpoints/best.ckpt", run)
    if config == "score_transformer":
        more = run(
            *fit_args(scores, config, "--trainer.max_epochs", "2"),
            *("--ckpt_path", folder / "checkpoints/last.ckpt", "--test_after_fit", "false"),
        )
        assert more[0] == 0, more[2]
        assert max(read_checkpoint(path).steps for path in Path("lightning_logs").rglob("last.ckpt")) == 4


def test_the_config_of_the_n_gram(checkpoint: Path, run: Run) -> None:
    check_report(checkpoint, run)


def check_report(best: Path, run: Run) -> None:
    """The report of a fit is complete, and `test` gives its figures again."""
    report = json.loads((best.parent / "best-test-midi-track/report.json").read_text())
    assert set(report["bits_by_genre"]) == set(GENRES)
    assert report["bits_a_note"] == pytest.approx(sum(report["bits_by_field"].values()))
    assert len(report["bits_of_pieces"]) == report["tracks"] >= 2
    assert not report["can_leak"]
    assert list(best.parents[1].glob("events.out.tfevents.*"))
    again = run("test", best)
    assert again[0] == 0, again[2]
    assert f"mean of genres  {report['bits_a_note']:6.2f}".split()[-1] in again[1]


def test_one_network_for_each_genre(scores: Path, run: Run) -> None:
    args = fit_args(scores, "score_markov", "--trainer.logger.name", "each", "--test_after_fit", "false")
    status, out, err = run("fit-genres", *args[1:])
    assert status == 0, err
    for genre in GENRES:
        best = Path(f"lightning_logs/each/genres/{genre}/checkpoints/best.ckpt")
        assert read_checkpoint(best).genres == [genre]
        assert str(best) in out


def test_predict_by_genre_alone(checkpoint: Path, run: Run, scores: Path) -> None:
    """No file and no source: pieces of each genre, with key, tempo and instruments of training pieces."""
    status, out, err = run("predict", checkpoint, "--takes", 2, "--model.seconds", 2, "--data.source.root", "gone")
    assert status == 0, err
    lines = [json.loads(line) for line in Path("generated/continuations.jsonl").read_text().splitlines()]
    assert [line["genre"] for line in lines] == ["jazz", "jazz", "metal", "metal"]
    assert "bars that return" in out
    assert "fewer than 200: it is hardly trained" in out
    for line in lines:
        path = Path("generated") / line["score"]
        notes = read_midi(path)
        assert len(notes) == pytest.approx(line["notes"], abs=2)  # equal notes of one onset are written once
        assert length_seconds(notes) < 12
        waveform, rate = soundfile.read(path.with_suffix(".wav"))
        assert rate == 22050
        assert len(waveform) / rate == pytest.approx(line["seconds"], abs=0.01)
        assert np.abs(waveform).max() > 0.01
        assert path.with_suffix(".roll.png").is_file()
        assert 20 <= line["tempo"] <= 255
        known = [read_midi(song) for song in (scores / line["genre"]).iterdir()]
        assert line["tempo"] in {int(song["tempo"][0]) for song in known}
        assert set(notes["family"]) <= {number for song in known for number in song["family"]}
    page = Path("generated/index.html").read_text()
    assert page.count("piano roll of") == 4
    assert "without a prompt, sample 2 of 2" in page


def test_the_same_seed_gives_the_same_pieces(checkpoint: Path, run: Run) -> None:
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        args = [
            "predict",
            checkpoint,
            "--genre",
            "jazz",
            "--model.seconds",
            "2",
            "--out",
            out,
            "--seed_everything",
            seed,
        ]
        assert run(*args)[0] == 0
    first, second, other = (Path(out, "jazz/jazz.00000.mid").read_bytes() for out in "abc")
    assert first == second != other


def test_predict_continues_a_score_in_its_key_and_tempo(checkpoint: Path, run: Run, scores: Path) -> None:
    song = scores / "jazz/song0jazz.mid"
    status, _, err = run("predict", checkpoint, song, "--data.prompt_bars", 2, "--model.seconds", 10)
    assert status == 0, err
    line = json.loads(Path("generated/continuations.jsonl").read_text())
    begun, found = read_midi(song), read_midi(Path("generated/jazz/jazz.00000.mid"))
    prompt = begun[begun["onset"] < 2 * int(begun["bar"][0])]
    same = ["onset", "family", "pitch"]
    assert np.array_equal(found[same][: len(prompt)], prompt[same])
    assert len(found) > len(prompt)
    assert set(found["tempo"]) == set(begun["tempo"])
    assert line["prompt"] == str(song)
    assert line["context_seconds"] == pytest.approx(
        2 * int(begun["bar"][0]) / 12 * 60 / int(begun["tempo"][0]), rel=0.2
    )


def test_tempo_instruments_and_density_can_be_chosen(checkpoint: Path, run: Run) -> None:
    options = ["--model.tempo", 77, "--model.instruments", "[piano, bass]", "--model.bars", 2, "--model.density", 3.5]
    assert run("predict", checkpoint, "--genre", "jazz", *options)[0] == 0
    notes = read_midi(Path("generated/jazz/jazz.00000.mid"))
    assert set(notes["tempo"]) == {77}
    assert {FAMILIES[number] for number in set(notes["family"])} <= {"piano", "bass"}
    assert notes["onset"].max() < 2 * int(notes["bar"][0])


BAD = {
    "an unknown genre": (["--genre", "polka"], "no such genre; the genres are jazz, metal"),
    "an unknown instrument": (["--model.instruments", "[kazoo]"], "no such family"),
    "a tempo that no score has": (["--model.tempo", "0"], "from 20 to 255"),
    "a share above one": (["--model.top_p", "1.5"], "at most 1"),
    "no length": (["--model.seconds", "0"], "--model.seconds"),
    "no bars": (["--model.bars", "0"], "--model.bars"),
    "no notes": (["--model.density", "0"], "--model.density 0"),
    "a file that is not there": (["gone.mid"], "no such file"),
    "a file that is no score": (["text.mid"], "text.mid: not a MIDI file"),
    "a score as long as the piece": (["{song}", "--model.seconds", "1"], "--model.seconds 1: the prompt alone has"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line(case: str, checkpoint: Path, run: Run, scores: Path) -> None:
    Path("text.mid").write_text("no music")
    options, reason = BAD[case]
    song = scores / "jazz/song0jazz.mid"
    status, _, err = run("predict", checkpoint, *(word.format(song=song) for word in options))
    assert status == 2
    assert reason in err
    assert err.strip().count("\n") == 0
    assert not Path("generated").exists()


def test_scores_and_waveforms_do_not_mix(scores: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "music/jazz").mkdir(parents=True)
    soundfile.write(tmp_path / "music/jazz/a.wav", np.zeros(8000, np.float32), 8000)
    folder = ["--data.source", "Folder", "--data.source.root", "music"]
    for args, reason in (
        (["--config", "generator_flow", "--data.source", "MidiFolder", "--data.source.root", scores], "scores"),
        (["--config", "score_rnn", *folder], "recordings, not scores"),
        (["--config", "score_rnn", "--model.network", "VGG"], "VGG"),
        (["--config", "generator_flow", "--model.network", "NoteRNN"], "NoteRNN"),
        (["--config", "score_rnn", "--data", "WaveformWindows", *folder], "no 'tokens', which NoteGenerator needs"),
        (["--config", "vgg", "--model", "NoteGenerator", "--data.source", "SyntheticGenres"], "NoteGenerator"),
    ):
        status, _, err = run("fit", *args, *QUIET)
        assert status == 2, err
        assert reason in err
        assert err.strip().count("\n") == 0


def test_windows_that_are_too_short(scores: Path, run: Run) -> None:
    status, _, err = run(*fit_args(scores, "score_rnn", "--data.notes", "8"))
    assert (status, "--data.notes 8" in err) == (2, True)
    status, _, err = run(*fit_args(scores, "score_rnn", "--data.transpose", "true"))
    assert (status, "--data.to_c false" in err) == (2, True)
