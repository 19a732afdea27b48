"""Damage to files, as disks, editors and other programs do it: seeded, so that a failure can be made again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

ODD_TEXTS = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b"NaN",
    b"1e999",
    b'"\\ud800"',
    b"\xff\xfe",
    b"\x00" * 50,
    b"[" * 100_000,
    b"9" * 5000,
    b'{"a": ' * 100_000,
    "\ufeff{}".encode(),
)
"""Texts in place of a file or a line of it."""

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, "", "x", "a\0b", "\udcff", "y" * 300, [], {}, [1], {"a": 1}),
    *(0, -1, 1, 1 << 31, 1 << 63, 10**30, 10**400, 0.5, -0.5, 1e300, float("nan"), float("inf")),
)
"""Values in place of a field."""


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """A file with one damage: a byte, a stretch of bytes, or lines of it."""
    place, length = int(rng.integers(len(content) + 1)), int(rng.integers(1, 40))
    lines = content.splitlines(keepends=True) or [b""]
    row, other = rng.integers(len(lines), size=2)
    kind = rng.integers(10)
    if kind < 3 and place < len(content):  # a byte, or a bit of it
        flipped = content[place] ^ (1 << int(rng.integers(8)) if kind else int(rng.integers(1, 256)))
        return content[:place] + bytes([flipped]) + content[place + 1 :]
    if kind == 3:  # bytes gone
        return content[:place] + content[place + length :]
    if kind == 4:  # bytes twice
        return content[: place + length] + content[place:]
    if kind == 5:  # the end gone
        return content[:place]
    if kind == 6:  # lines in another order
        lines[row], lines[other] = lines[other], lines[row]
    elif kind == 7:  # a line twice
        lines.insert(int(other), lines[row])
    elif kind == 8:  # a line gone
        del lines[row]
    else:  # a line of something else
        lines[row] = ODD_TEXTS[rng.integers(len(ODD_TEXTS))] + b"\n"
    return b"".join(lines)


def changed_fields(record: Any) -> Iterator[Any]:
    """A plain value with one of the values in it, at any depth, missing or of another kind."""
    if isinstance(record, dict):
        for name, value in record.items():
            yield {key: item for key, item in record.items() if key != name}
            yield from ({**record, name: odd} for odd in (*ODD_VALUES, *changed_fields(value)))
    elif isinstance(record, list) and record:
        yield from ([odd, *record[1:]] for odd in (*ODD_VALUES, *changed_fields(record[0])))


def some(items: Iterator[Any], number: int, seed: int) -> list[Any]:
    """A sample without replacement."""
    every = list(items)
    rows = np.random.default_rng(seed).permutation(len(every))[:number]
    return [every[row] for row in rows]


def as_json(record: Any) -> bytes:
    """JSON as Python writes it, with `NaN` and `Infinity`."""
    return json.dumps(record).encode()
