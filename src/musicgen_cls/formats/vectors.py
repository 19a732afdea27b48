"""Files of vectors, each with the recording that it is from: NumPy's npz, Parquet and CSV.

Vectors are written as they come, so that a file can be larger than the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile, ZipInfo

import numpy as np
import numpy.typing as npt

from musicgen_cls.files import writing
from musicgen_cls.tables import write_csv

Vector = npt.NDArray[np.float32]

_AT_ONCE = 4096  # rows that are written together


@dataclass(frozen=True)
class Vectors:
    """The rows of a file.

    Args:
        paths: the recording of each row, as text.
        genres: its genre; an empty text if it is not known.
        start_s: where the part of the recording begins, s.
        vectors: the vector of each row, float32 `[dim]`, in order.
        dim: numbers in a vector.
        facts: what all rows have in common, such as the network.
    """

    paths: Sequence[str]
    genres: Sequence[str]
    start_s: Sequence[float]
    vectors: Iterator[Vector]
    dim: int
    facts: Mapping[str, str]


def write_vectors(path: Path, rows: Vectors) -> None:
    """Write a file of the kind of its suffix, one of `SUFFIXES`, whole or not at all.

    Equal rows give equal bytes.

    - `.npz`: arrays `embeddings` float32 `[rows, dim]`, `paths`, `genres`, `start_s`, and one for each fact.
    - `.parquet`: columns `path`, `genre`, `start_s` and `embedding`, a list of float32; the facts are its metadata.
    - `.csv`: columns `path`, `genre`, `start_s`, `e0`, `e1` and so on; it has no facts.
    """
    _WRITERS[path.suffix.lower()](path, rows)


def _write_npz(path: Path, rows: Vectors) -> None:
    columns: tuple[tuple[str, np.dtype[Any], Sequence[Any]], ...] = (
        ("paths", _kind_of_texts(rows.paths), rows.paths),
        ("genres", _kind_of_texts(rows.genres), rows.genres),
        ("start_s", np.dtype("<f8"), rows.start_s),
    )
    with writing(path) as temporary, ZipFile(temporary, "w") as archive:
        with archive.open(ZipInfo("embeddings.npy"), "w", force_zip64=True) as file:  # a ZipInfo has a fixed date
            _write_array(file, np.dtype("<f4"), (len(rows.paths), rows.dim), rows.vectors)
        for name, kind, values in columns:
            blocks = (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))
            with archive.open(ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                _write_array(file, kind, (len(values),), blocks)
        for name, fact in rows.facts.items():
            with archive.open(ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(fact), allow_pickle=False)


def _kind_of_texts(texts: Sequence[str]) -> np.dtype[Any]:
    """The type of an array of texts, which all take the space of the longest one."""
    return np.asarray(max(texts, key=len)).dtype


def _write_array(file: IO[bytes], kind: np.dtype[Any], shape: tuple[int, ...], parts: Iterable[npt.ArrayLike]) -> None:
    """Write an array in NumPy's format, part by part."""
    np.lib.format.write_array_header_1_0(file, {"descr": kind.str, "fortran_order": False, "shape": shape})
    for part in parts:
        file.write(np.asarray(part, kind).tobytes())


def _write_parquet(path: Path, rows: Vectors) -> None:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    fields = {"path": pyarrow.string(), "genre": pyarrow.string(), "start_s": pyarrow.float64()}
    schema = pyarrow.schema({**fields, "embedding": pyarrow.list_(pyarrow.float32())}, metadata=dict(rows.facts))
    with writing(path) as temporary, ParquetWriter(temporary, schema) as file:
        for begin in range(0, len(rows.paths), _AT_ONCE):
            part = slice(begin, begin + _AT_ONCE)
            vectors = np.concatenate(list(islice(rows.vectors, _AT_ONCE)))
            ends = np.arange(0, len(vectors) + 1, rows.dim, dtype=np.int32)
            columns: list[Any] = [rows.paths[part], rows.genres[part], rows.start_s[part]]
            lists = pyarrow.ListArray.from_arrays(ends, vectors)
            file.write_table(pyarrow.table([*columns, lists], schema=schema))


def _write_csv(path: Path, rows: Vectors) -> None:
    names = [f"e{number}" for number in range(rows.dim)]
    cells = zip(rows.paths, rows.genres, rows.start_s, rows.vectors, strict=True)
    table = (
        {"path": one, "genre": genre, "start_s": start, **dict(zip(names, vector, strict=True))}
        for one, genre, start, vector in cells
    )
    write_csv(path, ["path", "genre", "start_s", *names], table)


_WRITERS: dict[str, Callable[[Path, Vectors], None]] = {
    ".npz": _write_npz,
    ".parquet": _write_parquet,
    ".csv": _write_csv,
}

SUFFIXES = tuple(_WRITERS)
"""The suffixes of files of vectors."""
