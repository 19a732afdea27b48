"""Reads tables of features, such as those of GTZAN on Kaggle."""

from __future__ import annotations

import csv
import math
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from musicgen_cls.audio.features import COLUMNS
from musicgen_cls.errors import SourceError
from musicgen_cls.files import check_regular
from musicgen_cls.sources.names import composed, folded
from musicgen_cls.tables import plain_cell

_TABLE_BYTES = 2_000_000_000  # two million rows
_LARGEST = float(np.finfo(np.float32).max)


def read_table(path: Path) -> Any:
    """A table of features as a pandas DataFrame with checked numbers; its index is the line in the file.

    Rows are converted to numbers while the file is read, so that memory does not hold their text.

    Raises:
        SourceError: it cannot be read, has other columns or no rows, a label is missing or has two spellings, or a
            value is not a finite number.
    """
    import pandas as pd

    check_regular(path, "--data.table", _TABLE_BYTES)
    rows = _rows(path)
    order = _order(path, next(rows)[1])
    lines, filenames, labels, numbers = [], [], [], array("d")
    spelt: dict[str, str] = {}
    for line, values in rows:
        if len(values) != len(order):
            raise SourceError(f"{path} line {line}: {len(values)} values for {len(order)} columns; fix the row")
        filename, label, *texts = (values[place] for place in order)
        for name, text in (("filename", filename), ("label", label)):
            if not text.isprintable():
                raise SourceError(f"{path} line {line}: {name} {text!r} has unprintable characters; fix it")
            if not text.strip():
                raise SourceError(f"{path} line {line}: no {name}; fill it in, or delete the row")
        label = composed(label)
        if (first := spelt.setdefault(folded(label), label)) != label:
            raise SourceError(f"{path} line {line}: the label '{label}' is '{first}' above; use one spelling")
        numbers.extend(_numbers(path, line, texts))
        lines.append(line)
        filenames.append(filename)
        labels.append(label)
    if not lines:
        raise SourceError(f"{path}: no rows; make it again with musiccli features")
    table = pd.DataFrame(np.frombuffer(numbers).reshape(len(lines), -1), index=lines, columns=list(COLUMNS))
    table.insert(0, "filename", filenames)
    table["label"] = labels
    return table


def _order(path: Path, header: list[str]) -> list[int]:
    """The columns of `filename`, `label` and the numbers, in this order."""
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and separator in header[0]:
            raise SourceError(f"{path}: the columns are separated by {name}; save it with commas")
    wanted, found = Counter(["filename", *COLUMNS, "label"]), Counter(header)
    missing, extra = sorted((wanted - found).elements()), sorted((found - wanted).elements())
    if missing or extra:
        named = [
            f"{kind} {', '.join(name or 'one without a name' for name in names)}"
            for kind, names in (("missing", missing), ("extra", extra))
            if names
        ]
        raise SourceError(f"{path}: columns {'; '.join(named)}; use those of features_3_sec.csv, in any order")
    return [header.index(name) for name in ("filename", "label", *COLUMNS)]


def _numbers(path: Path, line: int, texts: Sequence[str]) -> list[float]:
    """The numbers of a row: each is finite in 32 bits, and the first, a length, is above 0."""
    numbers = []
    for name, text in zip(COLUMNS, texts, strict=True):
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not abs(number) <= _LARGEST or "_" in text:  # Python reads 1_000
            raise SourceError(f"{path} line {line}: {name} is '{text}', not a finite number; fix the value")
        numbers.append(number)
    if numbers[0] <= 0:
        raise SourceError(f"{path} line {line}: length is '{texts[0]}', but must be 1 or more; fix the value")
    return numbers


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each row of a CSV file with the number of its first line, the header first; blank lines are skipped."""
    line, empty = 1, True
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for values in reader:
                if any(value.strip() for value in values):
                    empty = False
                    yield line, [plain_cell(value) for value in values]
                line = reader.line_num + 1
    except FileNotFoundError:
        raise SourceError(f"{path}: no such table; make one with musiccli features") from None
    except csv.Error as error:
        raise SourceError(f"{path} line {line}: not a readable row ({error}); fix it") from error
    except (OSError, UnicodeError) as error:
        raise SourceError(f"{path}: not a readable table ({error}); save it as CSV, in UTF-8") from error
    if empty:
        raise SourceError(f"{path}: not a readable table (it is empty); make one with musiccli features")
