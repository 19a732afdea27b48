"""A SoundFont for tests: one instrument, a looped sine of A4, for every preset and for drums (SoundFont 2.01, 1996)."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

RATE = 22050
_CYCLE = 50  # samples: 441 Hz


def write_soundfont(path: Path) -> Path:
    wave = (12000 * np.sin(2 * np.pi * np.arange(20 * _CYCLE) / _CYCLE)).astype("<i2")
    banks = [(program, 0) for program in range(128)] + [(0, 128)]
    phdr = b"".join(_header(f"preset {row}", program, bank, row) for row, (program, bank) in enumerate(banks))
    phdr += _header("EOP", 0, 0, len(banks))
    pbag = b"".join(struct.pack("<HH", row, 0) for row in range(len(banks) + 1))
    pgen = struct.pack("<HH", 41, 0) * len(banks) + struct.pack("<HH", 0, 0)  # instrument 0
    inst = struct.pack("<20sH", b"sine", 0) + struct.pack("<20sH", b"EOI", 1)
    ibag = struct.pack("<HHHH", 0, 0, 2, 0)
    igen = struct.pack("<HHHHHH", 54, 1, 53, 0, 0, 0)  # looped; sample 0
    mod = struct.pack("<HHhHH", 0, 0, 0, 0, 0)
    start, end = _CYCLE, 19 * _CYCLE  # of the loop
    shdr = struct.pack("<20sIIIIIBbHH", b"sine", 0, len(wave), start, end, RATE, 69, 0, 0, 1)
    shdr += struct.pack("<20sIIIIIBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0)
    info = _chunk(b"ifil", struct.pack("<HH", 2, 1)) + _chunk(b"isng", b"EMU8000\0") + _chunk(b"INAM", b"Test\0\0")
    samples = _chunk(b"smpl", wave.tobytes() + bytes(2 * 46))
    parts = {b"phdr": phdr, b"pbag": pbag, b"pmod": mod, b"pgen": pgen, b"inst": inst, b"ibag": ibag, b"imod": mod,
             b"igen": igen, b"shdr": shdr}  # fmt: skip
    data = b"sfbk" + _chunk(b"LIST", b"INFO" + info) + _chunk(b"LIST", b"sdta" + samples)
    data += _chunk(b"LIST", b"pdta" + b"".join(_chunk(name, content) for name, content in parts.items()))
    path.write_bytes(_chunk(b"RIFF", data))
    return path


def _header(name: str, program: int, bank: int, bag: int) -> bytes:
    return struct.pack("<20sHHHIII", name.encode(), program, bank, bag, 0, 0, 0)


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data
