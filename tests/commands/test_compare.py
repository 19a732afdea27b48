"""`musiccli compare`: what stands side by side, what is said of it, and what is refused."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from scipy.stats import binomtest

from musicgen_cls.__main__ import main
from musicgen_cls.commands.compare.command import compare
from musicgen_cls.commands.compare.reports import find_rows
from musicgen_cls.commands.compare.table import notes, pairs, table_of
from musicgen_cls.metrics.intervals import holm, mcnemar
from musicgen_cls.metrics.scores import Scores
from musicgen_cls.metrics.summary import predictions_table, summarise
from musicgen_cls.tables import as_markdown

GENRES = ["blues", "jazz"]


def report(folder: Path, right: list[bool], split: str = "track", seed: int = 0, leaks: bool = False) -> Path:
    """A report folder as `test` writes it, of as many tracks as there are answers."""
    n = len(right)
    y = np.arange(n) % 2
    probs = np.where((y == 1) == np.array(right), 0.9, 0.1)
    log_probs = np.log(np.stack([1 - probs, probs], axis=1))
    scores = Scores(np.arange(n), np.arange(n), np.zeros(n, np.float32), y, log_probs)
    about = {"source": "songs", "split": split, "fold": None, "split_seed": seed, "can_leak": leaks}
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps(about | summarise(scores, GENRES)))
    names = {number: f"song {number}" for number in range(n)}
    pd.DataFrame(predictions_table(scores, GENRES, names)).set_index("track").to_csv(folder / "tracks.csv")
    return folder


def answers(right: int, n: int) -> list[bool]:
    return [i < right for i in range(n)]


def test_mcnemar_and_holm():
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(9, 2) == pytest.approx(binomtest(9, 11).pvalue) == mcnemar(2, 9)
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])  # 3 x 0.01; 2 x 0.03; never below that
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_two_runs_on_the_same_tracks(tmp_path, capsys):
    a = report(tmp_path / "vgg/version_0/checkpoints/best-test-songs-track", answers(20, 20))
    b = report(tmp_path / "gru/version_1/checkpoints/best-test-songs-track", answers(10, 20))
    out = tmp_path / "out"
    assert main(["compare", str(tmp_path / "vgg" / "version_0"), str(b / "report.json"), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("| vgg/version_0")]
    assert "100.0 [83.9, 100.0]" in lines[0]
    assert "vgg/version_0 is better" in lines[1]
    assert "test set" not in printed
    assert (out / "comparison.md").read_text().strip() in printed
    assert main(["compare", str(a), str(b), "--out", str(tmp_path / "print"), "--figure_format", "svg"]) == 0
    assert "comparison.svg, pairs.csv" in capsys.readouterr().out
    assert (tmp_path / "print" / "comparison.svg").read_text().startswith("<?xml")
    with (out / "pairs.csv").open(encoding="utf-8-sig") as file:
        pair = next(csv.DictReader(file))
    assert (pair["only run right"], pair["only other right"]) == ("10", "0")
    assert float(pair["p, Holm"]) == pytest.approx(2 * 0.5**10)
    table = pd.read_csv(out / "comparison.csv")
    assert table["track_accuracy"].tolist() == [1.0, 0.5]
    assert table["folders"].tolist() == [str(a), str(b)]
    assert imread(out / "comparison.png").shape[2] == 4
    assert main(["compare", str(a), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["comparison.csv", "comparison.md", "comparison.png"]


def test_runs_of_several_seeds_are_one_row(tmp_path, capsys):
    for seed, right in enumerate((10, 12, 14)):
        report(tmp_path / f"vgg/seed-{seed}/report", answers(right, 20), seed=seed)
        (tmp_path / f"vgg/seed-{seed}/minutes.json").write_text(str(seed + 1.0))
    rows = find_rows([f"VGG={tmp_path}/vgg/seed-*"])
    line = table_of(rows)[0]
    assert line["run"] == "VGG"
    assert line["tracks, %"] == "60.0 ± 10.0"
    assert (line["runs"], line["test tracks"], line["minutes"]) == ("3", "20", "2.0")
    assert rows[0].figure("track_accuracy").low == pytest.approx(0.6 - 4.303 * 0.1 / 3**0.5, abs=1e-3)
    assert pairs(rows) == []
    assert any("mean ± standard deviation" in note for note in notes(rows))


def test_a_test_made_twice_counts_once(tmp_path):
    for seed in (0, 1):
        for again in ("report", "checkpoints/best-test-songs-track"):
            folder = report(tmp_path / f"vgg/seed-{seed}/{again}", answers(10 + seed, 20))
            said = json.loads((folder / "report.json").read_text())
            checkpoint = str(tmp_path / f"vgg/seed-{seed}/checkpoints/best.ckpt")
            (folder / "report.json").write_text(json.dumps(said | {"checkpoint": checkpoint}))
    (row,) = find_rows([f"VGG={tmp_path}/vgg/seed-*"])
    assert [test.report.track_accuracy.value for test in row.tests] == [0.5, 0.55]


def test_tests_of_one_path_on_two_machines_are_two(tmp_path):
    for name, right in (("a", 5), ("b", 9)):
        folder = report(tmp_path / name, answers(right, 10))
        said = json.loads((folder / "report.json").read_text())
        (folder / "report.json").write_text(json.dumps(said | {"checkpoint": "/home/u/vgg/best.ckpt"}))
    (row,) = find_rows([f"VGG={tmp_path}/*"])
    assert len(row.tests) == 2


def test_a_run_named_twice_is_one_row_and_never_paired_with_itself(tmp_path):
    first, second = report(tmp_path / "a", answers(5, 10)), report(tmp_path / "b", answers(7, 10))
    rows = find_rows([str(first), str(first / "report.json"), str(second), f"again={first}"])
    assert [row.name for row in rows] == [f"{tmp_path.name}/a", f"{tmp_path.name}/b", "again"]
    assert [(pair["run"], pair["other"]) for pair in pairs(rows)] == [
        (rows[0].name, rows[1].name),
        (rows[1].name, "again"),
    ]


def test_reports_without_tracks_or_intervals_say_so(tmp_path, capsys):
    for name, location in (("a", "/old/music"), ("b", "/new/music")):
        folder = report(tmp_path / name, answers(5, 10))
        said = json.loads((folder / "report.json").read_text())
        said["track_accuracy"] = {"value": 0.5}
        (folder / "report.json").write_text(json.dumps(said | {"location": location}))
        (folder / "tracks.csv").unlink()
        (tmp_path / "minutes.json").write_text('{"a": 1}')  # somebody else's
    compare([str(tmp_path / "a"), str(tmp_path / "b")], str(tmp_path / "out"))
    printed = capsys.readouterr().out
    assert "10 tracks of /old/music (their names are unknown)" in printed
    assert "50.0 |" in printed
    assert "50.0 [50" not in printed
    with (tmp_path / "out" / "comparison.csv").open(newline="", encoding="utf-8-sig") as file:
        assert [line["track_accuracy_low"] for line in csv.DictReader(file)] == ["", ""]


def test_different_test_sets_are_told_and_never_paired(tmp_path, capsys):
    paths = [
        report(tmp_path / "a/report", answers(9, 10)),
        report(tmp_path / "b/report", answers(5, 10), seed=1),
        report(tmp_path / "c/report", answers(8, 12)),
        report(tmp_path / "d/report", answers(9, 10), split="segment", leaks=True),
    ]
    compare([str(path) for path in paths], str(tmp_path / "out"))
    printed = capsys.readouterr().out
    assert "Different test sets" in printed
    assert "A: songs, split track, seed 0, 10 tracks; B: songs, split track, seed 1, 10 tracks; C: " in printed
    assert "C: songs, split track, seed 0, 12 tracks" in printed
    assert "segment (leaks)" in printed
    assert "both sides" in printed
    assert not (tmp_path / "out" / "pairs.csv").exists()
    assert [line["test set"] for line in table_of(find_rows(map(str, paths)))] == ["A", "B", "C", "D"]


def test_rows_of_one_name_are_told_apart_and_others_reports_passed_over(tmp_path):
    first = report(tmp_path / "x/vgg/version_0/checkpoints/one", answers(5, 10))
    report(tmp_path / "y/vgg/version_0/checkpoints/one", answers(5, 10))
    (tmp_path / "x" / "generator").mkdir()
    (tmp_path / "x" / "generator" / "report.json").write_text(json.dumps({"loss": {"value": 1.0}}))
    rows = find_rows([str(tmp_path / "x"), str(tmp_path / "y")])
    assert [row.name for row in rows] == [str(first), str(first).replace("/x/", "/y/")]


def test_markdown_lines_up():
    text = as_markdown([{"run": "a|b", "n": "1"}, {"run": "longer", "n": "10"}])
    assert text.splitlines() == ["| run    |   n |", "|:-------|----:|", "| a\\|b   |   1 |", "| longer |  10 |"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "name two runs or more"),
        (["missing"], "RUN missing: no report.json"),
        (["empty"], "RUN empty: no report.json"),
        (["VGG=empty/*"], "RUN empty/*: no report.json"),
        (["VGG=[ab]"], "RUN VGG=[ab]: tests of several kinds (songs, split artist; songs, split track)"),
        (["broken.json"], "RUN broken.json: not the report"),
        (["generator.json"], "RUN generator.json: not the report"),
        (["a", "--out", "broken.json"], "broken.json: cannot be written"),
        (["a", "--outt", "x"], "did you mean"),
        (["strange"], "strange/tracks.csv: no column 'track'"),
        (["binary"], "binary/tracks.csv: not UTF-8 at byte 0; test again"),
        (["cut"], "cut/tracks.csv: holds 2 tracks, but report.json beside it has 4: cut short"),
        (
            ["empty_report"],
            "RUN empty_report: no report.json of a classifier's test there (not empty_report/report.json)",
        ),
        (["x=a", "x=b"], "RUN x=b: its name is used twice"),
        (["=a"], "RUN =a: its name is empty"),
        (["a", "--out", ""], "--out: the value is empty"),
    ],
)
def test_what_it_refuses(args, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    report(tmp_path / "a", answers(3, 4))
    report(tmp_path / "b", answers(3, 4), split="artist")
    report(tmp_path / "strange", answers(3, 4))
    (tmp_path / "strange" / "tracks.csv").write_text("song,genre\n1,blues\n")
    report(tmp_path / "binary", answers(3, 4))
    (tmp_path / "binary" / "tracks.csv").write_bytes(b"\xff\xfe")
    report(tmp_path / "cut", answers(3, 4))
    whole = (tmp_path / "cut" / "tracks.csv").read_text().splitlines(keepends=True)
    (tmp_path / "cut" / "tracks.csv").write_text("".join(whole[:3]))
    report(tmp_path / "empty_report", answers(3, 4))
    (tmp_path / "empty_report" / "report.json").write_text("[]")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "generator.json").write_text(json.dumps({"loss": {"value": 1.0}}))
    assert main(["compare", *args]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("musiccli: error: ")
    assert told in said
    assert len(said.splitlines()) == 1
    assert not list(tmp_path.rglob("comparison.*"))


def test_metrics_that_a_config_named_are_columns(tmp_path):
    for name, metrics in (("a", {"auroc": {"value": 0.91234, "low": 0.8, "high": 0.95}}), ("b", {})):
        place = report(tmp_path / name, answers(3, 4)) / "report.json"
        place.write_text(json.dumps(json.loads(place.read_text()) | {"metrics": metrics}))
    table = table_of(find_rows([str(tmp_path / "a"), str(tmp_path / "b")]))
    assert [line["auroc"] for line in table] == ["0.912 [0.800, 0.950]", ""]
