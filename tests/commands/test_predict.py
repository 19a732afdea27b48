"""`predict` without Lightning: the same results as with it, on all cores, and resumable."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import Trainer

import musicgen_cls
from musicgen_cls.__main__ import main
from musicgen_cls.checkpoints import read_facts
from musicgen_cls.cli import lightning
from musicgen_cls.commands import predict
from musicgen_cls.datamodules import Embeddings, MelSlices, WaveformSlices
from musicgen_cls.datamodules.stream import version_of
from musicgen_cls.errors import CheckpointError
from musicgen_cls.files import alone
from musicgen_cls.models import VGG, LinearProbe
from musicgen_cls.predictions import JOURNAL, Predictions
from musicgen_cls.pretrained import FineTuned
from musicgen_cls.recogniser import light_parts
from musicgen_cls.sources import Folder
from musicgen_cls.tasks import GenreClassifier
from small_checkpoints import QUIET, classifier_checkpoint

WITH_TRAINER = ("--trainer.accelerator", "cpu")
SILENT = ("--trainer.enable_progress_bar", "false")


@pytest.fixture(scope="module")
def checkpoint(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier_checkpoint(tmp_path_factory.mktemp("predict") / "c.ckpt", music)


@pytest.fixture
def no_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object) -> None:
        raise AssertionError("predict uses Lightning")

    monkeypatch.setattr(lightning, "start", start)


def run(*args: object) -> int:
    return main(["predict", *map(str, args), *SILENT])


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_results_are_those_of_the_trainer(checkpoint: Path, music: Path, inside: Path, capsys: Any) -> None:
    (inside / "broken.wav").write_text("not audio")
    words = (music, inside / "broken.wav", "--ckpt_path", checkpoint, "--threshold", "0.4")
    printed = []
    for out, more in (("quick", ()), ("slow", WITH_TRAINER)):
        assert run(*words, "--out", out, *more) == 0
        printed.append(capsys.readouterr().out.replace(out, ""))
    assert printed[0] == printed[1]
    tables = [pd.read_csv(f"{out}/predictions.csv") for out in ("quick", "slow")]
    pd.testing.assert_frame_equal(*tables, rtol=1e-5)
    assert len(tables[0]) == 18
    rows = [json.loads(Path(f"{out}/predictions.json").read_text()) for out in ("quick", "slow")]
    assert rows[0][-1] == rows[1][-1] == {"file": str(inside / "broken.wav"), "error": rows[0][-1]["error"]}
    for one, other in zip(*rows, strict=True):
        starts = [[part["start_s"] for part in row.get("timeline", ())] for row in (one, other)]
        assert starts[0] == starts[1]


@pytest.mark.usefixtures("no_trainer")
def test_it_needs_no_trainer(checkpoint: Path, music: Path, inside: Path) -> None:
    assert run(music / "jazz", "--ckpt_path", checkpoint) == 0
    with pytest.raises(AssertionError, match="uses Lightning"):
        run(music / "jazz", "--ckpt_path", checkpoint, *WITH_TRAINER)


@pytest.mark.usefixtures("no_trainer")
@pytest.mark.parametrize("variable", ["WORLD_SIZE", "SLURM_NTASKS"])
def test_one_of_several_processes_uses_the_trainer(
    checkpoint: Path, music: Path, inside: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "2")
    with pytest.raises(AssertionError, match="uses Lightning"):
        run(music / "jazz", "--ckpt_path", checkpoint)


@pytest.mark.usefixtures("no_trainer")
def test_a_stopped_run_resumes(
    checkpoint: Path, music: Path, inside: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Of 18 files five are begun before Ctrl-C; the same command predicts those that were not finished."""
    begun, lock, batches = list[str](), Lock(), predict.batches

    def counting(limit: int, path: Path, *args: int) -> Any:
        with lock:
            if len(begun) == limit:
                raise KeyboardInterrupt
            begun.append(path.name)
        return batches(path, *args)

    words = (music, "--ckpt_path", checkpoint)
    assert run(*words, "--out", "whole") == 0
    monkeypatch.setattr(predict, "batches", partial(counting, 5))
    assert run(*words, "--out", "stopped") == 130
    assert not Path("stopped/predictions.csv").exists()
    begun.clear()
    monkeypatch.setattr(predict, "batches", partial(counting, 18))
    capsys.readouterr()
    assert run(*words, "--out", "stopped") == 0
    assert "files already predicted" in capsys.readouterr().out
    assert 13 <= len(begun) < 18
    for name in ("predictions.csv", "predictions.json"):
        assert Path("stopped", name).read_bytes() == Path("whole", name).read_bytes()
    assert sorted(path.name for path in Path("stopped").iterdir()) == ["predictions.csv", "predictions.json"]


@pytest.mark.usefixtures("no_trainer")
def test_a_stopped_run_resumes_with_the_files_as_they_are_now(checkpoint: Path, music: Path, inside: Path) -> None:
    """The folder has another spelling, one file has changed, and one is gone: each file has one row."""
    shutil.copytree(music / "jazz", "songs")
    files = sorted(Path("songs").iterdir())
    results = Predictions("out")
    results.resume(checkpoint, "songs")
    results.open()
    for file in files[:4]:
        row = {"seconds": 2.0, "genre": "old", "probability": 1.0, "probabilities": {"old": 1.0}, "timeline": []}
        results.add(version_of(file), {"file": str(file), **row})
    results.add(version_of(files[4]), {"file": str(files[4]), "error": f"{files[4]}: cannot be read"})  # as it was then
    results.close()
    os.utime(files[0], (1, 1))
    files[1].unlink()
    assert run(inside / "songs", "--ckpt_path", checkpoint, "--out", "out") == 0
    rows = json.loads(Path("out/predictions.json").read_text())
    assert [row["file"] for row in rows] == [str(inside / file) for file in files if file != files[1]]
    assert [row["genre"] == "old" for row in rows] == [False, True, True, False, False]


@pytest.mark.usefixtures("no_trainer")
def test_two_processes_do_not_write_one_folder(checkpoint: Path, music: Path, inside: Path, capsys: Any) -> None:
    with alone(Path("out", JOURNAL)):
        assert run(music / "jazz", "--ckpt_path", checkpoint, "--out", "out") == 2
    assert "--out out: another process is writing it" in capsys.readouterr().err


def test_the_trainer_does_not_write_one_folder_twice_at_a_time(
    checkpoint: Path, music: Path, inside: Path, capsys: Any
) -> None:
    with alone(Path("out", JOURNAL)):
        assert run(music / "jazz", "--ckpt_path", checkpoint, "--out", "out", *WITH_TRAINER) == 2
    assert "--out out: another process is writing it" in capsys.readouterr().err
    assert run(music / "jazz", "--ckpt_path", checkpoint, "--out", "out", *WITH_TRAINER) == 0


def test_some_batches_only(checkpoint: Path, music: Path, inside: Path, capsys: Any) -> None:
    """What was predicted is written, and the others are listed."""
    words = ["--ckpt_path", checkpoint, *WITH_TRAINER, "--trainer.limit_predict_batches", "2"]
    assert run(music / "jazz", *words) == 0
    rows = json.loads(Path("predictions/predictions.json").read_text())
    files = sorted((music / "jazz").iterdir())
    assert [row["file"] for row in rows] == [str(file) for file in files[: len(rows)]]
    assert 0 < len(rows) < len(files)
    assert f"left out: {files[-1]}: not predicted" in capsys.readouterr().out
    assert run(music / "jazz", *words[:-1], "0", "--out", "none") == 0
    assert not list(Path("none").glob(".*"))


@pytest.mark.usefixtures("no_trainer")
def test_both_tables_are_written_row_by_row(checkpoint: Path, music: Path, inside: Path) -> None:
    """The rows of a million files would not fit into memory with their timelines."""
    assert run(music / "jazz", "--ckpt_path", checkpoint) == 0
    text = Path("predictions/predictions.json").read_text()
    assert text == json.dumps(json.loads(text), indent=1) + "\n"
    results = Predictions("other")
    results.resume(checkpoint, str(music / "jazz"))
    results.open()
    rows = json.loads(text)
    for row in rows:
        results.add(version_of(Path(row["file"])), row)
    results.close()
    kept = [{name: value for name, value in row.items() if name != "timeline"} for row in rows]
    assert results.finish(["jazz", "rock"]) == kept


def altered(checkpoint: Path, path: Path, change: Callable[[Any], None]) -> Path:
    content = torch.load(checkpoint, weights_only=True)
    change(content)
    torch.save(content, path)
    return path


def test_a_network_of_nan_is_one_line(checkpoint: Path, music: Path, inside: Path, capsys: Any) -> None:
    def broken(content: Any) -> None:
        content["state_dict"]["network.head.2.bias"].fill_(torch.nan)

    path = altered(checkpoint, inside / "nan.ckpt", broken)
    for more in ((), WITH_TRAINER):
        assert run(music / "jazz", "--ckpt_path", path, *more) == 2
        assert "the network's predictions are not finite" in capsys.readouterr().err


def test_settings_that_a_datamodule_refuses_are_refused(
    checkpoint: Path, music: Path, inside: Path, capsys: Any
) -> None:
    refused = {"seconds": 0.0, "hop_length": 0, "batch_size": 10**9, "sample_rate": 0, "n_fft": 8}
    for name, value in {**refused, "n_mels": 0}.items():
        path = altered(
            checkpoint,
            inside / "a.ckpt",
            lambda content, change={name: value}: content["datamodule_hyper_parameters"].update(change),
        )
        assert light_parts(read_facts(path), torch.device("cpu")) is None, name
    assert run(music / "jazz", "--ckpt_path", path) == 2
    error = capsys.readouterr().err
    assert "--data.n_mels 0: must be more than 0" in error
    assert "Traceback" not in error


def test_a_network_of_a_user_is_not_shared_by_threads(checkpoint: Path) -> None:
    facts = read_facts(checkpoint)
    assert predict._threads(facts) == torch.get_num_threads()
    network = {"class_path": "my_file.Mine", "init_args": {}}
    assert predict._threads(replace(facts, model={"init_args": {"network": network}})) == 1
    assert predict._threads(replace(facts, data={"init_args": {"backbones": ["yamnet", "my_file.Mine"]}})) == 1


def test_a_task_of_another_file_is_not_loaded(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.ckpt"
    shutil.copy(checkpoint, path)
    recognise = musicgen_cls.load(path)
    os.utime(path, (1, 1))
    with pytest.raises(CheckpointError, match="has changed or is gone since it was loaded"):
        _ = recognise.task


@pytest.mark.usefixtures("no_trainer")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--threshold", "2"], "--threshold 2.0: must be a probability from 0 to 1"),
        (["--threshold", "x"], "--threshold: 'x' is not a number"),
        (["--genres", "jazz"], "--genres jazz: only for the untrained reading"),
        (["--write_tags"], "--write_tags: asks before it writes, but there is no terminal"),
        (["--out"], "--out: has no value"),
        (["gone.wav"], "gone.wav: no such file"),
    ],
)
def test_bad_input(checkpoint: Path, music: Path, inside: Path, capsys: Any, words: list[str], said: str) -> None:
    assert run(music / "jazz", "--ckpt_path", checkpoint, *words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert not Path("predictions").exists()


def test_neither_load_nor_predict_imports_lightning(checkpoint: Path, music: Path, inside: Path) -> None:
    song = music / "jazz" / "1.flac"
    code = (
        "import sys, musicgen_cls, musicgen_cls.__main__ as m\n"
        f"musicgen_cls.load({str(checkpoint)!r})({str(song)!r})\n"
        f"assert m.main(['predict', {str(song)!r}, '--ckpt_path', {str(checkpoint)!r}]) == 0\n"
        "slow = {'lightning', 'torchmetrics', 'scipy', 'pandas', 'librosa', 'matplotlib', 'torch._dynamo'}\n"
        "print('imported:', *sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].strip() == "imported:"


def trained(task: GenreClassifier, data: Any, path: Path) -> Path:
    trainer = Trainer(max_steps=1, accelerator="cpu", limit_val_batches=0, **QUIET)
    trainer.fit(task, data)
    task.calibration.temperature.fill_(0.7)
    trainer.save_checkpoint(path)
    return path


LIGHT: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "mel": lambda source: (VGG, MelSlices(source, windows_per_track=1, batch_size=3)),
    "natural": lambda source: (VGG, MelSlices(source, windows_per_track=1, batch_size=3, logarithm="natural")),
    "waveform": lambda source: (
        partial(FineTuned, backbone="random_yamnet"),
        WaveformSlices(source, seconds=1.0, windows_per_track=1, batch_size=3),
    ),
    "embeddings": lambda source: (
        partial(LinearProbe, decays=[0.0]),
        Embeddings(source, ["random_yamnet"], seconds=1.0, rows=2, windows_per_track=1),
    ),
}


@pytest.mark.parametrize("kind", LIGHT)
def test_the_parts_without_lightning_predict_the_same(kind: str, songs: Path, music: Path, tmp_path: Path) -> None:
    network, data = LIGHT[kind](Folder(str(music)))
    path = trained(GenreClassifier(network, num_classes=3), data, tmp_path / "c.ckpt")
    assert light_parts(read_facts(path), torch.device("cpu")) is not None
    recognise = musicgen_cls.load(path)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 5 * recognise.sample_rate).astype(np.float32)
    without = recognise(noise), recognise.steps(noise).probabilities
    assert recognise.task.calibration.temperature == pytest.approx(0.7)  # from now on, the task predicts
    assert recognise.data.genres == recognise.genres == ["blues", "jazz", "metal"]
    assert recognise(noise) == without[0]
    np.testing.assert_array_equal(recognise.steps(noise).probabilities, without[1])


def test_an_odd_checkpoint_is_left_to_the_trainer(checkpoint: Path, tmp_path: Path) -> None:
    path = altered(checkpoint, tmp_path / "odd.ckpt", lambda content: content["MelSlices"]["front_end"].pop("mean"))
    assert light_parts(read_facts(path), torch.device("cpu")) is None
