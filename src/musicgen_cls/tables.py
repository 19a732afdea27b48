"""Tables as files that spreadsheets open rightly."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from musicgen_cls.paths import writing

ENCODING = "utf-8-sig"
"""Excel takes a CSV file for UTF-8 only where it begins with this mark; Python and pandas read it with and without."""


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV file, whole or not at all, row by row.

    Characters of file names that are no text are written as escapes.

    Args:
        path: the file.
        columns: names, in order.
        rows: values by column; what is missing is left empty, other keys are left out.
    """
    with writing(path) as temporary, _opened(temporary) as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with path.open("w", newline="", encoding=ENCODING, errors="backslashreplace") as file:
        yield file
