"""The judgement as one self-contained page: figures, curves, spectrograms, players."""

from __future__ import annotations

import base64
import wave
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_cls import plots
from musicgen_cls.audio.io import to_pcm
from musicgen_cls.metrics import sound
from musicgen_cls.paths import writing

Waveform = npt.NDArray[np.float32]

_PLAYED, _PLAYED_S = 4, 10


def write_page(
    path: Path, report: dict[str, Any], text: str, music: Sequence[tuple[str, Sequence[Waveform]]], sample_rate: int
) -> None:
    """Write the page.

    Args:
        path: where.
        report: what `judge.json` holds.
        text: the table as it was printed.
        music: what can be played: names and waveforms `[samples]`, real music first.
        sample_rate: Hz.
    """
    from jinja2 import Environment, PackageLoader

    curves = {
        name: plots.curves_by_second({column: m[name] for column, m in report["measures"].items()}, name, unit)
        for name, unit in sound.MEASURES.items()
    }
    played = [(name, [_listed(y, sample_rate) for y in _spread(tracks)]) for name, tracks in music]
    environment = Environment(loader=PackageLoader("musicgen_cls", "data"), autoescape=True)
    page = environment.get_template("judge.html").render(
        report=report, text=text, curves={name: _png(figure) for name, figure in curves.items()}, played=played
    )
    with writing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _spread(tracks: Sequence[Waveform]) -> list[Waveform]:
    """A few tracks, evenly taken."""
    rows = np.unique(np.linspace(0, len(tracks) - 1, min(_PLAYED, len(tracks))).astype(int))
    return [tracks[row] for row in rows]


def _listed(waveform: Waveform, sample_rate: int) -> tuple[str, str]:
    """A player's sound and a picture of it."""
    heard = waveform[: _PLAYED_S * sample_rate]
    return _wav(heard, sample_rate), _png(plots.mel_of(heard, sample_rate), dpi=60)


def _wav(waveform: Waveform, sample_rate: int) -> str:
    buffer = BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(to_pcm(waveform).tobytes())
    return base64.b64encode(buffer.getvalue()).decode()


def _png(figure: Any, dpi: int = 90) -> str:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return base64.b64encode(buffer.getvalue()).decode()
