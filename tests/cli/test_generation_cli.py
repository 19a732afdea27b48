"""Generators through the command line: fit, test, predict, resume, one genre after another."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from torch.utils.tensorboard import SummaryWriter

import musicgen_cls
from musicgen_cls.__main__ import main
from musicgen_cls.callbacks import continuations
from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.commands.judge.music import load_generated
from musicgen_cls.sources.folder import Folder
from musicgen_cls.synth.render import render
from musicgen_cls.trust import TRUST_VARIABLE

CONFIGS = Path(musicgen_cls.__file__).parent / "configs"
RATE = 4000
QUIET = ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]
LOGS = ["--trainer.logger.name", "echo"]
DATA = ["--data", "WaveformWindows", "--data.sample_rate", str(RATE), "--data.batch", "track"]
DATA += ["--data.target_seconds", "0.1", "--data.hop_seconds", "1.0"]


@pytest.fixture(scope="module", autouse=True)
def trusted() -> Iterator[None]:
    """The network of these tests is none of the package's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TRUST_VARIABLE, "echo")
        yield


@pytest.fixture(scope="module")
def songs(tmp_path_factory) -> Path:
    """Two genres of five tracks of 4 s."""
    root = tmp_path_factory.mktemp("generation") / "songs"
    for genre in ("jazz", "metal"):
        (root / genre).mkdir(parents=True)
        for n in range(5):
            soundfile.write(root / genre / f"{n}.wav", render(genre, n, seconds=4.0, sample_rate=RATE), RATE)
    return root


def fit_args(songs: Path, *more: str) -> list[str]:
    share = ["--data.fractions", "[0.6, 0.0, 0.4]", "--trainer.max_epochs", "2"]
    source = ["--data.source", "Folder", "--data.source.root", str(songs)]
    return ["--model", "GenreGenerator", "--model.network", "echo.Echo", *DATA, *source, *share, *LOGS, *QUIET, *more]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a command line in an empty folder; gives status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musiccli"])

    def call(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(arg) for arg in args])
        return status, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def checkpoint(songs, tmp_path_factory) -> Path:
    """Of a network that knows both genres."""
    folder = tmp_path_factory.mktemp("echo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["musiccli"])
        assert main(["fit", *fit_args(songs)]) == 0
    return folder / "lightning_logs" / "echo" / "version_0" / "checkpoints" / "best.ckpt"


def wavs(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.wav"))}


class TestFit:
    def test_writes_a_loss_report_and_figures_for_tensorboard(self, checkpoint):
        run_folder = checkpoint.parents[1]
        (report,) = run_folder.rglob("report.json")
        loss = json.loads(report.read_text())["loss"]
        assert loss["value"] > 0
        assert loss["low"] < loss["value"] < loss["high"]
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        names: dict[str, set[str]] = {"scalars": set(), "images": set(), "audio": set()}
        for events in run_folder.glob("events*"):
            board = EventAccumulator(str(events)).Reload()
            for kind, found in names.items():
                found |= set(board.Tags()[kind])
        assert {"val_loss", "train_loss_epoch"} <= names["scalars"]
        assert {name.split("/")[0] for name in names["images"]} == {"continuation", "waveform"}
        assert len(names["audio"]) == 2
        said = r"continuation/sample [12], (jazz|metal), prompt \1/\d\.wav from \d\.\d s"
        assert all(re.fullmatch(said, name) for name in names["audio"])

    def test_resumes_to_the_same_weights(self, run, songs):
        settings = fit_args(songs, "--test_after_fit", "false")
        assert run("fit", *settings, "--trainer.max_epochs", 3)[0] == 0
        assert run("fit", *settings, "--trainer.max_epochs", 1, "--trainer.logger.name", "b")[0] == 0
        more = ["--trainer.max_epochs", "3", "--trainer.logger.name", "b", "--ckpt_path", "last"]
        assert run("fit", *settings, *more)[0] == 0
        import torch

        ends = [Path("lightning_logs") / name / "version_0/checkpoints/last.ckpt" for name in ("echo", "b")]
        whole, resumed = (torch.load(end, weights_only=True)["state_dict"] for end in ends)
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)

    def test_fit_genres_trains_generators(self, run, songs):
        source = ["--data.source", "Folder", "--data.source.root", songs]
        status, _, err = run("fit-genres", "--config", CONFIGS / "vgg.yaml", *source)
        assert status == 2
        assert "fit-genres: trains generators" in err

    def test_fit_genres_without_validation(self, run, songs):
        no_validation = ["--trainer.limit_val_batches", "0", "--test_after_fit", "false", "--data.genres", "[jazz]"]
        status, out, err = run("fit-genres", "--run", "unvalidated", *fit_args(songs), *no_validation)
        assert status == 0, err
        assert " - " in out.splitlines()[-1]

    def test_fit_genres_takes_no_checkpoint(self, run, songs):
        status, _, err = run("fit-genres", *fit_args(songs), "--ckpt_path", "x.ckpt")
        assert status == 2
        assert "--ckpt_path" in err

    def test_test_gives_the_same_loss_again(self, run, checkpoint):
        (report,) = checkpoint.parents[1].rglob("report.json")
        status, out, err = run("test", "--ckpt_path", checkpoint, "--out", "again", *QUIET)
        assert status == 0, err
        assert json.loads(Path("again/report.json").read_text())["loss"] == json.loads(report.read_text())["loss"]
        assert "4 held-out tracks" in out


SMALL = {
    "generator_gru": ["--model.network.hidden", "8", "--model.network.channels", "8"],
    "generator": ["--model.network.hidden", "16", "--model.network.width", "16"],
    "generator_flow": [
        *("--model.network.width", "16", "--model.network.n_fft", "256", "--model.network.hop_length", "64"),
        *("--model.network.n_mels", "24", "--model.network.steps", "2", "--model.network.griffin_lim", "2"),
        *("--data.target_seconds", "0.5"),
    ],
}


@pytest.mark.parametrize("config", SMALL)
def test_each_config_fits_tests_continues_and_resumes(run, songs, config):
    source = ["--data.source", "Folder", "--data.source.root", songs, "--data.sample_rate", RATE]
    share = ["--data.fractions", "[0.6, 0.0, 0.4]", "--model.seconds", "1.5"]
    fit = ["fit", "--config", CONFIGS / f"{config}.yaml", *source, *share, *SMALL[config], *QUIET]
    status, out, err = run(*fit, "--trainer.max_epochs", 1)
    assert status == 0, err
    assert "4 held-out tracks" in out
    status, out, err = run(*fit, "--trainer.max_epochs", 2, "--ckpt_path", "last", "--test_after_fit", "false")
    assert status == 0, err
    best = f"lightning_logs/{config}/version_0/checkpoints/best.ckpt"
    assert read_checkpoint(Path(best).with_name("last.ckpt")).epoch == 1
    status, out, err = run("predict", "--ckpt_path", best)
    assert status == 0, err
    made = [soundfile.read(path)[0] for path in sorted(Path("generated").rglob("*.wav"))]
    assert [len(y) for y in made] == [1.5 * RATE] * 4


class TestPredict:
    def test_writes_what_folder_reads(self, run, checkpoint, songs):
        status, out, err = run("predict", "--ckpt_path", checkpoint, "--model.seconds", 2.5, *QUIET)
        assert status == 0, err
        lines = [json.loads(line) for line in Path("generated/continuations.jsonl").read_text().splitlines()]
        assert len(lines) == 4
        known = read_checkpoint(checkpoint)
        assert f"2 genres, trained for {known.steps} steps in " in out
        assert f"Warning:     the generator was trained for {known.steps} steps" in out
        assert "fewer than 1,000" in out
        source = Folder("generated")
        assert source.genres == ("jazz", "metal")
        assert source.problems() == []
        assert {track.id for track in source.tracks()} == {line["file"] for line in lines}
        for line in lines:
            y, rate = soundfile.read(Path("generated") / line["file"])
            assert (rate, len(y)) == (RATE, 2.5 * RATE)
            seed = soundfile.read(line["prompt"])[0][:3600]
            np.testing.assert_allclose(y[:3600], seed, atol=2 / 32768)
            levels = [20 * np.log10(np.sqrt(np.mean(y[s : s + RATE] ** 2))) for s in (0, RATE, 2 * RATE)]
            np.testing.assert_allclose(line["loudness_db"], levels, atol=0.02)
            assert Path(line["prompt"]).parent.name == line["genre"]
            assert line["checkpoint"] == str(checkpoint)
            assert (line["steps"], line["epochs"]) == (known.steps, known.epoch + 1)
            for picture in (".mel.png", ".waveform.png"):
                assert (Path("generated") / line["file"]).with_suffix(picture).read_bytes()[:4] == b"\x89PNG"
            assert line["file"] in out

    def test_an_own_file(self, run, checkpoint, songs):
        file = songs / "jazz" / "0.wav"
        args = ["--data.genre", "metal", "--figure_format", "svg", "--model.seconds", 1.5]
        status, out, err = run("predict", "--ckpt_path", checkpoint, "--data.files", file, *args)
        assert status == 0, err
        pictures = [path.name for path in Path("generated").rglob("*.*g") if path.suffix in (".png", ".svg")]
        assert sorted(pictures) == ["metal.00000.mel.svg", "metal.00000.waveform.svg"]
        assert list(wavs(Path("generated"))) == ["metal/metal.00000.wav"]
        assert str(file) in out
        Path("mine").mkdir()
        Path("mine/0.wav").write_bytes(file.read_bytes())
        Path("mine/1.m4p").touch()
        _, _, err = run("predict", "--ckpt_path", checkpoint, "--data.files", "mine", *args)
        assert err.count("left out: mine/1.m4p: m4p is copy-protected and cannot be decoded") == 1

    def test_a_folder_that_holds_something_is_left_alone(self, run, checkpoint):
        Path("mine").mkdir()
        Path("mine/diary.txt").write_text("dear")
        args = ["predict", "--ckpt_path", checkpoint, "--out", "mine", "--model.seconds", 1.5]
        for _ in range(2):
            status, _out, err = run(*args)
            assert status == 0, err
        assert sorted(path.name for path in Path.cwd().iterdir()) == ["mine", "mine-1", "mine-2"]
        assert list(Path("mine").iterdir()) == [Path("mine/diary.txt")]
        assert wavs(Path("mine-1")) == wavs(Path("mine-2"))
        for _ in range(2):
            status, _, err = run(*args, "--overwrite", "true")
            assert status == 0, err
        assert len(Path("mine/continuations.jsonl").read_text().splitlines()) == 4
        assert len(wavs(Path("mine"))) == 4
        assert Path("mine/diary.txt").read_text() == "dear"

    def test_damaged_files_of_its_own_are_named_before_the_work(self, run, checkpoint):
        Path("mine").mkdir()
        for name, damage, options, said in (
            ("continuations.jsonl", '{"file": null}\n', ["--overwrite", "true"], "line 1: "),
            ("generation.json", "[" * 100_000, [], "nested too deeply; delete it"),
        ):
            Path("mine", name).write_text(damage)
            status, _, err = run("predict", "--ckpt_path", checkpoint, "--out", "mine", *options, *QUIET)
            assert status == 2
            assert f"musiccli: error: mine/{name}: {said}" in err
            assert "Traceback" not in err
        assert not list(Path("mine").rglob("*.wav"))

    def test_batches_and_a_stop_do_not_matter(self, run, checkpoint, monkeypatch):
        args = ["predict", "--ckpt_path", checkpoint, "--data.batch_size", 1, "--model.seconds", 2]
        run(*args, "--out", "whole", "--data.batch_size", 3)
        draw = continuations.ContinuationWriter._describe
        calls = []

        def stop(self, *rest):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            draw(self, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(continuations.ContinuationWriter, "_describe", stop)
            assert run(*args)[0] == 130
        before = {path: path.stat().st_mtime_ns for path in Path("generated").rglob("*.waveform.png")}
        assert len(before) == 2
        status, out, err = run(*args)
        assert status == 0, err
        assert "2 recordings already written" in out
        assert out.splitlines()[-1] == "Listen:      generated/index.html"
        assert Path("generated/index.html").read_text().count("<audio") == 4
        assert wavs(Path("generated")) == wavs(Path("whole"))
        assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
        assert not Path("generated-1").exists()

    def test_a_disk_that_fills_in_mid_file(self, run, checkpoint, monkeypatch):
        args = ["predict", "--ckpt_path", checkpoint, "--data.batch_size", 2, "--model.seconds", 2.5]
        pcm, pieces = continuations.to_pcm, []

        def fill(waveform):
            pieces.append(1)
            if len(pieces) == 25:  # in the second batch
                raise OSError(28, "No space left on device")
            return pcm(waveform)

        with monkeypatch.context() as patch:
            patch.setattr(continuations, "to_pcm", fill)
            status, _, err = run(*args)
        assert status == 2
        assert "musiccli: error: generated: cannot be written (No space left" in err.splitlines()[-1]
        assert len(wavs(Path("generated"))) == 2
        assert not list(Path("generated").rglob(".*"))
        assert run(*args)[0] == 0
        assert len(wavs(Path("generated"))) == 4


ODD_GENRE = "Old-Time / Historic"


@pytest.fixture(scope="module")
def odd(songs, tmp_path_factory) -> Path:
    """Songs of such a genre and another, in a folder to run commands in."""
    from musicgen_cls.files import safe_name

    source = tmp_path_factory.mktemp("odd") / "songs"
    for genre, name in (("jazz", safe_name(ODD_GENRE)), ("metal", "metal")):
        shutil.copytree(songs / genre, source / name)
    lines = [{"file": f"{safe_name(ODD_GENRE)}/{n}.wav", "genre": ODD_GENRE} for n in range(5)]
    (source / "continuations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return source


@pytest.fixture(scope="module")
def generated(odd) -> Path:
    """Recordings of a network that knows both genres."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(odd.parent)
        patch.setattr(sys, "argv", ["musiccli"])
        patch.setattr(SummaryWriter, "add_figure", lambda *args, **options: None)
        assert main(["fit", *fit_args(odd), "--trainer.max_epochs", "1", "--test_after_fit", "false"]) == 0
        best = "lightning_logs/echo/version_0/checkpoints/best.ckpt"
        assert main(["predict", "--ckpt_path", best, "--model.seconds", "1.5", *QUIET]) == 0
    return odd.parent / "generated"


class TestGenresThatAreNoFileNames:
    """FMA's "Old-Time / Historic", for one: a genre's own name stands in continuations.jsonl."""

    def test_readers_agree_on_it(self, generated):
        assert Folder(str(generated)).genres == ("Old-Time / Historic", "metal")
        assert list(load_generated(generated).sounds) == [ODD_GENRE, "metal"]
        assert all(path.parent.parent == generated for path in generated.rglob("*.wav"))

    def test_one_genre_after_another_and_again(self, run, odd):
        command = ["fit-genres", "--run", "r", *fit_args(odd), "--trainer.max_epochs", "1", "--test_after_fit", "false"]
        status, out, err = run(*command)
        assert status == 0, err
        checkpoints = list(Path("lightning_logs/echo/r").glob("*/checkpoints/best.ckpt"))
        runs = {read_checkpoint(path).genres[0]: path.parents[1] for path in checkpoints}
        assert set(runs) == {ODD_GENRE, "metal"}
        assert all(len(read_checkpoint(path).genres) == 1 for path in checkpoints)
        assert all(genre in out for genre in runs)
        assert len(list(Path("lightning_logs/echo/r").iterdir())) == 2
        (runs["metal"] / "finished.json").unlink()
        stamp = (runs[ODD_GENRE] / "checkpoints/last.ckpt").stat().st_mtime_ns
        status, _, err = run(*command)
        assert status == 0, err
        assert f"{ODD_GENRE}: already finished" in err
        assert "metal: already finished" not in err
        assert (runs[ODD_GENRE] / "checkpoints/last.ckpt").stat().st_mtime_ns == stamp

    def test_its_own_recordings_can_be_continued(self, generated, run):
        best = generated.parent / "lightning_logs/echo/version_0/checkpoints/best.ckpt"
        (made,) = [path for path in generated.glob("*/*.00000.wav") if "Old" in path.name]
        status, _, err = run("predict", "--ckpt_path", best, "--data.files", made, *QUIET)
        assert status == 0, err
        assert json.loads(Path("generated/continuations.jsonl").read_text())["genre"] == ODD_GENRE


@pytest.fixture(scope="module")
def vgg(songs, tmp_path_factory) -> Path:
    """The checkpoint of a classifier of both genres."""
    folder = tmp_path_factory.mktemp("vgg")
    small = ["--data.seconds", "1", "--data.fractions", "[0.6,0.2,0.2]", "--model.network.width", "2"]
    small += ["--data.sample_rate", str(RATE), "--trainer.max_epochs", "1", "--test_after_fit", "false", *QUIET]
    source = ["--data.source", "Folder", "--data.source.root", str(songs)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["musiccli"])
        assert main(["fit", "--config", str(CONFIGS / "vgg.yaml"), *source, *small]) == 0
    return folder / "lightning_logs/vgg/version_0/checkpoints/best.ckpt"


class TestJudging:
    def test_a_classifier_over_generated_music_beside_real_music(self, run, checkpoint, songs, vgg):
        assert run("predict", "--ckpt_path", checkpoint, "--model.seconds", 3)[0] == 0
        places = ["--data.source.root", "generated", "--beside.root", str(songs), "--data.span", "[0.9, 3.0]"]
        judged = ["test", "--config", CONFIGS / "judge_generated.yaml", "--ckpt_path", vgg, *places, *QUIET]
        status, out, err = run(*judged, "--out", "judged")
        assert status == 0, err
        reports = [json.loads(Path(f"judged/{name}report.json").read_text()) for name in ("", "beside/")]
        assert [report["tracks"] for report in reports] == [4, 10]
        assert [report["windows"] for report in reports] == [8, 20]
        assert Path("judged/beside.png").read_bytes()[:4] == b"\x89PNG"
        assert "Side by side: judged/beside.png" in out

    def test_a_span_shorter_than_a_window(self, run, songs):
        args = ["--config", CONFIGS / "vgg.yaml", "--data.source", "Folder", "--data.source.root", songs]
        status, _, err = run("fit", *args, "--data.span", "[1, 2]")
        assert status == 2
        assert "--data.span [1.0, 2.0]" in err


class TestBadInput:
    @pytest.mark.parametrize("seconds", ["0", "-3", "0.9", "much"])
    def test_seconds(self, run, checkpoint, seconds):
        status, _, err = run("predict", "--ckpt_path", checkpoint, "--model.seconds", seconds)
        assert status == 2
        assert "seconds" in err
        assert "Traceback" not in err
        assert not wavs(Path())

    def test_a_classifiers_checkpoint(self, run, vgg):
        config = Path("generator.yaml")
        config.write_text(
            yaml.safe_dump(
                {"model": {"class_path": "GenreGenerator", "init_args": {"network": {"class_path": "echo.Echo"}}}}
            )
        )
        status, _, err = run("predict", "--config", config, "--ckpt_path", vgg)
        assert status == 2
        assert "GenreClassifier" in err
        assert "GenreGenerator" in err

    def test_a_generators_checkpoint_to_load(self, checkpoint):
        import musicgen_cls
        from musicgen_cls.errors import CheckpointError

        with pytest.raises(CheckpointError, match="a generator, not a classifier"):
            musicgen_cls.load(checkpoint)

    def test_out_is_a_file(self, run, checkpoint):
        Path("here").write_text("x")
        status, _, err = run("predict", "--ckpt_path", checkpoint, "--out", "here/there")
        assert status == 2
        assert "--out" in err

    def test_an_unknown_genre(self, run, checkpoint):
        status, _, err = run("predict", "--ckpt_path", checkpoint, "--data.genre", "jaz")
        assert status == 2
        assert "did you mean 'jazz'" in err
