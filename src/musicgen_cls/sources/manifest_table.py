"""Reads and checks the file of a manifest, as columns of Arrow, so that a million rows need little time and memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from musicgen_cls.errors import SourceError, one_line
from musicgen_cls.files import check_regular
from musicgen_cls.remote.copies import local_copy
from musicgen_cls.sources.base import SIDES
from musicgen_cls.sources.hub_files import needed
from musicgen_cls.sources.lists import SIDE_NAMES
from musicgen_cls.sources.names import folded
from musicgen_cls.tables import FORMULA, not_commas

OPTION = "--data.source.path"
COLUMNS = "it needs the columns path and genre; id, artist, seconds, group and split are optional"

_REQUIRED = ("path", "genre")
_UNIQUE = ("id", "path")
_NAMES = ("genre", "artist", "group", "split")  # stored once each, with a number for each row
_OPTIONAL = ("id", "artist", "seconds", "group", "split")
_BYTES = 4_000_000_000
_UNPRINTABLE = r"[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]"  # not the joiners in Persian names and in emoji
_PATH = r"^[/\\~]|^[A-Za-z]:[/\\]|(^|[/\\])\.\.?([/\\]|$)"


def read_manifest(path: Path) -> dict[str, Any]:
    """The columns of a manifest by name: arrays of Arrow, with dictionaries for names such as genres.

    Raises:
        SourceError: the file is missing, empty, not a table of its kind, or lacks a column; or a row has no path or
            genre, a value that cannot be used, or the path or id of another row.
        UsageError: it is not a file, or pyarrow is not installed.
    """
    read = {".csv": _read_csv, ".parquet": _read_parquet}.get(path.suffix.lower())
    if read is None:
        raise SourceError(f"{OPTION} {path}: not a .parquet or .csv file; name one with tracks, {COLUMNS}")
    if not path.exists():
        raise SourceError(f"{OPTION} {path}: no such file; name a manifest, {COLUMNS}")
    check_regular(path, OPTION, _BYTES)
    needed("pyarrow", f"{OPTION} {path}", "manifest")
    try:
        with local_copy(path) as file:
            return {name: _checked(path, name, values) for name, values in read(file)}  # one column after another
    except (ValueError, OSError, NotImplementedError) as error:  # Arrow's own errors are of these types
        kind = "CSV in UTF-8" if path.suffix.lower() == ".csv" else "Parquet"
        raise SourceError(f"{path}: not readable as {kind} ({one_line(error)}); write it again") from error


def _read_parquet(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        for name in _wanted(path, file.schema_arrow.names):
            yield name, file.read(columns=[name])[name]


def _read_csv(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow
    from pyarrow import compute, csv

    parse = csv.ParseOptions(newlines_in_values=True)
    with csv.open_csv(path, parse_options=parse) as file:
        names = _wanted(path, file.schema.names)
    convert = csv.ConvertOptions(
        include_columns=names,
        column_types=dict.fromkeys(names, pyarrow.string()),
        strings_can_be_null=True,
        null_values=[""],
    )
    table = csv.read_csv(path, parse_options=parse, convert_options=convert)
    for name in names:
        yield name, compute.replace_substring_regex(table[name], f"^'({FORMULA})", r"\1")  # as `plain_cell`
        table = table.drop_columns(name)


def _wanted(path: Path, found: Sequence[str]) -> list[str]:
    """The columns to read."""
    if missing := [name for name in _REQUIRED if name not in found]:
        raise SourceError(f"{path}: no column {', '.join(missing)}; {COLUMNS}{not_commas(found)}")
    names = [*_REQUIRED, *(name for name in _OPTIONAL if name in found)]
    if twice := [name for name in names if list(found).count(name) > 1]:
        raise SourceError(f"{path}: the column {twice[0]} is there twice; remove one")
    return names


def _checked(path: Path, name: str, values: Any) -> Any:
    """A column in its type, after the checks of its values."""
    import pyarrow
    from pyarrow import compute

    wanted = pyarrow.float64() if name == "seconds" else pyarrow.large_string()
    try:
        values = values.cast(wanted)
    except (ValueError, NotImplementedError) as error:
        what = "numbers" if name == "seconds" else "text"
        raise SourceError(f"{path}: the column {name} is not {what} ({one_line(error)}); fix it") from error
    array = pyarrow.concat_arrays(values.chunks) if values.num_chunks else pyarrow.array([], wanted)
    if not len(array):
        raise SourceError(f"{path}: no rows; {COLUMNS}")
    if name == "seconds":
        odd = compute.invert(compute.and_(compute.is_finite(array), compute.greater_equal(array, 0)))
        return _without(path, name, array, odd, "is not a length in seconds; fix it, or leave it empty")
    if name != "path":
        array = compute.utf8_trim_whitespace(compute.utf8_normalize(array, "NFC"))
    if compute.any(blank := compute.equal(array, "")).as_py():
        array = compute.if_else(blank, None, array)
    if name in (*_REQUIRED, *_UNIQUE) and array.null_count:
        raise SourceError(f"{path} row {_first(compute.is_null(array))}: no {name}; fill it in, or delete the row")
    odd = compute.match_substring_regex(array, _UNPRINTABLE)
    array = _without(path, name, array, odd, "has unprintable characters; change it")
    if name in _UNIQUE:
        return _unique(path, name, array)
    return _of_names(path, name, array.dictionary_encode())


def _unique(path: Path, name: str, array: Any) -> Any:
    """A column whose values must be unique; sorting needs less memory than a hash table."""
    from pyarrow import compute

    order = compute.sort_indices(array)
    ordered = array.take(order)
    twice = np.flatnonzero(compute.equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False))
    if len(twice):
        rows = np.sort(np.stack([order.to_numpy()[twice], order.to_numpy()[twice + 1]]), axis=0)
        first, row = rows[:, rows[1].argmin()]
        raise SourceError(
            f"{path} row {row + 1}: {name} '{array[int(row)]}' is in row {first + 1} too; delete one of the rows"
        )
    return array


def _of_names(path: Path, name: str, array: Any) -> Any:
    """A column of names: genres are no paths and have one spelling, splits are known."""
    from pyarrow import compute

    names = array.dictionary
    if name == "genre":
        odd = compute.match_substring_regex(names, _PATH)
        _without(path, name, array, compute.take(odd, array.indices), "is a path; write the name of a genre")
        spelt: dict[str, str] = {}
        for own in names.to_pylist():
            if (first := spelt.setdefault(folded(own), own)) != own:
                row = _first(compute.equal(array.indices, names.index(own).as_py()))
                raise SourceError(f"{path} row {row}: the genre '{own}' is '{first}' above; use one spelling")
    if name == "split":
        known = [own.casefold() in SIDE_NAMES for own in names.to_pylist()]
        for number in (number for number, right in enumerate(known) if not right):
            raise SourceError(
                f"{path} row {_first(compute.equal(array.indices, number))}: the split '{names[number]}' is not one of "
                f"{', '.join(SIDES)}; write one of these, or leave it empty"
            )
    return array


def _without(path: Path, name: str, array: Any, odd: Any, reason: str) -> Any:
    """The array, if no value in it is odd."""
    if (row := _first(odd)) > 0:
        raise SourceError(f"{path} row {row}: {name} '{one_line(array[row - 1])}' {reason}")
    return array


def _first(mask: Any) -> int:
    """The number of the first row, from 1, where a mask is True; 0 if there is none. The header is no row."""
    from pyarrow import compute

    return int(compute.index(mask, True).as_py()) + 1
