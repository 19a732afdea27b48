"""The reliability diagram: accuracy against confidence."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from musicgen_cls.plots.canvas import BLUE, FAINT, INK, empty_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def reliability(
    bins: Sequence[Mapping[str, Any]], confidence: ArrayLike, threshold: float = 0.0, title: str | None = None
) -> "Figure":
    """Draw the accuracy of each bin against its mean confidence, and below it how frequent each confidence is.

    Args:
        bins: `reliability` of `metrics.reliability.summarise_confidence`.
        confidence: probability of the predicted genre of each track, `[tracks]`.
        threshold: predictions with a lower confidence are unsure; 0 for none.
        title: one line.

    """
    fig = empty_figure(4.8, 5.6)
    above, below = fig.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.plot([0, 100], [0, 100], color=FAINT, linewidth=1, linestyle="--")
    above.annotate(
        "accuracy = probability", (36, 36), (-8, 8), textcoords="offset points", rotation=45, rotation_mode="anchor",
        transform_rotates_text=True, ha="right", fontsize=9, color=FAINT,
    )  # fmt: skip
    for part in bins:
        mean, accuracy = 100 * part["confidence"], part["accuracy"]
        value, low, high = (100 * accuracy[name] for name in ("value", "low", "high"))
        ends = [[mean - 100 * part["low"]], [100 * part["high"] - mean]]
        above.errorbar(mean, value, xerr=ends, color=BLUE, alpha=0.5, fmt="none", linewidth=5)
        above.errorbar(mean, value, yerr=[[value - low], [high - value]], color=INK, capsize=3, fmt="o", markersize=5)
    above.set(ylabel="accuracy in % (95 % interval)", xlim=(0, 100), ylim=(-2, 102))
    below.hist(100 * np.asarray(confidence), bins=np.linspace(0, 100, 21), color=BLUE, alpha=0.7)
    below.set(xlabel="probability of the predicted genre in %", ylabel="tracks")
    below.yaxis.get_major_locator().set_params(integer=True)
    for ax in (above, below):
        if threshold:
            ax.axvline(100 * threshold, color=FAINT, linewidth=1, linestyle=":")
        ax.grid(color="#e6e6e6")
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    if threshold:
        where = {"va": "bottom", "ha": "right", "fontsize": 9, "color": FAINT}
        above.annotate("unsure", (100 * threshold, 0), (-4, 2), textcoords="offset points", **where)
    if title:
        above.set_title(title, fontsize=10, parse_math=False)
    return fig
