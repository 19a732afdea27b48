"""Figures of the results of classifiers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from musicgen_cls.plots.canvas import BLUE, FAINT, INK, cut, empty_figure, ink_on, light_blues, line_style, name_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def confusion_matrix(confusion: ArrayLike, genres: Sequence[str], title: str | None = None) -> "Figure":
    """Draw a confusion matrix: counts in the cells, proportions of the row as colours, recall at the right edge.

    Args:
        confusion: counts, the true genre first, `[genres, genres]`.
        genres: names of the genres, in order.
        title: title of the figure.

    """
    return confusion_matrices([(title or "", np.asarray(confusion))], genres)


def confusion_matrices(matrices: Sequence[tuple[str, ArrayLike]], genres: Sequence[str]) -> "Figure":
    """Draw confusion matrices as `confusion_matrix` does, side by side.

    Args:
        matrices: pairs of a title and counts `[genres, genres]`.
        genres: names of the genres, in order.

    """
    side = max(3.0, 0.46 * len(genres))  # width and height of the matrix, inches
    fig = empty_figure(len(matrices) * (side + 2.4), side + 1.7)
    for ax, (title, confusion) in zip(fig.subplots(1, len(matrices), squeeze=False)[0], matrices, strict=True):
        _confusion(ax, np.asarray(confusion, dtype=np.int64), genres, title)
    return fig


def _confusion(ax: "Axes", counts: "np.ndarray", genres: Sequence[str], title: str) -> None:
    """Draw one confusion matrix."""
    total = counts.sum(axis=1)
    share = counts / np.maximum(total, 1)[:, None]
    k = len(genres)
    colours = light_blues()
    ax.imshow(share, cmap=colours, vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(counts):
        colour = ink_on(colours(share[i, j])) if count else FAINT
        ax.text(j, i, str(count) if count else "·", ha="center", va="center", color=colour, fontsize=9, in_layout=False)
    edge: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "fontsize": 9}
    ax.annotate("recall", (1, -0.5), (8, 6), va="bottom", color=FAINT, **edge)
    for i, n in enumerate(total):
        recall = f"{100 * share[i, i]:.0f} %" if n else "–"
        ax.annotate(recall, (1, i), (8, 0), va="center", color=INK, **edge)
    name_axis(ax, genres, "x")
    name_axis(ax, genres, "y")
    ax.set(xlabel="predicted genre", ylabel="true genre")
    ax.set_xticks(np.arange(k + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(k + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    if title:
        ax.set_title(title, pad=22, parse_math=False)


def pr_curves(y: ArrayLike, probs: ArrayLike, genres: Sequence[str]) -> "Figure":
    """Draw the precision-recall curve of each genre against all others, the highest average precision first.

    Args:
        y: true classes, `[n]`.
        probs: probabilities, `[n, genres]`.
        genres: names of the classes; a class without an example has no curve.

    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    y, probs = np.asarray(y), np.asarray(probs)
    present = [i for i in range(len(genres)) if (y == i).any()]
    average = {i: float(average_precision_score(y == i, probs[:, i])) for i in present}
    fig = empty_figure(7.6, 5.0)
    ax = fig.add_subplot()
    for i in sorted(present, key=lambda i: -average[i]):
        precision, recall, _ = precision_recall_curve(y == i, probs[:, i])
        ax.plot(
            recall, precision, drawstyle="steps-post", linewidth=1.6, label=f"{average[i]:.2f}  {cut(genres[i], 24)}",
            **line_style(i),
        )  # fmt: skip
    ax.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
    ax.grid(color="#e6e6e6")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    legend = ax.legend(
        title="average precision", loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9,
        alignment="left",
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
    return fig


def track_accuracy_bars(per_genre: Mapping[str, Mapping[str, Any]]) -> "Figure":
    """Draw the recall of each genre as a bar, with its confidence interval and its number of tracks.

    Args:
        per_genre: `per_genre` of `metrics.summary.summarise`.

    """
    genres = list(per_genre)
    k = len(genres)
    fig = empty_figure(6.6, 0.3 * k + 1.2)
    ax = fig.add_subplot()
    for i, figures in enumerate(per_genre.values()):
        if recall := figures["recall"]:
            value, low, high = (100 * recall[name] for name in ("value", "low", "high"))
            ax.barh(i, value, height=0.68, color=BLUE, alpha=0.5)
            ax.errorbar(value, i, xerr=[[value - low], [high - value]], color=INK, capsize=3, fmt="|", markersize=9)
        tracks = figures["tracks"]
        ax.text(102, i, f"n = {tracks}" if tracks else "no tracks", va="center", fontsize=9, color=FAINT)
    name_axis(ax, genres, "y")
    ax.set(xlabel="recall of tracks in % (95 % interval)", xlim=(0, 100), ylim=(k - 0.4, -0.6))
    ax.grid(axis="x", color="#e6e6e6")
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return fig


def comparison(rows: Sequence[tuple[str, Any, str, bool]]) -> "Figure":
    """Draw the track accuracy of runs with its interval. Each test set has a colour; a hollow dot marks a leak.

    Args:
        rows: for each run, its name, its accuracy with `value`, `low` and `high`, its test set, and whether it leaks.

    """
    sets = list(dict.fromkeys(test_set for _, _, test_set, _ in rows))
    fig = empty_figure(8.6, 0.32 * len(rows) + 1.5)
    ax = fig.add_subplot()
    shown: set[str] = set()
    for place, (_, accuracy, test_set, leaks) in enumerate(rows):
        value, low, high = (100 * end for end in (accuracy.value, accuracy.low, accuracy.high))
        colour = line_style(sets.index(test_set))["color"]
        label = f"test set {test_set}" if len(sets) > 1 and test_set not in shown else None
        shown.add(test_set)
        ax.errorbar(
            value, place, xerr=[[value - low], [high - value]], color=colour, capsize=3, fmt="o", markersize=6,
            markerfacecolor="white" if leaks else colour, label=label,
        )  # fmt: skip
    name_axis(ax, [name + (" (leaks)" if leaks else "") for name, _, _, leaks in rows], "y", longest=48)
    ax.set(xlabel="track accuracy in % (95 % interval)", ylim=(len(rows) - 0.4, -0.6))
    ax.grid(axis="x", color="#e6e6e6")
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    if len(sets) > 1:
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9, title="not comparable")
    return fig


def timeline(
    start_s: ArrayLike,
    end_s: ArrayLike,
    probabilities: ArrayLike,
    genres: Sequence[str],
    title: str | None = None,
    true: str | None = None,
) -> "Figure":
    """Draw the probability of genres over the time of a recording: the five most probable ones, and the true one.

    Args:
        start_s: start of each step, s, `[steps]`.
        end_s: end of each step, s, `[steps]`.
        probabilities: `[steps, genres]`.
        genres: names of the genres, in order.
        title: one line.
        true: the true genre, if known; its line is thick.

    """
    fig = empty_figure(9.0, 2.9)
    ax = fig.add_subplot()
    draw_timeline(ax, start_s, end_s, probabilities, genres, true)
    ax.set_xlabel("time in s")
    if title:
        fig.suptitle(cut(title, 90), fontsize=10).set_parse_math(False)
    return fig


def draw_timeline(
    ax: "Axes", start_s: ArrayLike, end_s: ArrayLike, probabilities: ArrayLike, genres: Sequence[str], true: str | None
) -> None:
    """Draw `timeline` into existing axes."""
    starts, ends, probs = (np.asarray(values, dtype=np.float64) for values in (start_s, end_s, probabilities))
    mean = probs.mean(axis=0)
    shown = [int(i) for i in np.argsort(-mean, kind="stable") if mean[i] > 0][:5]
    shown += [i for i, genre in enumerate(genres) if genre == true and i not in shown]
    for i in shown:
        label = f"{100 * mean[i]:.0f} %  {cut(genres[i], 24)}" + (" (true)" if genres[i] == true else "")
        width = 3.0 if genres[i] == true else 1.4
        if len(starts) == 1:
            ax.hlines(probs[:, i], starts, ends, linewidth=width, label=label, **line_style(i))
        else:
            mark = "." if len(starts) <= 60 else ""
            ax.plot((starts + ends) / 2, probs[:, i], linewidth=width, marker=mark, label=label, **line_style(i))
    ax.set(xlim=(starts.min(), ends.max()), ylim=(-0.02, 1.02), ylabel="probability")
    ax.grid(color="#e6e6e6")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    legend = ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=9, ncols=len(shown))
    for text in legend.get_texts():
        text.set_parse_math(False)
