"""The report of `judge` as one self-contained page: measures, curves, spectrograms, players."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    note_rows: Sequence[tuple[str, Sequence[str]]],
    music: Sequence[tuple[str, Sequence[Waveform]]],
) -> None:
    """Write the page.

    Args:
        path: path of the page.
        report: the content of `judge.json`.
        rows: the name of each measure and its values, one for each column of the report; none without recordings.
        note_rows: the same of scores.
        music: names and waveforms `[samples]` for the players, real music first; none without recordings.
    """
    measures, sample_rate = report.get("measures", {}), report.get("sample_rate", 0)
    curves = {
        name: plots.curves_by_second({column: m[name] for column, m in measures.items()}, name, unit)
        for name, unit in sound.MEASURES.items()
        if measures
    }
    played = [(name, [_player(y, sample_rate) for y in _spread(tracks)]) for name, tracks in music]
    images = {name: embedded_png(figure) for name, figure in curves.items()}
    tables = {"table": _table(measures, report.get("tracks", {}), "track", rows)}
    if scores := report.get("scores"):
        tables["note_table"] = _table(scores["measures"], scores["pieces"], "score", note_rows)
    write_page(path, "judge.html", report=report, curves=images, played=played, **tables)


def _spread(tracks: Sequence[Waveform]) -> list[Waveform]:
    """A few tracks, evenly spread."""
    rows = np.unique(np.linspace(0, len(tracks) - 1, min(_PLAYED, len(tracks))).astype(int))
    return [tracks[row] for row in rows]


def _player(waveform: Waveform, sample_rate: int) -> tuple[str, str]:
    """The sound of a player, and its mel spectrogram."""
    played = waveform[: _PLAYED_S * sample_rate]
    return embedded_sound(played, sample_rate), embedded_png(plots.mel_of(played, sample_rate), dpi=60)


def _table(
    columns: Iterable[str], counts: dict[str, int], noun: str, rows: Sequence[tuple[str, Sequence[str]]]
) -> dict[str, Any]:
    """Columns with their numbers of tracks, and rows of values with separate intervals."""
    head = [(name, counted(counts[name], noun)) for name in columns]
    return {"head": head, "rows": [(name, [_value_and_interval(cell) for cell in cells]) for name, cells in rows]}


def _value_and_interval(cell: str) -> tuple[str, str]:
    value, bracket, interval = cell.partition(" [")
    return value, bracket[1:] + interval
