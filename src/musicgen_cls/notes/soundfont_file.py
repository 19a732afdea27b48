"""Whether a SoundFont is whole, by the SoundFont Technical Specification 2.04 (E-mu 1998), section 7.

The library that plays SoundFonts reads its tables without checks, so that a damaged index would end the program.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

_TABLES = {
    "phdr": [("name", "S20"), ("preset", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("rest", "V12")],
    "pbag": [("gen", "<u2"), ("mod", "<u2")],
    "pgen": [("oper", "<u2"), ("amount", "<u2")],
    "inst": [("name", "S20"), ("bag", "<u2")],
    "ibag": [("gen", "<u2"), ("mod", "<u2")],
    "igen": [("oper", "<u2"), ("amount", "<u2")],
    "shdr": [("name", "S20"), ("start", "<u4"), ("end", "<u4"), ("loop", "<u4"), ("loop_end", "<u4"), ("rate", "<u4"),
             ("rest", "V6")],
}  # fmt: skip
_INSTRUMENT, _SAMPLE = 41, 53  # generators that point at an instrument, and at a sample


def is_soundfont(path: Path) -> bool:
    """Whether a file begins as a SoundFont does; raises `OSError` if it cannot be read."""
    with path.open("rb") as file:
        head = file.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"sfbk"


def is_whole(path: Path) -> bool:
    """Whether all tables of a SoundFont are there, and every index in them is in range."""
    try:
        sizes, tables = _read(path)
    except (KeyError, ValueError):
        return False
    shdr = tables["shdr"][:-1]
    sounds = bool(np.all(shdr["end"] <= sizes.get("smpl", 0))) or "smpo" in sizes  # compressed: places are in bytes
    if sizes.get("version", 2) == 2 and "smpo" not in sizes:
        samples = sizes.get("smpl", 0) // 2
        sounds = all(bool(np.all(shdr[place] <= samples)) for place in ("start", "end", "loop", "loop_end"))
    return (
        sounds
        and all(len(tables[name]) > 1 for name in ("phdr", "inst", "shdr"))
        and _rising(tables["phdr"]["bag"], len(tables["pbag"]))
        and _rising(tables["pbag"]["gen"], len(tables["pgen"]))
        and _rising(tables["inst"]["bag"], len(tables["ibag"]))
        and _rising(tables["ibag"]["gen"], len(tables["igen"]))
        and _below(_amounts(tables["pgen"], _INSTRUMENT), len(tables["inst"]) - 1)
        and _below(_amounts(tables["igen"], _SAMPLE), len(shdr))
    )


def _read(path: Path) -> tuple[dict[str, int], dict[str, npt.NDArray[np.void]]]:
    """The sizes of all chunks in the lists of a file, its version, and its tables.

    Raises:
        ValueError: the file ends early.
        KeyError: a table is missing.
    """
    sizes: dict[str, int] = {}
    found: dict[str, npt.NDArray[np.void]] = {}
    whole = path.stat().st_size
    with path.open("rb") as file:
        at = 12
        while at + 8 <= whole:
            file.seek(at)
            head = file.read(12)
            name, size = head[:4].decode("latin-1"), int.from_bytes(head[4:8], "little")
            if name == "LIST":  # what follows is its content
                at += 12
                continue
            if at + 8 + size > whole:
                raise ValueError(name)
            sizes[name] = size
            if name == "ifil":
                sizes["version"] = int.from_bytes(head[8:10], "little")
            if name in _TABLES:
                file.seek(at + 8)
                found[name] = np.frombuffer(file.read(size), np.dtype(_TABLES[name]))
            at += 8 + size + size % 2
    return sizes, {name: found[name] for name in _TABLES}


def _rising(indices: npt.NDArray[np.uint16], size: int) -> bool:
    return _below(indices, size) and bool(np.all(indices[1:] >= indices[:-1]))


def _below(indices: npt.NDArray[np.uint16], size: int) -> bool:
    return bool(np.all(indices < size))


def _amounts(generators: npt.NDArray[np.void], oper: int) -> npt.NDArray[np.uint16]:
    """The values of the generators of one kind."""
    return np.asarray(generators["amount"][generators["oper"] == oper])
