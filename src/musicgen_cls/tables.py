"""Tables: as CSV files, in Markdown, and as text for a terminal."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import indent
from typing import Any

from musicgen_cls.errors import SourceError
from musicgen_cls.files import shown, writing

ENCODING = "utf-8-sig"
"""Excel reads a CSV file as UTF-8 only if it starts with this mark. Python and pandas read it with and without."""


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV file row by row, whole or not at all.

    Characters that are not valid text, as in some file names, are written as escapes. A text that a spreadsheet would
    run as a formula gets an apostrophe in front, see `safe_cell`.

    Args:
        path: the file.
        columns: names, in order.
        rows: values by column; a missing value becomes an empty cell, and other keys are ignored.
    """
    with writing(path) as temporary, _opened(temporary) as file:
        writer = csv.writer(file)
        writer.writerow(map(safe_cell, columns))
        writer.writerows([safe_cell(row.get(column, "")) for column in columns] for row in rows)


FORMULA = r"'*[=+\-@\t\r]"
"""Such texts are formulas in spreadsheets (OWASP, "CSV Injection"), or would be read as escaped ones."""

_FORMULA = re.compile(FORMULA)


def safe_cell(value: Any) -> Any:
    """A value for a cell: a text that begins like a formula gets an apostrophe in front, unless it is a number."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) and not _is_number(value) else value


def plain_cell(text: str) -> str:
    """The text of a cell without the apostrophe of `safe_cell`."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def as_markdown(table: Sequence[Mapping[str, str]]) -> str:
    """A Markdown table whose columns also line up as text; columns of numbers are aligned to the right."""
    from tabulate import tabulate

    names = list(table[0])
    right = {name for name in names[1:] if all(line[name][:1].isdigit() or not line[name] for line in table)}
    rows = [[line[name].replace("|", "\\|") for name in names] for line in table]
    align = ["right" if name in right else "left" for name in names]
    return tabulate(rows, names, tablefmt="pipe", disable_numparse=True, colalign=align)


def as_text(head: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[str] = ()) -> str:
    """A table for a terminal, indented by two spaces; the first column and those of `left` are aligned to the left."""
    from tabulate import tabulate

    align = ["left", *("left" if name in left else "right" for name in head[1:])]
    rows = [[shown(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    table = tabulate(rows, head, tablefmt="plain", disable_numparse=True, colalign=align, preserve_whitespace=True)
    return indent(table, "  ")


def read_csv(path: Path, columns: Sequence[str], wanted: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a table that a user wrote, each with its line in the file.

    Args:
        path: the file.
        columns: names of the columns that it must have; others are allowed.
        wanted: the sentence about needed columns, for errors.

    Raises:
        SourceError: the file is missing, not a table in UTF-8, or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            found = reader.fieldnames or ()
            if missing := sorted(set(columns) - set(found)):
                raise SourceError(f"{path}: no column {', '.join(missing)}; {wanted}{not_commas(found)}")
            if twice := [name for name in columns if list(found).count(name) > 1]:
                raise SourceError(f"{path}: the column {twice[0]} is there twice; remove one")
            for row in reader:  # surplus cells are a list under the key None
                yield reader.line_num, {n: plain_cell(v) if isinstance(v, str) else v for n, v in row.items()}
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file; {wanted}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path}: not a table in UTF-8 ({error}); save it as CSV with that encoding") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def not_commas(header: Sequence[str]) -> str:
    """The end of a message on a table without commas; empty if it has several columns."""
    separators = {";": "semicolons", "\t": "tabs"}
    odd = [name for sign, name in separators.items() if len(header) == 1 and sign in header[0]]
    return f"; the columns are separated by {odd[0]}, save it with commas" if odd else ""


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with path.open("w", newline="", encoding=ENCODING, errors="backslashreplace") as file:
        yield file
