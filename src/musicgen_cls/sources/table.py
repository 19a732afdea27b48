"""Tables of features, such as those that go with GTZAN on Kaggle, as numbers."""

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

_TABLE_BYTES = 2_000_000_000  # two million rows
_LARGEST = float(np.finfo(np.float32).max)


def read_table(path: Path) -> Any:
    """A table of features as a pandas DataFrame, every number checked; its index are the lines in the file.

    Rows become numbers as they are read, so that memory grows with the numbers and not with their text.

    Raises:
        SourceError: it cannot be read, has other columns, no rows, a label missing or spelt in two ways, or what is no
            finite number.
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
                raise SourceError(f"{path} line {line}: {name} {text!r} is no plain text; fix it")
            if not text.strip():
                raise SourceError(f"{path} line {line}: no {name}; fill it in, or take the row away")
        label = composed(label)
        if (first := spelt.setdefault(folded(label), label)) != label:
            raise SourceError(f"{path} line {line}: the label '{label}' is '{first}' above; spell it in one way")
        numbers.extend(_numbers(path, line, texts))
        lines.append(line)
        filenames.append(filename)
        labels.append(label)
    if not lines:
        raise SourceError(f"{path}: no rows; make it anew with musiccli features")
    table = pd.DataFrame(np.frombuffer(numbers).reshape(len(lines), -1), index=lines, columns=list(COLUMNS))
    table.insert(0, "filename", filenames)
    table["label"] = labels
    return table


def _order(path: Path, header: list[str]) -> list[int]:
    """Where `filename`, `label` and the numbers stand in a row, in this order."""
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and separator in header[0]:
            raise SourceError(f"{path}: its columns are separated by {name}; save it with commas")
    wanted, found = Counter(["filename", *COLUMNS, "label"]), Counter(header)
    missing, extra = sorted((wanted - found).elements()), sorted((found - wanted).elements())
    if missing or extra:
        named = [
            f"{kind} {', '.join(name or 'one without a name' for name in names)}"
            for kind, names in (("missing", missing), ("extra", extra))
            if names
        ]
        raise SourceError(f"{path}: columns {'; '.join(named)}; it needs those of features_3_sec.csv, in any order")
    return [header.index(name) for name in ("filename", "label", *COLUMNS)]


def _numbers(path: Path, line: int, texts: Sequence[str]) -> list[float]:
    """The numbers of a row, each finite in 32 bits, the first, a length, above 0."""
    numbers = []
    for name, text in zip(COLUMNS, texts, strict=True):
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not abs(number) <= _LARGEST or "_" in text:  # Python reads 1_000
            raise SourceError(f"{path} line {line}: {name} is '{text}', not a finite number; fix it")
        numbers.append(number)
    if numbers[0] <= 0:
        raise SourceError(f"{path} line {line}: length is '{texts[0]}', but samples count from 1; fix it")
    return numbers


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The values in a CSV file with the line they begin in, those of the header first; blank lines are left out."""
    line, begun = 1, False
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for values in reader:
                if any(value.strip() for value in values):
                    begun = True
                    yield line, values
                line = reader.line_num + 1
    except FileNotFoundError:
        raise SourceError(f"{path}: no such table; make one with musiccli features") from None
    except csv.Error as error:
        raise SourceError(f"{path} line {line}: not a row that can be read ({error}); fix it") from error
    except (OSError, UnicodeError) as error:
        raise SourceError(f"{path}: not a table that can be read ({error}); save it as CSV, in UTF-8") from error
    if not begun:
        raise SourceError(f"{path}: not a table that can be read (it is empty)")
