"""Reads checkpoints of TensorFlow: a table of names and positions (`.index`) and the numbers (`.data-...`).

The index is a table of LevelDB (https://github.com/google/leveldb/blob/main/doc/table_format.md). It has blocks of
sorted keys; a footer at its end points to the block of blocks. The key of an entry is the name of a variable, its value
a protocol buffer `BundleEntryProto` (tensorflow/core/protobuf/tensor_bundle.proto): type, shape, position and checksum.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_cls.errors import UsageError

_MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER = 48
_FLOAT = 1  # the type of 32-bit numbers in BundleEntryProto

Array = npt.NDArray[np.float32]


def read_bundle(index: bytes, data: bytes, wanted: Collection[str], name: str) -> dict[str, Array]:
    """Variables of a checkpoint by name, each with its checksum verified.

    Args:
        index: content of the file `.index`.
        data: content of the file `.data-00000-of-00001`.
        wanted: names of the variables.
        name: name of the checkpoint, for errors.

    Raises:
        UsageError: this is no checkpoint of TensorFlow, it is damaged, or a variable is missing.
    """
    try:
        entries = dict(_entries(index))
    except (IndexError, ValueError) as error:
        raise UsageError(f"{name}: not a checkpoint of TensorFlow, or a damaged one; fetch it again") from error
    if missing := sorted(set(wanted) - {key.decode(errors="replace") for key in entries}):
        raise UsageError(f"{name}: has no variable '{missing[0]}'; this is another checkpoint")
    return {variable: _variable(entries[variable.encode()], data, f"{name}: {variable}") for variable in wanted}


def _entries(index: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a table."""
    if len(index) < _FOOTER or not index.endswith(_MAGIC):
        raise ValueError("no footer")
    footer = index[-_FOOTER:]
    at = 0
    for _ in range(2):  # position and size of the block of metadata, which is not read
        _, at = _varint(footer, at)
    for _, handle in _block(index, *_handle(footer, at)):
        yield from _block(index, *_handle(handle, 0))


def _handle(raw: bytes, at: int) -> tuple[int, int]:
    """Position and size of a block."""
    position, at = _varint(raw, at)
    return position, _varint(raw, at)[0]


def _block(index: bytes, position: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block. A key has the number of bytes that it shares with the key before, and the rest."""
    block, trailer = index[position : position + size], index[position + size : position + size + 5]
    if len(trailer) < 5 or trailer[0] != 0 or _crc(block + trailer[:1]) != int.from_bytes(trailer[1:], "little"):
        raise ValueError("a damaged or compressed block")
    end = size - 4 - 4 * int.from_bytes(block[-4:], "little")  # behind the entries: the restart points
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        fresh, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + fresh]
        yield key, block[at + fresh : at + fresh + length]
        at += fresh + length


def _variable(entry: bytes, data: bytes, name: str) -> Array:
    """The numbers of a variable."""
    fields: dict[int, Any] = dict(_fields(entry))
    sizes = [dict(_fields(size)) for number, size in _fields(fields.get(2, b"")) if number == 2]
    shape, start, size = [size.get(1, 0) for size in sizes], fields.get(4, 0), fields.get(5, 0)
    raw = data[start : start + size]
    if fields.get(1) != _FLOAT or size != 4 * prod(shape):
        raise UsageError(f"{name}: not an array of 32-bit numbers; this is another checkpoint")
    if len(raw) < size or _crc(raw) != fields.get(6):
        raise UsageError(f"{name}: its checksum differs; the file is damaged, fetch it again")
    return np.frombuffer(raw, "<f4").reshape(shape)


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values of the fields of a protocol buffer."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        value: Any
        if kind == 0:
            value, at = _varint(message, at)
        elif kind == 2:
            length, at = _varint(message, at)
            value, at = message[at : at + length], at + length
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
            value, at = int.from_bytes(message[at : at + length], "little"), at + length
        else:
            raise ValueError(f"a field of kind {kind}")
        yield tag >> 3, value


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """A number in 7-bit groups, the lowest first, and the position behind it."""
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _crc(raw: bytes) -> int:
    """CRC-32C, rotated and shifted as LevelDB stores it, so that checksums of checksums are not zero."""
    from google_crc32c import value

    crc: int = value(raw)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
