"""The judgement as one self-contained page: figures, curves, spectrograms, players."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_cls import plots
from musicgen_cls.errors import counted
from musicgen_cls.metrics import by_second as sound
from musicgen_cls.pages.page import embedded_png, embedded_sound, write_page

Waveform = npt.NDArray[np.float32]

_PLAYED, _PLAYED_S = 4, 10


def write_judgement(
    path: Path,
    report: dict[str, Any],
    rows: Sequence[tuple[str, Sequence[str]]],
    music: Sequence[tuple[str, Sequence[Waveform]]],
    sample_rate: int,
) -> None:
    """Write the page.

    Args:
        path: where.
        report: what `judge.json` holds.
        rows: the name of each measure and its values, one for each column of the report.
        music: what can be played: names and waveforms `[samples]`, real music first.
        sample_rate: Hz.
    """
    curves = {
        name: plots.curves_by_second({column: m[name] for column, m in report["measures"].items()}, name, unit)
        for name, unit in sound.MEASURES.items()
    }
    played = [(name, [_listed(y, sample_rate) for y in _spread(tracks)]) for name, tracks in music]
    pictures = {name: embedded_png(figure) for name, figure in curves.items()}
    write_page(path, "judge.html", report=report, table=_table(report, rows), curves=pictures, played=played)


def _spread(tracks: Sequence[Waveform]) -> list[Waveform]:
    """A few tracks, evenly taken."""
    rows = np.unique(np.linspace(0, len(tracks) - 1, min(_PLAYED, len(tracks))).astype(int))
    return [tracks[row] for row in rows]


def _listed(waveform: Waveform, sample_rate: int) -> tuple[str, str]:
    """A player's sound and a picture of it."""
    heard = waveform[: _PLAYED_S * sample_rate]
    return embedded_sound(heard, sample_rate), embedded_png(plots.mel_of(heard, sample_rate), dpi=60)


def _table(report: dict[str, Any], rows: Sequence[tuple[str, Sequence[str]]]) -> dict[str, Any]:
    """Columns with their numbers of tracks, and rows of values apart from their intervals."""
    tracks = [(name, counted(report["tracks"][name], "track")) for name in report["measures"]]
    return {"head": tracks, "rows": [(name, [_apart(cell) for cell in cells]) for name, cells in rows]}


def _apart(cell: str) -> tuple[str, str]:
    value, bracket, interval = cell.partition(" [")
    return value, bracket[1:] + interval
