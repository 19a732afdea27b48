"""Two processes that `torchrun` or a cluster starts: they share training, tests, generation and prediction.

`test_cli.py` trains a classifier in two processes that Lightning starts.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from forks import Fork
from musicgen_cls.__main__ import main
from musicgen_cls.models.processes import of_all_processes
from small_checkpoints import classifier_checkpoint, waveform_checkpoint, write_songs

QUIET = ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false",
         "--trainer.accelerator", "cpu"]  # fmt: skip
TWO = [*QUIET, "--trainer.devices", "2", "--trainer.strategy", "ddp"]
NOTES = "lightning_logs/notes/version_0/checkpoints/best.ckpt"


def as_two(run: Callable[[], int], folder: Path) -> list[tuple[int, str, str]]:
    """Status, output and errors of two processes with the variables of a cluster."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "NODE_RANK": "0"}
    both = [Fork(run, folder, **group, LOCAL_RANK=rank, RANK=rank) for rank in ("0", "1")]
    return [process.wait() for process in both]


def run_as_two(commands: Sequence[Sequence[object]], folder: Path) -> None:
    """Run command lines, one after the other, in two processes."""
    said = as_two(lambda: max(main([str(part) for part in line]) for line in commands), folder)
    assert [status for status, _, _ in said] == [0, 0], said


def test_an_error_of_the_first_ends_the_other(tmp_path: Path) -> None:
    """It is found before the two know each other; the second one would wait for half an hour."""
    for name in ("a/1.wav", "b/2.wav"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("not audio")
    source = ["--data.source", "Folder", "--data.source.root", str(tmp_path)]
    (first, _, said), (second, _, heard) = as_two(lambda: main(["fit", "--config", "gru", *source, *TWO]), tmp_path)
    assert "none of 2 tracks can be used" in said
    assert (first, second) == (2, 2), heard[-2000:]


def test_rows_of_both_processes(tmp_path: Path) -> None:
    def gathered() -> int:
        torch.distributed.init_process_group("gloo")
        rank = torch.distributed.get_rank()
        rows = of_all_processes(torch.arange(rank + 1) + 10 * rank)
        torch.distributed.destroy_process_group()
        return int(rows.tolist() != [0, 10, 11])

    assert [status for status, _, _ in as_two(gathered, tmp_path)] == [0, 0]
    assert of_all_processes(torch.arange(3)).tolist() == [0, 1, 2]


def test_an_n_gram_counts_the_notes_of_both_processes(tmp_path: Path) -> None:
    """Each process draws the places of its windows itself, so that only the numbers of notes are equal."""
    scores = write_songs(tmp_path / "midi", 6, 12.0)
    source = ["--data.source", "MidiFolder", "--data.source.root", scores, "--data.fractions", "[0.5, 0.25, 0.25]"]
    command = ["fit", "--config", "score_markov", *source, "--data.notes", "16", "--data.windows_per_track", "2"]
    command += ["--trainer.max_epochs", "1", "--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "logs"]
    command += ["--test_after_fit", "false"]
    run_as_two([[*command, "--data.batch_size", "2", "--trainer.logger.name", "two", *TWO]], tmp_path)
    one = [*command, "--data.batch_size", "4", "--trainer.logger.name", "one", *QUIET]
    assert Fork(lambda: main([str(word) for word in one]), tmp_path).wait()[0] == 0
    states = [torch.load(file, weights_only=True)["state_dict"] for file in tmp_path.rglob("best.ckpt")]
    counts = [{name: value for name, value in state.items() if "counts_" in name} for state in states]
    assert len(counts) == 2
    assert counts[0]
    assert {name: float(value.sum()) for name, value in counts[0].items()} == {
        name: float(value.sum()) for name, value in counts[1].items()
    }


def test_divided_parameters_end_where_whole_ones_do(songs: Path, tmp_path: Path) -> None:
    source = ["--data.source", "Folder", "--data.source.root", songs, "--data.fractions", "[0.5, 0.25, 0.25]"]
    size = ["--data.sample_rate", "4000", "--data.seconds", "1", "--data.windows_per_track", "4"]
    size += ["--data.n_mels", "16", "--data.n_fft", "128", "--data.hop_length", "64", "--data.batch_size", "4"]
    network = ["--model.network", "Recurrent", "--model.network.n_mels", "16", "--model.network.hidden", "8"]
    run = ["--trainer.max_epochs", "1", "--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "logs"]
    command = ["fit", "--config", "gru", *source, *size, *network, "--model.network.dropout", "0", *run, *QUIET]
    command += ["--trainer.devices", "2"]
    names = ("ddp", "sharded")
    run_as_two([[*command, "--trainer.logger.name", name, "--trainer.strategy", name] for name in names], tmp_path)
    best, other = (
        torch.load(tmp_path / "logs" / name / "version_0/checkpoints/best.ckpt", weights_only=True)["state_dict"]
        for name in names
    )
    assert best.keys() == other.keys()
    for name, value in best.items():
        assert torch.allclose(value, other[name], rtol=1e-4, atol=1e-6), name
    reports = [report_of(next((tmp_path / "logs" / name).rglob("report.json")).parent) for name in names]
    assert reports[0]["confusion"] == reports[1]["confusion"]
    assert reports[0]["loss"] == pytest.approx(reports[1]["loss"], rel=1e-4)


def test_a_callback_that_needs_the_whole_network(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["musiccli"])
    windows = ["--data.context_seconds", "0.7", "--data.target_seconds", "0.7", "--data.sample_rate", "4000"]
    source = ["--data.source", "Folder", "--data.source.root", str(songs), "--data.fractions", "[0.5, 0.25, 0.25]"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MASTER_PORT", str(free.getsockname()[1]))
    for name, value in {"MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    command = ["fit", "--config", "generator_flow", *source, *windows, *QUIET, "--trainer.strategy", "sharded"]
    status, _, err = Fork(lambda: main(command), tmp_path).wait()
    assert status == 2, err
    assert err.splitlines()[-1].startswith("musiccli: error: --trainer.strategy sharded: the callback WeightAveraging")


def report_of(folder: Path) -> dict[str, Any]:
    """The report, without the place of the checkpoint."""
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    del found["checkpoint"]
    return found


def test_they_share_the_work(music: Path, songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report of two processes is that of one, and each piece is there once, and as one process makes it."""
    scores = write_songs(tmp_path / "midi", 6, 12.0)
    waveforms = waveform_checkpoint(tmp_path / "waveforms.ckpt", songs, seconds=1.0)
    classifier = classifier_checkpoint(tmp_path / "classifier.ckpt", music)
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
