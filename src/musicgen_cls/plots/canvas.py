"""Functions for all figures: colours, an empty figure, names along an axis, writing to a file."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from musicgen_cls.files import writing

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

FigureFormat = Literal["png", "svg", "pdf"]
"""File formats of figures: pixels (png) or vector graphics (svg, pdf)."""

INK, FAINT = "#222222", "#6e6e6e"  # text colours, both legible on white
LEGIBLE = 4.5
"""Minimum contrast of text and background: level AA of WCAG 2."""
RIGHT, WRONG = "#1a7f37", "#c0262d"
BLUE = "#406fa2"
LIGHT = ("#fafafa", "#d3dde9", "#aec1d7", "#89a5c6", "#648ab4", "#406fa2", "#17548f")  # equal steps in OKLab


def save(fig: "Figure", path: str | Path, dpi: int = 120, tight: bool = False) -> None:
    """Write a figure in the format of the file's suffix. The file is written under another name and then renamed.

    Args:
        fig: the figure.
        path: file; its folder is created if missing.
        dpi: dots per inch.
        tight: whether parts beyond the edge of the figure enlarge it; they are cut off otherwise.

    Raises:
        OSError: the file cannot be written.
        ValueError: matplotlib does not write the format of the suffix.

    """
    path = Path(path)
    with writing(path) as half, _arranged(fig, dpi):
        fig.savefig(half, dpi=dpi, bbox_inches="tight" if tight else None)


def png(fig: "Figure", dpi: int) -> bytes:
    """A figure as the content of a PNG file.

    Args:
        fig: the figure.
        dpi: dots per inch.

    """
    buffer = BytesIO()
    with _arranged(fig, dpi):
        fig.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


@contextmanager
def _arranged(fig: "Figure", dpi: int) -> Iterator[None]:
    """The parts of a figure are in their places, and its layout is off: `savefig` draws twice if it is on."""
    before, layout = fig.dpi, fig.get_layout_engine()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box stands for a letter that the font lacks
        if layout is not None and fig.axes:
            fig.dpi = dpi
            layout.execute(fig)
            fig.set_layout_engine(None)
        try:
            yield
        finally:
            fig.dpi = before
            fig.set_layout_engine(layout)


def empty_figure(width: float, height: float) -> "Figure":
    """An empty white figure with a size in inches and an automatic layout."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08), facecolor="white")


def pixels(levels: "np.ndarray", low: float, high: float) -> bytes:
    """A PNG file with one pixel for each level, without axes.

    Args:
        levels: `[rows, columns]`, the first row at the bottom.
        low: level of the darkest colour.
        high: level of the brightest colour.

    """
    import numpy as np
    from matplotlib import colormaps
    from PIL import Image

    shades = np.clip((levels[::-1] - low) / max(high - low, 1e-9) * 255, 0, 255).astype(np.uint8)
    image = Image.fromarray(shades).convert("P")
    image.putpalette(colormaps["magma"](np.arange(256), bytes=True)[:, :3].tobytes())
    buffer = BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def light_blues() -> "Colormap":
    """A colour map from near-white to blue in perceptually equal steps. It has no dark end, so that text is legible."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("light", LIGHT)


def contrast(one: Any, other: Any) -> float:
    """Contrast ratio of two colours by the definition of WCAG 2, from 1 to 21.

    Relative luminance is that of https://www.w3.org/TR/WCAG22/#dfn-relative-luminance.
    """
    from matplotlib.colors import to_rgb

    def luminance(colour: Any) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def ink_on(background: Any) -> str:
    """A legible colour for text on a background: the first of `INK`, white and black with enough contrast."""
    return next(ink for ink in (INK, "white", "black") if ink == "black" or contrast(ink, background) >= LEGIBLE)


def name_axis(ax: "Axes", genres: Sequence[str], axis: str, longest: int = 24) -> None:
    """Label an axis (x or y) with genres, one at each integer."""
    line = ax.xaxis if axis == "x" else ax.yaxis
    line.set_ticks(range(len(genres)), [cut(genre, longest) for genre in genres], fontsize=9)
    for label in line.get_ticklabels():
        label.set_parse_math(False)
        if axis == "x":
            label.set(rotation=45, ha="right", rotation_mode="anchor")


def cut(text: str, length: int) -> str:
    """`text` on one line, cut to at most `length` characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def line_style(number: int) -> dict[str, Any]:
    """Colour and dashes of line number `number`; the first forty lines differ."""
    from matplotlib import colormaps

    return {"color": colormaps["tab10"](number % 10), "linestyle": ("-", "--", ":", "-.")[number // 10 % 4]}
