"""`--data.split lists.csv` with the commands: the report names leaks, and a checkpoint is tested with its list only."""

import json
from pathlib import Path

import pytest

from musicgen_cls.__main__ import main

MODEL = [
    *("--model", "GenreClassifier", "--model.network", "VGG", "--model.network.width", "2", "--data", "MelSlices"),
    *("--data.sample_rate", "4000", "--data.seconds", "0.5", "--data.n_fft", "256", "--data.n_mels", "32"),
    *("--data.hop_length", "64", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"),
]
QUIET = ["--trainer.enable_progress_bar", "false"]


@pytest.fixture
def folder(tmp_path, songs, monkeypatch) -> Path:
    """A working folder with a list for `songs`: an artist on two sides, and a row of no track."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{genre}/{n}.wav,{side}" for genre in ("jazz", "metal") for n, side in enumerate(
        ("train", "train", "valid", "test"))]  # fmt: skip
    Path("own.csv").write_text("\n".join(["file,subset", *rows, "jazz/9.wav,test"]) + "\n")
    return tmp_path


def source(songs: Path) -> list[str]:
    return ["--data.source", "Folder", "--data.source.root", str(songs), "--data.split", "own.csv"]


def test_a_network_is_trained_and_tested_by_a_list(folder, songs, capsys):
    assert main(["fit", *MODEL, *source(songs), *QUIET, "--trainer.logger.name", "own"]) == 0
    printed = capsys.readouterr().out
    assert "Tested on 2 tracks (" in printed
    assert "split 'own.csv' (no track on two sides)" in printed
    assert "1 of 9 rows of own.csv match no track: jazz/9.wav" in printed
    best = next(Path("lightning_logs/own").rglob("best.ckpt"))
    report = json.loads((best.parent / "best-test-songs-own.csv" / "report.json").read_text())
    assert (report["split"], report["can_leak"], report["leaks"]) == ("own.csv", False, [])
    assert report["grouped"] == ["1 of 9 rows of own.csv match no track: jazz/9.wav"]
    assert "match no track" in (best.parent / "best-test-songs-own.csv" / "report.html").read_text()
    # the same list elsewhere is the same division; a changed one is another
    Path("own.csv").rename("moved.csv")
    assert main(["test", "--ckpt_path", str(best), "--data.split", "moved.csv", *QUIET]) == 0
    assert main(["test", "--ckpt_path", str(best), *QUIET]) == 2
    assert "own.csv: no such file" in capsys.readouterr().err
    Path("own.csv").write_text(Path("moved.csv").read_text().replace("jazz/0.wav,train", "jazz/0.wav,test"))
    assert main(["test", "--ckpt_path", str(best), *QUIET]) == 2
    assert "own.csv: differs from the list that the checkpoint was trained with" in capsys.readouterr().err
    assert main(["test", "--ckpt_path", str(best), "--data.split", "track", *QUIET]) == 2
    assert "trained with data.split" in capsys.readouterr().err


def test_leaks_of_a_list_are_in_the_heading(folder, songs, tmp_path, capsys):
    own = tmp_path / "with artists"
    for path in songs.rglob("*.wav"):
        target = own / path.relative_to(songs)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    rows = [f"{genre}/{n}.wav,Artist {n % 3}" for genre in ("jazz", "metal") for n in range(4)]
    (own / "artists.csv").write_text("\n".join(["file,artist", *rows]) + "\n")
    assert main(["fit", *MODEL, *source(own), *QUIET]) == 0
    printed = capsys.readouterr().out
    assert "split 'own.csv' (LEAKS)" in printed
    assert "Warning: split 'own.csv': 1 artists have tracks on more than one side: Artist 0." in printed


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "own.csv: no such file; it needs the columns subset, and file or id"),
        ("file,subset\njazz/0.wav,tset\n", "own.csv line 2: the subset 'tset' is not one of train, validation, test"),
        ("file,part\njazz/0.wav,test\n", "own.csv: no column subset"),
        ("file,subset\njazz/0.wav,train\njazz/1.wav,val\n", "own.csv: no test tracks of "),
    ],
)
def test_lists_that_are_not_right(folder, songs, capsys, content, said):
    if content is None:
        Path("own.csv").unlink()
    else:
        Path("own.csv").write_text(content)
    assert main(["fit", *MODEL, *source(songs), *QUIET]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not Path("lightning_logs").exists()
