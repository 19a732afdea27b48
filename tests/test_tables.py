from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import pytest

from musicgen_cls.formats.records import read_table
from musicgen_cls.tables import plain_cell, read_csv, safe_cell, write_csv

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''=1"]
HARMLESS = ["rock", "", "'", "it's", "'rock", "a=b", "-3.5", "+1e-9", "-inf", "1=1"]


class Row(msgspec.Struct):
    file: str
    genre: str


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_a_text(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    assert plain_cell(safe_cell(text)) == text


@pytest.mark.parametrize("value", [*HARMLESS, 3, -0.5, None, True])
def test_other_values_stay(value: object) -> None:
    assert safe_cell(value) is value
    if isinstance(value, str):
        assert plain_cell(value) == value


def test_names_come_back_from_a_table(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [{"file": name, "genre": name} for name in (*FORMULAS, *HARMLESS)]
    write_csv(path, ["file", "genre", "=1+1"], [{**row, "=1+1": -0.5} for row in rows])
    with path.open(newline="", encoding="utf-8-sig") as file:
        cells = list(csv.reader(file))
    assert cells[0] == ["file", "genre", "'=1+1"]
    assert all(line[2] == "-0.5" for line in cells[1:])
    assert not any(cell.startswith(("=", "@", "\t", "\r")) for line in cells for cell in line)
    read = [{name: row[name] for name in ("file", "genre")} for _, row in read_csv(path, ("file", "genre"), "")]
    assert read == rows
    assert read_table(path, Row, "") == [Row(**row) for row in rows]
