"""Figures of the search for a learning rate, and figures that other packages draw with pyplot."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from musicgen_cls.plots.canvas import BLUE, FAINT, WRONG, empty_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learning_rate_curve(lrs: ArrayLike, losses: ArrayLike, found: float, before: float) -> "Figure":
    """Draw the loss against the learning rate in a search, and mark the rate that was found.

    Args:
        lrs: learning rates, ascending, `[steps]`.
        losses: smoothed losses, `[steps]`.
        found: the rate that was found.
        before: the rate in the config.

    """
    x, y = np.asarray(lrs, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    fig = empty_figure(7.0, 3.8)
    ax = fig.add_subplot()
    ax.plot(x, y, color=BLUE)
    ax.axvline(before, color=FAINT, linestyle=":", label=f"config: {before:.3g}")
    ax.plot(found, np.interp(found, x, y), "o", color=WRONG, markersize=8, label=f"found: {found:.3g}")
    ax.set(xlabel="learning rate", ylabel="training loss, running mean", xscale="log")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.grid(color="#e6e6e6")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    return fig


def from_pyplot(axes: Any) -> "Figure":
    """The figure of axes that another package drew with pyplot, closed in pyplot; `axes` are one or an array."""
    from matplotlib import pyplot
    from matplotlib.ticker import LogLocator, NullFormatter

    fig: Figure = np.ravel(np.asarray(axes, dtype=object))[0].figure
    pyplot.close(fig)
    fig.set_figwidth(9.0)
    for line in [line for ax in fig.axes for line in (ax.xaxis, ax.yaxis)]:
        if line.get_scale() == "log":  # labels between powers of ten would overlap
            line.set_minor_formatter(NullFormatter())
            line.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            line.set_major_formatter("{x:g}")
    return fig


@contextmanager
def without_screen() -> Iterator[None]:
    """Let other packages draw with pyplot without a screen, and without warnings about letters that fonts lack."""
    import logging

    import matplotlib

    backend, fonts = matplotlib.get_backend(), logging.getLogger("matplotlib.font_manager")
    level = fonts.level
    fonts.setLevel(logging.ERROR)
    matplotlib.use("agg")
    try:
        yield
    finally:
        fonts.setLevel(level)
        matplotlib.use(backend)
