"""Self-contained HTML pages: images and sound are embedded, and nothing is loaded from the network."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from musicgen_cls.audio.io import to_pcm
from musicgen_cls.errors import counted
from musicgen_cls.files import writing
from musicgen_cls.plots.canvas import png

_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


def write_page(path: Path, template: str, **values: Any) -> None:
    """Write a page from a template in the package's data folder, whole or not at all."""
    with writing(path) as temporary:
        temporary.write_text(rendered(template, **values), encoding="utf-8")


def rendered(template: str, **values: Any) -> str:
    """The text of a template in the package's data folder with these values, which are escaped."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("musicgen_cls", "data"), autoescape=True)
    environment.globals["counted"] = counted
    return environment.get_template(template).render(**values)


def embedded_png(figure: Any, dpi: int = 90) -> str:
    """A figure, or the PNG file of one, as the data URL of an image."""
    if isinstance(figure, Path):
        return embedded_image(figure.read_bytes())
    return embedded_image(png(figure, dpi))


def embedded_image(png: bytes) -> str:
    """The content of a PNG file as the data URL of an image."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def embedded_sound(waveform: npt.NDArray[np.float32], sample_rate: int, compress: bool = False) -> str:
    """A waveform `[samples]` as the data URL of a sound: WAV, or MP3, which has a sixth of the size or less.

    MP3 has only a few sample rates; audio of other rates is resampled to the next higher one.
    """
    import soundfile
    import soxr

    kind = "MP3" if compress else "WAV"
    if compress and sample_rate not in _MP3_RATES:
        rate = next((rate for rate in _MP3_RATES if rate > sample_rate), _MP3_RATES[-1])
        waveform, sample_rate = soxr.resample(waveform, sample_rate, rate), rate
    buffer = BytesIO()
    soundfile.write(buffer, to_pcm(waveform), sample_rate, format=kind)
    mime = {"MP3": "audio/mpeg", "WAV": "audio/wav"}[kind]
    return f"data:{mime};base64,{base64.b64encode(buffer.getvalue()).decode()}"
