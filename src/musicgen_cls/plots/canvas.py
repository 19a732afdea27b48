"""What all figures share: colours, an empty sheet, names along an axis, and how they are written."""

import warnings
from collections.abc import Sequence
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
"""What figures are written as: pixels, or lines that any size of print shows sharp."""

INK, FAINT = "#222222", "#6e6e6e"  # both are legible on white
LEGIBLE = 4.5
"""Least contrast of text with what is behind it: level AA of WCAG 2."""
RIGHT, WRONG = "#1a7f37", "#c0262d"
BLUE = "#406fa2"
LIGHT = ("#fafafa", "#d3dde9", "#aec1d7", "#89a5c6", "#648ab4", "#406fa2", "#17548f")  # even steps in OKLab


def save(fig: "Figure", path: str | Path, dpi: int = 120, tight: bool = False) -> None:
    """Write a figure in the format that the name ends in; at no moment does `path` hold half of it.

    Args:
        fig: what to write.
        path: file; its folder is made where missing.
        dpi: dots per inch.
        tight: whether what reaches over the edge makes the picture larger.

    Raises:
        OSError: if it cannot be written.
        ValueError: if the ending is no format that matplotlib writes.

    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as half, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # of names: a box stands for such a letter
        fig.savefig(half, dpi=dpi, bbox_inches="tight" if tight else None)


def empty_figure(width: float, height: float) -> "Figure":
    """An empty white figure of so many inches, whose parts find their own room."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08), facecolor="white")


def pixels(levels: "np.ndarray", low: float, high: float) -> bytes:
    """Draw levels as a small PNG file, a pixel each, without axes.

    Args:
        levels: `[rows, columns]`, the first row at the bottom.
        low: the level that is drawn darkest.
        high: the level that is drawn brightest.

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
    """Near-white to blue in steps that look equal, without a dark end, so that counts stay legible."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("light", LIGHT)


def contrast(one: Any, other: Any) -> float:
    """Contrast ratio of two colours as WCAG 2 defines it, from 1 to 21.

    Relative luminance is that of https://www.w3.org/TR/WCAG22/#dfn-relative-luminance.
    """
    from matplotlib.colors import to_rgb

    def luminance(colour: Any) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def ink_on(background: Any) -> str:
    """A colour for text that is legible on any background: the usual ink, else white, else black."""
    return next(ink for ink in (INK, "white", "black") if ink == "black" or contrast(ink, background) >= LEGIBLE)


def name_axis(ax: "Axes", genres: Sequence[str], axis: str, longest: int = 24) -> None:
    """Write genres along an axis (x or y), one at each whole number."""
    line = ax.xaxis if axis == "x" else ax.yaxis
    line.set_ticks(range(len(genres)), [cut(genre, longest) for genre in genres], fontsize=9)
    for label in line.get_ticklabels():
        label.set_parse_math(False)
        if axis == "x":
            label.set(rotation=45, ha="right", rotation_mode="anchor")


def cut(text: str, length: int) -> str:
    """`text` on one line of at most so many characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def line_style(number: int) -> dict[str, Any]:
    """Colour and dashes of the line of that number; forty differ."""
    from matplotlib import colormaps

    return {"color": colormaps["tab10"](number % 10), "linestyle": ("-", "--", ":", "-.")[number // 10 % 4]}
