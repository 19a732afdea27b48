import json
import sys
from pathlib import Path

import pytest

from musicgen_cls.errors import RecordError, UsageError

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import compare
import results


def write(path: Path, rows: list[results.Row], **changes: object) -> str:
    """A file of results with some fields changed."""
    results.write(str(path), "speed", rows, threads=2)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return str(path)


def test_a_row_has_the_median_and_the_ends_of_its_turns():
    assert results.row("fit", "1/s", [3.0, 1.0, 2.0]) == results.Row("fit", 2.0, "1/s", 1.0, 3.0)
    assert results.row("fit", "1/s", [2.0]) == results.Row("fit", 2.0, "1/s")
    beside = results.row("fit", "1/s", [2.0, 4.0, 6.0], [1.0, 4.0, 2.0], target=1.4)
    assert beside == results.Row("fit", 4.0, "1/s", 2.0, 6.0, baseline=2.0, ratio=2.0, target=1.4)
    assert results.spread([3.0, 1.0, 2.0], 1) == "2.0 (1.0-3.0)"


def test_what_is_written_is_read(tmp_path):
    rows = [results.row("fit", "1/s", [2.0, 3.0]), results.row("start", "s", [0.25])]
    file = write(tmp_path / "a.json", rows)
    found = results.read(file)
    assert found.rows == rows
    assert (found.benchmark, found.threads, found.schema) == ("speed", 2, 1)
    assert found.machine == results.machine()
    assert found.date.startswith("20")
    assert set(json.loads(Path(file).read_text())["rows"][0]) == set(results.Row.__struct_fields__)
    results.write(None, "speed", rows)  # without --json


@pytest.mark.parametrize(
    ("content", "error", "reason"),
    [
        ("{", RecordError, "not valid JSON"),
        ("{}", RecordError, "missing required field `benchmark`; write it with the --json of a benchmark"),
        ('{"benchmark": 1}', RecordError, "benchmark: expected `str`"),
    ],
)
def test_other_files_are_refused(content, error, reason, tmp_path):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(error, match=reason):
        results.read(str(tmp_path / "a.json"))


def test_a_later_schema_is_refused(tmp_path):
    with pytest.raises(UsageError, match="has the schema 2, but this version reads 1"):
        results.read(write(tmp_path / "a.json", [], schema=2))


def test_ratios_and_marks(tmp_path, capsys):
    before = [
        results.row("slower", "s", [1.0, 1.1, 1.2]),
        results.row("same", "s", [1.0, 1.1, 1.2]),
        results.row("once", "s", [4.0]),
        results.row("gone", "s", [4.0]),
    ]
    after = [
        results.row("same", "s", [1.15, 1.3, 1.4]),
        results.row("slower", "s", [2.1, 2.2, 2.4]),
        results.row("once", "s", [1.0]),
    ]
    files = write(tmp_path / "a.json", before, commit="abc"), write(tmp_path / "b.json", after, commit="def+")
    assert compare.main(files) == 0
    printed = capsys.readouterr().out
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if "|" in line][2:]
    assert table == [
        ["slower, s", "1.1 (1-1.2)", "2.2 (2.1-2.4)", "2.00", "outside the spread"],
        ["same, s", "1.1 (1-1.2)", "1.3 (1.15-1.4)", "1.18", ""],
        ["once, s", "4", "1", "0.25", "one turn"],
    ]
    assert "speed: abc of" in printed
    assert "then def+ of" in printed
    assert "1 figures are in one of the files only" in printed


def test_other_machines_are_refused_unless_forced(tmp_path, capsys):
    rows = [results.row("fit", "1/s", [2.0])]
    files = write(tmp_path / "a.json", rows), write(tmp_path / "b.json", rows, machine="another")
    assert compare.main(files) == 2
    error = capsys.readouterr().err
    assert error.startswith("compare.py: error: machine: ")
    assert "'another' after; measure again, or add --force" in error
    assert error.count("\n") == 1
    assert compare.main([*files, "--force"]) == 0


def test_other_benchmarks_are_refused_always(tmp_path, capsys):
    rows = [results.row("fit", "1/s", [2.0])]
    files = write(tmp_path / "a.json", rows), write(tmp_path / "b.json", rows, benchmark="notes")
    assert compare.main([*files, "--force"]) == 2
    assert "benchmark: 'speed' before and 'notes' after; give two files of one" in capsys.readouterr().err
    other = write(tmp_path / "c.json", [results.row("start", "s", [2.0])])
    assert compare.main([files[0], other]) == 2
    assert "no figure in common" in capsys.readouterr().err
    assert compare.main([files[0], str(tmp_path / "gone.json")]) == 2
    assert "gone.json: cannot be read" in capsys.readouterr().err
