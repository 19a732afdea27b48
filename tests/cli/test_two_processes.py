"""Two processes that `torchrun` or a cluster starts: they share training, tests, generation and prediction.

`test_cli.py` trains a classifier in two processes that Lightning starts.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lightning.pytorch import Trainer

from musicgen_cls.__main__ import main
from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.datamodules.waveform import WaveformWindows
from musicgen_cls.models.classifiers.vgg import VGG
from musicgen_cls.models.generators.waveform_rnn import WaveformRNN
from musicgen_cls.notes.composed import compose
from musicgen_cls.notes.midi import write_midi
from musicgen_cls.sources.folder import Folder
from musicgen_cls.tasks.classification import GenreClassifier
from musicgen_cls.tasks.generation import GenreGenerator
from note_checkpoint import QUIET as QUIETLY

QUIET = ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false",
         "--trainer.accelerator", "cpu"]  # fmt: skip
TWO = [*QUIET, "--trainer.devices", "2", "--trainer.strategy", "ddp"]
NOTES = "lightning_logs/notes/version_0/checkpoints/best.ckpt"


def run_as_two(commands: Sequence[Sequence[object]], folder: Path) -> None:
    """Run command lines, one after the other, in two processes with the variables that torchrun sets."""
    code = "import json, sys; from musicgen_cls.__main__ import main\n"
    code += "for line in json.loads(sys.argv.pop()): assert main(line) == 0, line"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "NODE_RANK": "0"}
    lines = json.dumps([[str(part) for part in line] for line in commands])
    processes = [
        subprocess.Popen([sys.executable, "-c", code, lines], cwd=folder, text=True, stderr=subprocess.PIPE,
                         stdout=subprocess.DEVNULL, env={**os.environ, **group, "LOCAL_RANK": rank, "RANK": rank})
        for rank in ("0", "1")
    ]  # fmt: skip
    said = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said


def report_of(folder: Path) -> dict[str, Any]:
    """The report, without the place of the checkpoint."""
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    del found["checkpoint"]
    return found


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """Two genres of six composed songs of 12 s."""
    for genre in ("jazz", "metal"):
        (tmp_path / "midi" / genre).mkdir(parents=True)
        for number in range(6):
            write_midi(compose(genre, number, seconds=12.0), tmp_path / "midi" / genre / f"song{number}{genre}.mid")
    return tmp_path / "midi"


@pytest.fixture
def waveforms(songs: Path, tmp_path: Path) -> Path:
    """A checkpoint of a generator of waveforms."""
    data = WaveformWindows(Folder(str(songs)), context_seconds=0.5, target_seconds=0.1, hop_seconds=0.5,
                           sample_rate=4000, fractions=(0.5, 0.25, 0.25))  # fmt: skip
    network = partial(WaveformRNN, channels=2, hidden=2)
    task = GenreGenerator(network, num_classes=2, sample_rate=4000, target_samples=400, seconds=1.0)
    trainer = Trainer(max_steps=1, accelerator="cpu", limit_val_batches=0, **QUIETLY)
    trainer.fit(task, data)
    trainer.save_checkpoint(tmp_path / "waveforms.ckpt")
    return tmp_path / "waveforms.ckpt"


@pytest.fixture
def classifier(music: Path, tmp_path: Path) -> Path:
    """A checkpoint of a classifier."""
    data = MelSlices(Folder(str(music)), windows_per_track=2, fractions=(0.25, 0.25, 0.5), batch_size=5)
    task = GenreClassifier(partial(VGG, width=2), num_classes=3)
    trainer = Trainer(max_steps=1, accelerator="cpu", limit_val_batches=0, **QUIETLY)
    trainer.fit(task, data)
    trainer.save_checkpoint(tmp_path / "classifier.ckpt")
    return tmp_path / "classifier.ckpt"


def test_they_share_the_work(
    scores: Path, waveforms: Path, classifier: Path, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report of two processes is that of one, and each piece is there once, and as one process makes it."""
    source = ["--data.source", "MidiFolder", "--data.source.root", scores, "--data.fractions", "[0.5, 0.25, 0.25]"]
    size = ["--data.notes", "48", "--data.batch_size", "4", "--model.network.dim", "16", "--model.network.layers", "1"]
    steps = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.logger.name", "notes"]
    short = ["--model.seconds", "3", "--takes", "2"]
    run_as_two(
        [
            ["fit", "--config", "score_rnn", *source, *size, *steps, *TWO],
            ["predict", NOTES, *short, "--out", "two", *TWO],
            ["predict", waveforms, "--data.samples_per_prompt", "2", "--out", "sounds", *TWO],
            ["predict", classifier, music / "jazz", music / "blues" / "0.wav", *TWO],
        ],
        tmp_path,
    )
    assert len(list((tmp_path / "sounds").rglob("*.wav"))) == 4
    assert len((tmp_path / "sounds" / "continuations.jsonl").read_text().splitlines()) == 4
    rows = pd.read_csv(tmp_path / "predictions/predictions.csv")
    assert sorted(rows.file) == sorted(map(str, [*(music / "jazz").iterdir(), music / "blues" / "0.wav"]))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musiccli"])
    assert main(["test", "--ckpt_path", NOTES, "--out", "tested", *QUIET]) == 0
    (written,) = (tmp_path / "lightning_logs").rglob("report.json")
    reports = [report_of(tmp_path / "tested"), report_of(written.parent)]
    for name in ("bits_a_note", "bits_by_field", "bits_by_genre", "bits_of_pieces"):  # sums in another order
        assert reports[0].pop(name) == pytest.approx(reports[1].pop(name), rel=1e-5)
    assert reports[0] == reports[1]
    assert main(["predict", NOTES, *short, "--out", "one", *QUIET]) == 0
    files = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.mid")}
    assert files == {path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*.mid")}
    assert len(files) == 4
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
