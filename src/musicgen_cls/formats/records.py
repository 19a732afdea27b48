"""Reads and writes the files of this package; every file is checked against a schema before it is used.

A schema is a `msgspec.Struct`. An error names, in one line, the file, the line, the field, the fault and the remedy.
Lines of journals also have a checksum, so that a changed byte is noticed even if the line is valid JSON.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

import msgspec

from musicgen_cls.errors import RecordError
from musicgen_cls.tables import plain_cell

FILE_BYTES = 1 << 28
"""The longest file or line that this package writes."""

_REASON = 160  # characters; a damaged file can hold anything
_SEAL = re.compile(rb'\{"check": "([0-9a-f]{16})", ')

T = TypeVar("T")


class Damage(ValueError):
    """The reason why a text does not fit the schema, in words, with the field."""


class Line(msgspec.Struct, Generic[T], frozen=True):
    """A line of a JSON lines file: its number from 1, its bytes, and its value, or the reason why it has none."""

    number: int
    raw: bytes
    value: T | None
    reason: str = ""

    @property
    def torn(self) -> bool:
        """Whether the end of the line is missing, because the process that wrote it was killed."""
        return not self.raw.endswith(b"\n")


def parse(text: bytes, kind: type[T]) -> T:
    """The value of a JSON text.

    Args:
        text: UTF-8. It may have lone surrogates as escapes, which stand for file names that are not UTF-8.
        kind: the schema.

    Raises:
        Damage: the text does not fit the schema, or has a number that is not finite.
    """
    try:
        value = json.loads(text.decode(), parse_constant=_not_finite, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise Damage(f"not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise Damage("nested too deeply") from None
    except ValueError as error:
        raise Damage(_short(f"not valid JSON ({error})")) from None
    return convert(value, kind)


def _current(value: Any, kind: Any) -> Any:
    """A JSON object with the present keys, if the schema lists the `OLD_KEYS` of earlier versions."""
    old: dict[str, str] = getattr(kind, "OLD_KEYS", {})
    if not isinstance(value, dict) or old.keys().isdisjoint(value):
        return value
    return {old.get(key, key): part for key, part in value.items()}


def convert(value: Any, kind: type[T], strict: bool = True) -> T:
    """A plain value converted to the schema; raises `Damage`. Strings count as numbers unless it is `strict`."""
    try:
        return msgspec.convert(_current(value, kind), kind, strict=strict)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        field = place.rstrip("`").lstrip(".")
        reason = reason[:1].lower() + reason[1:]
        raise Damage(_short(f"{field}: {reason}" if field else reason)) from None
    except UnicodeEncodeError:  # a lone surrogate where another kind of value or a field's name is expected
        raise Damage("text that is not UTF-8 in place of another value") from None
    except RecursionError:
        raise Damage("nested too deeply") from None


def read(path: Path, kind: type[T], remedy: str) -> T:
    """The value of a JSON file.

    Args:
        path: the file.
        kind: the schema.
        remedy: what to do with a damaged file.

    Raises:
        RecordError: it cannot be read, or does not fit the schema.
    """
    try:
        return parse(read_bytes(path, remedy), kind)
    except Damage as damage:
        raise RecordError(f"{path}: {damage}; {remedy}") from None


def lines(path: Path, kind: type[T], sealed: bool = False) -> Iterator[Line[T]]:
    """The lines of a JSON lines file, including damaged ones; none if there is no such file.

    Args:
        path: the file.
        kind: the schema of a line.
        sealed: whether each line has a checksum, which `seal` writes.

    Raises:
        RecordError: it cannot be read.
    """
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            number = 0
            while raw := file.readline(FILE_BYTES):
                number += 1
                try:
                    if sealed:
                        check_seal(raw)
                    yield Line(number, raw, parse(raw, kind))
                except Damage as damage:
                    yield Line(number, raw, None, str(damage))
    except OSError as error:
        raise _unreadable(path, error) from error


def seal(payload: dict[str, Any]) -> bytes:
    """A line of a journal: a JSON object whose first field is a checksum of the rest."""
    body = json.dumps(payload, allow_nan=False).encode()[1:] + b"\n"
    return b'{"check": "%s", %s' % (_checksum(body), body)


def read_table(path: Path, kind: type[T], remedy: str) -> list[T]:
    """The rows of a CSV table with a header, which can have more columns than the schema.

    Args:
        path: the file.
        kind: the schema of a row, a `msgspec.Struct`.
        remedy: what to do with a damaged file.

    Raises:
        RecordError: it cannot be read, lacks a column, or a row does not fit the schema.
    """
    try:
        text = read_bytes(path, remedy).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}: not UTF-8 at byte {error.start}; {remedy}") from None
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    rows: list[T] = []
    try:
        head = [plain_cell(cell) for cell in next(reader, [])]
        wanted = [field.encode_name for field in msgspec.structs.fields(kind)]  # type: ignore[arg-type]
        if missing := [name for name in wanted if name not in head]:
            raise RecordError(f"{path}: no column '{missing[0]}'; {remedy}")
        place = {name: head.index(name) for name in wanted}
        for cells in reader:
            if len(cells) != len(head):
                raise Damage(f"{len(cells)} cells, but the header has {len(head)}")
            rows.append(convert({name: plain_cell(cells[place[name]]) for name in wanted}, kind, strict=False))
    except (csv.Error, Damage) as error:
        raise RecordError(f"{path}: line {reader.line_num}: {error}; {remedy}") from None
    return rows


def read_bytes(path: Path, remedy: str) -> bytes:
    """The content of a file.

    Raises:
        RecordError: it cannot be read, or is longer than `FILE_BYTES`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(content) > FILE_BYTES:
        raise RecordError(f"{path}: longer than {FILE_BYTES >> 20} MiB, so musicgen_cls did not write it; {remedy}")
    return content


def finite(value: Any) -> Any:
    """A plain value with None in place of each number that is not finite, since JSON has no such numbers."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def check_seal(raw: bytes) -> None:
    """Raise `Damage` if the checksum of a line, which `seal` wrote, is wrong."""
    found = _SEAL.match(raw)
    if found is None or _checksum(raw[found.end() :]) != found[1]:
        raise Damage("its checksum is wrong")


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=8).hexdigest().encode()


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is not a finite number")
    return value


def _not_finite(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a finite number")


def _short(reason: str) -> str:
    return reason if len(reason) <= _REASON else f"{reason[:_REASON]} ..."


def _unreadable(path: Path, error: OSError) -> RecordError:
    return RecordError(f"{path}: cannot be read ({error.strerror or error}); check its permissions and its disk")
