"""Writes checkpoints in the format of TensorFlow, for tests."""

import struct

import google_crc32c
import numpy as np

ARRAYS = {
    "conv/bias": np.arange(3, dtype=np.float32),
    "conv/kernel": np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32),
    "conv_1/bias": np.zeros(1, np.float32),
    "scale": np.float32(0.5),
}


def varint(n: int) -> bytes:
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def masked(raw: bytes) -> int:
    crc = google_crc32c.value(raw)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def entry(array: np.ndarray, offset: int, kind: int = 1) -> bytes:
    """A BundleEntryProto: type, shape, offset, size, checksum."""
    shape = b"".join(b"\x12" + varint(len(s)) + s for s in (b"\x08" + varint(n) for n in array.shape))
    raw = array.tobytes()
    where = (b"\x20" + varint(offset) if offset else b"") + b"\x28" + varint(len(raw))
    return (
        b"\x08" + varint(kind) + b"\x12" + varint(len(shape)) + shape + where + b"\x35" + struct.pack("<I", masked(raw))
    )


def block(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """A block whose keys share prefixes, with its compression byte and checksum."""
    body, last = b"", b""
    for key, value in pairs:
        shared = next((n for n, (a, b) in enumerate(zip(key, last, strict=False)) if a != b), min(len(key), len(last)))
        body += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    body += struct.pack("<II", 0, 1)
    return body + b"\x00" + struct.pack("<I", masked(body + b"\x00"))


def bundle(arrays: dict[str, np.ndarray] = ARRAYS, kind: int = 1) -> tuple[bytes, bytes]:
    data, pairs = b"", [(b"", b"\x08\x01")]
    for name, array in sorted(arrays.items()):
        pairs.append((name.encode(), entry(array, len(data), kind)))
        data += array.tobytes()
    first = block(pairs)
    handle = varint(0) + varint(len(first) - 5)
    index = block([(b"zz", handle)])
    where = varint(0) + varint(0) + varint(len(first)) + varint(len(index) - 5)
    return first + index + where.ljust(40, b"\x00") + bytes.fromhex("57fb808b247547db"), data
