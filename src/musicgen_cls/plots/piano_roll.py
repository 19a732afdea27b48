"""A score as a piano roll."""

from typing import TYPE_CHECKING

import numpy as np

from musicgen_cls.notes.facts import bar_times
from musicgen_cls.notes.families import DRUMS, FAMILIES
from musicgen_cls.notes.render import SHOT_OF_DRUM
from musicgen_cls.notes.score import Notes, length_seconds, onset_seconds, step_seconds
from musicgen_cls.plots.canvas import FAINT, INK, cut, empty_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = dict(
    zip(
        FAMILIES,
        ("#555555", "#1f4e96", "#d1495b", "#7b4ea3", "#b8860b", "#2e8b57", "#5b9bd5", "#e07b00", "#8c564b", "#17a2a2",
         "#d64fb0", "#9aa800"),
        strict=True,
    )
)  # fmt: skip
"""The colour of each instrument family."""

_DRUM_ROWS = ("kick", "snare", "rim", "clap", "hat", "open", "ride", "crash", "timpani")
_BAR_NUMBERS = 16  # at most, on the upper axis
_LONG_S = 60.0  # the notes of longer pieces are too short for a line around them


def piano_roll(notes: Notes, title: str, prompt_end_s: float | None = None, seconds: float | None = None) -> "Figure":
    """Draw a score: pitch over time, a colour for each instrument family, drums in a strip below, bars as lines.

    Args:
        notes: the score.
        title: one or two lines.
        prompt_end_s: end of the prompt, s; it has a box.
        seconds: length of the time axis, s; up to the end of the last note if None.

    """
    end_s = max(length_seconds(notes) if seconds is None else seconds, 1e-3)
    drums = notes["family"] == DRUMS
    rows = _rows_of_drums(notes["pitch"][drums])
    width = min(16.0, 6.0 + 0.2 * end_s)
    fig = empty_figure(width, 4.2 + 0.16 * len(rows))
    heights = (3.4, 0.16 * len(rows) + 0.1) if rows else (1.0,)
    ax, *below = fig.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    starts = onset_seconds(notes)
    ends = np.minimum(starts + notes["duration"] * step_seconds(notes["tempo"]), end_s)
    present = [family for family in range(len(FAMILIES)) if family != DRUMS and np.any(notes["family"] == family)]
    for family in present:
        own = notes["family"] == family
        _draw_notes(ax, starts[own], ends[own], notes["pitch"][own].astype(float), FAMILIES[family])
    _draw_pitch_axis(ax, notes["pitch"][~drums])
    if below:
        heights_of = np.array([rows.index(_row(pitch)) for pitch in notes["pitch"][drums]], dtype=float)
        hit_ends = np.minimum(ends[drums], starts[drums] + 0.004 * end_s)  # a hit has no length
        _draw_notes(below[0], starts[drums], hit_ends, heights_of, FAMILIES[DRUMS])
        below[0].set(ylim=(-0.6, len(rows) - 0.4), ylabel="drums")
        below[0].set_yticks(range(len(rows)), ["toms" if row == "timpani" else row for row in rows], fontsize=7)
    for axes in (ax, *below):
        axes.spines[["right"]].set_visible(False)
        axes.set_xlim(0, end_s)
        if prompt_end_s is not None:
            _box_prompt(axes, prompt_end_s)
    _draw_bars([ax, *below], bar_times(notes), end_s)
    (below or [ax])[-1].set_xlabel("time in s")
    lines = [cut(line, int(10 * width)) for line in title.split("\n")]
    ax.set_title("\n".join(lines), fontsize=9, parse_math=False)
    if present:
        ax.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), frameon=False, fontsize=8)
    return fig


def _rows_of_drums(pitches: np.ndarray) -> list[str]:
    """The drums that sound, from the bottom upwards."""
    present = {_row(pitch) for pitch in np.unique(pitches)}
    return [row for row in _DRUM_ROWS if row in present]


def _row(pitch: int) -> str:
    return SHOT_OF_DRUM.get(int(pitch), "hat")


def _draw_notes(ax: "Axes", starts: np.ndarray, ends: np.ndarray, heights: np.ndarray, family: str) -> None:
    """Draw notes as bars; a line of the background's colour parts notes that follow each other."""
    from matplotlib.collections import PolyCollection

    low, high = heights - 0.4, heights + 0.4
    corners = np.stack([np.stack([starts, starts, ends, ends], 1), np.stack([low, high, high, low], 1)], 2)
    colour = COLOURS[family]
    ax.add_collection(
        PolyCollection(list(corners), facecolors=colour, edgecolors="white", linewidths=0.2, label=family)
    )


def _draw_pitch_axis(ax: "Axes", pitches: np.ndarray) -> None:
    """Octaves as labels and faint lines, C4 for the middle C."""
    low, high = (int(pitches.min()), int(pitches.max())) if len(pitches) else (57, 75)
    ax.set(ylim=(low - 2.5, high + 2.5), ylabel="pitch")
    octaves = [pitch for pitch in range(0, 128, 12) if low - 2 <= pitch <= high + 2]
    ax.set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves])
    for pitch in octaves:
        ax.axhline(pitch - 0.5, color="#e6e6e6", linewidth=0.6, zorder=0)


def _draw_bars(axes: "list[Axes]", times: np.ndarray, end_s: float) -> None:
    """Bars as vertical lines, with numbers above the first axes."""
    times = times[times <= end_s]
    every = next(
        number for number in (1, 2, 4, 8, 16, 32, 64, 128, 256, 1 << 20) if len(times) <= number * _BAR_NUMBERS
    )
    drawn = times[:: max(1, every // 4)]
    for ax in axes:
        ax.vlines(drawn, 0, 1, transform=ax.get_xaxis_transform(), colors="#d9d9d9", linewidths=0.5, zorder=0)
    top = axes[0].secondary_xaxis("top")
    top.set_xticks(times[::every], [str(number) for number in range(1, len(times) + 1, every)], fontsize=7, color=FAINT)
    top.tick_params(length=2, pad=1, color=FAINT)
    top.set_xlabel("bar", fontsize=7, color=FAINT, loc="left", labelpad=1)


def _box_prompt(ax: "Axes", end_s: float) -> None:
    """A frame around the prompt, with its name."""
    from matplotlib.patches import Rectangle

    box = Rectangle(
        (0, 0.005), end_s, 0.99, transform=ax.get_xaxis_transform(), fill=False, edgecolor=INK, linewidth=1.4
    )
    ax.add_patch(box)
    if ax.get_ylabel() == "pitch":
        ax.text(
            end_s, 0.985, "prompt ", transform=ax.get_xaxis_transform(), ha="right", va="top", fontsize=8, color=INK
        )
