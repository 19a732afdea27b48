"""From arrays to figures. Nothing here knows of a trainer, and nothing touches pyplot's global state."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from musicgen_cls.paths import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

INK, FAINT = "#222222", "#8a8a8a"
RIGHT, WRONG = "#1a7f37", "#c0262d"
BLUE = "#406fa2"
LIGHT = ("#fafafa", "#d3dde9", "#aec1d7", "#89a5c6", "#648ab4", "#406fa2", "#17548f")  # even steps in OKLab


def confusion_matrix(confusion: ArrayLike, genres: Sequence[str], title: str | None = None) -> "Figure":
    """Draw a confusion matrix: counts in the cells, shares of the row as colours, recall at the right edge.

    Args:
        confusion: counts, the true genre first, `[genres, genres]`.
        genres: their names, in order.
        title: of the figure.

    """
    return confusion_matrices([(title or "", np.asarray(confusion))], genres)


def confusion_matrices(matrices: Sequence[tuple[str, ArrayLike]], genres: Sequence[str]) -> "Figure":
    """Draw confusion matrices as `confusion_matrix` does, side by side.

    Args:
        matrices: pairs of a title and counts `[genres, genres]`.
        genres: their names, in order.

    """
    side = max(3.0, 0.46 * len(genres))  # of the square of cells, in inches
    fig = _figure(len(matrices) * (side + 2.4), side + 1.7)
    for ax, (title, confusion) in zip(fig.subplots(1, len(matrices), squeeze=False)[0], matrices, strict=True):
        _confusion(ax, np.asarray(confusion, dtype=np.int64), genres, title)
    return fig


def _confusion(ax: "Axes", counts: "np.ndarray", genres: Sequence[str], title: str) -> None:
    """Draw one confusion matrix."""
    total = counts.sum(axis=1)
    share = counts / np.maximum(total, 1)[:, None]
    k = len(genres)
    ax.imshow(share, cmap=_light(), vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(counts):
        colour = FAINT if not count else "white" if share[i, j] > 0.75 else INK
        ax.text(j, i, str(count) if count else "·", ha="center", va="center", color=colour, fontsize=9, in_layout=False)
    edge: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "fontsize": 9}
    ax.annotate("recall", (1, -0.5), (8, 6), va="bottom", color=FAINT, **edge)
    for i, n in enumerate(total):
        recall = f"{100 * share[i, i]:.0f} %" if n else "–"
        ax.annotate(recall, (1, i), (8, 0), va="center", color=INK, **edge)
    _name(ax, genres, "x")
    _name(ax, genres, "y")
    ax.set(xlabel="predicted genre", ylabel="true genre")
    ax.set_xticks(np.arange(k + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(k + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    if title:
        ax.set_title(title, pad=22, parse_math=False)


def spectrogram_page(
    mels: ArrayLike, titles: Sequence[str], correct: Sequence[bool] | None, seconds: float, f_hz: ArrayLike
) -> "Figure":
    """Draw up to sixteen mel spectrograms, four to a row, on one scale of colours.

    Args:
        mels: levels in dB, `[n, n_mels, frames]`, 1 <= n <= 16.
        titles: one line for each; long ones are cut.
        correct: colours the titles, green for right and red for wrong, and ticks or crosses them; None does neither.
        seconds: length of each.
        f_hz: centre frequencies of the bands, ascending, `[n_mels]`.

    Raises:
        ValueError: if there are none or more than sixteen, or not one title for each.

    """
    from matplotlib.ticker import MaxNLocator

    levels = np.asarray(mels, dtype=np.float32)
    n, n_mels = levels.shape[:2]
    if not 1 <= n <= 16:
        raise ValueError(f"{n} spectrograms: expected 1 to 16 on a page")
    columns = min(n, 4)
    rows = -(-n // columns)
    fig = _figure(2.7 * columns + 1.4, 2.1 * rows + 0.7)
    axes = fig.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    low, high = float(levels.min()), float(levels.max())
    ticks, labels = _frequency_ticks(np.asarray(f_hz, dtype=np.float64))
    titles = [_cut(title, 34) for title in titles]
    size = 9 if max(map(len, titles), default=0) <= 28 else 8
    marks = [("", INK)] * n if correct is None else [("✓ ", RIGHT) if right else ("✗ ", WRONG) for right in correct]
    for ax, level, title, (mark, colour) in zip(axes.flat[:n], levels, titles, marks, strict=True):
        image = ax.imshow(
            level, origin="lower", aspect="auto", extent=(0, seconds, -0.5, n_mels - 0.5), vmin=low, vmax=high,
            cmap="magma", interpolation="nearest",
        )  # fmt: skip
        ax.set_title(mark + title, fontsize=size, color=colour, parse_math=False)
        ax.set_yticks(ticks, labels)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.tick_params(labelsize=8)
    for ax in axes.flat[n:]:
        ax.set_visible(False)
    for ax in axes.flat[max(0, n - columns) : n]:
        ax.tick_params(labelbottom=True)
    fig.supxlabel("time in s", fontsize=9)
    fig.supylabel("frequency in Hz", fontsize=9)
    fig.colorbar(image, ax=axes, shrink=min(1.0, 2.4 / rows), aspect=20, pad=0.01).set_label("dB", fontsize=9)
    fig.axes[-1].tick_params(labelsize=8)
    return fig


def mel_spectrogram(
    decibels: ArrayLike, seconds: float, f_hz: ArrayLike, title: str, made_from_s: float | None = None
) -> "Figure":
    """Draw one mel spectrogram.

    Args:
        decibels: levels in dB, `[n_mels, frames]`.
        seconds: its length.
        f_hz: centre frequencies of the bands, ascending, `[n_mels]`.
        title: one line.
        made_from_s: where the part that a network made begins, s: boxed in red.

    """
    levels = np.asarray(decibels, dtype=np.float32)
    fig = _figure(min(14.0, 6.0 + 0.25 * seconds), 3.4)
    ax = fig.add_subplot()
    image = ax.imshow(
        levels, origin="lower", aspect="auto", extent=(0, seconds, -0.5, len(levels) - 0.5), cmap="magma",
        interpolation="nearest", vmin=float(levels.max()) - 80, vmax=float(levels.max()),
    )  # fmt: skip
    ax.set_yticks(*_frequency_ticks(np.asarray(f_hz, dtype=np.float64)))
    ax.set(xlabel="time in s", ylabel="frequency in Hz")
    ax.set_title(_cut(title, 90), fontsize=10, parse_math=False)
    fig.colorbar(image, ax=ax, pad=0.01).set_label("dB", fontsize=9)
    if made_from_s is not None:
        _box(ax, made_from_s, seconds, -0.5, len(levels) - 0.5)
    return fig


def waveform(
    samples: ArrayLike, sample_rate: int, made_from_s: float | None, title: str, true: ArrayLike | None = None
) -> "Figure":
    """Draw a waveform; of a long one the extremes of every few samples.

    Args:
        samples: full scale 1, `[samples]`.
        sample_rate: Hz.
        made_from_s: where the part that a network made begins, s: boxed in red.
        title: one line.
        true: what was there in truth, `[samples]`, drawn pale behind.

    """
    y = np.asarray(samples, dtype=np.float32)
    seconds = len(y) / sample_rate
    fig = _figure(min(14.0, 6.0 + 0.25 * seconds), 2.8)
    ax = fig.add_subplot()
    for wave, colour, label in ((true, LIGHT[2], "recording"), (y, BLUE, "network")):
        if wave is not None:
            times, extremes = _extremes(np.asarray(wave, dtype=np.float32), sample_rate)
            ax.plot(times, extremes, color=colour, linewidth=0.6, label=label)
    height = 1.1 * max(float(np.abs(y).max()), 1e-3 if true is None else float(np.abs(np.asarray(true)).max()), 1e-3)
    ax.set(xlabel="time in s", ylabel="amplitude", xlim=(0, seconds), ylim=(-height, height))
    ax.set_title(_cut(title, 90), fontsize=10, parse_math=False)
    ax.spines[["top", "right"]].set_visible(False)
    if true is not None:
        ax.legend(loc="upper left", frameon=False, fontsize=8, ncols=2)
    if made_from_s is not None:
        _box(ax, made_from_s, seconds, -0.97 * height, 0.97 * height)
    return fig


def mel_of(samples: ArrayLike, sample_rate: int, title: str = "") -> "Figure":
    """Draw the mel spectrogram, 64 bands, of a short waveform `[samples]` at `sample_rate` Hz."""
    import librosa

    y = np.asarray(samples, dtype=np.float32)
    power = librosa.feature.melspectrogram(y=y, sr=sample_rate, n_fft=1024, hop_length=256, n_mels=64)
    f_hz = librosa.mel_frequencies(66, fmin=0.0, fmax=sample_rate / 2)[1:-1]
    return mel_spectrogram(10 * np.log10(np.maximum(power, 1e-10)), len(y) / sample_rate, f_hz, title)


def curves_by_second(columns: Mapping[str, Mapping[str, Sequence[float]]], name: str, unit: str) -> "Figure":
    """Draw a measure second by second: the first column as a band and a line, the others as lines.

    Args:
        columns: of each kind of music, under "median", "low" and "high", values `[seconds]`.
        name: of the measure.
        unit: its unit.

    """
    from matplotlib import colormaps

    fig = _figure(8.6, 3.0)
    ax = fig.add_subplot()
    for i, (column, curve) in enumerate(columns.items()):
        seconds = np.arange(1, len(curve["median"]) + 1)
        if i == 0:
            ax.fill_between(seconds, curve["low"], curve["high"], color="#dddddd", linewidth=0)
        style = {"color": "black", "linewidth": 2.0} if i == 0 else {"color": colormaps["tab10"](i - 1)}
        ax.plot(seconds, curve["median"], label=column, marker="." if len(seconds) < 8 else "", **style)
    ax.set(xlabel="second", ylabel=f"{name} in {unit}" if unit else name)
    if not unit:
        ax.set_yscale("log")
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    return fig


def pr_curves(y: ArrayLike, probs: ArrayLike, genres: Sequence[str]) -> "Figure":
    """Draw precision against recall of each genre against the rest, the best average precision first.

    Args:
        y: true classes, `[n]`.
        probs: probabilities, `[n, genres]`.
        genres: names of the classes; those without an example are left out.

    """
    from matplotlib import colormaps
    from sklearn.metrics import average_precision_score, precision_recall_curve

    y, probs = np.asarray(y), np.asarray(probs)
    present = [i for i in range(len(genres)) if (y == i).any()]
    average = {i: float(average_precision_score(y == i, probs[:, i])) for i in present}
    fig = _figure(7.6, 5.0)
    ax = fig.add_subplot()
    for i in sorted(present, key=lambda i: -average[i]):
        precision, recall, _ = precision_recall_curve(y == i, probs[:, i])
        ax.plot(
            recall, precision, drawstyle="steps-post", linewidth=1.6, label=f"{average[i]:.2f}  {_cut(genres[i], 24)}",
            color=colormaps["tab10"](i % 10), linestyle=("-", "--", ":", "-.")[i // 10 % 4],
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
    """Draw the recall of each genre as a bar, with its interval as a whisker and its number of tracks.

    Args:
        per_genre: what `metrics.summarise` gives under that name.

    """
    genres = list(per_genre)
    k = len(genres)
    fig = _figure(6.6, 0.3 * k + 1.2)
    ax = fig.add_subplot()
    for i, figures in enumerate(per_genre.values()):
        if recall := figures["recall"]:
            value, low, high = (100 * recall[name] for name in ("value", "low", "high"))
            ax.barh(i, value, height=0.68, color=BLUE, alpha=0.5)
            ax.errorbar(value, i, xerr=[[value - low], [high - value]], color=INK, capsize=3, fmt="|", markersize=9)
        tracks = figures["tracks"]
        ax.text(102, i, f"n = {tracks}" if tracks else "no tracks", va="center", fontsize=9, color=FAINT)
    _name(ax, genres, "y")
    ax.set(xlabel="tracks recognised, in % (95 % interval)", xlim=(0, 100), ylim=(k - 0.4, -0.6))
    ax.grid(axis="x", color="#e6e6e6")
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return fig


def learning_rate_curve(lrs: ArrayLike, losses: ArrayLike, found: float, before: float) -> "Figure":
    """Draw loss against learning rate, as a search has gone through them, and mark the rate that was found.

    Args:
        lrs: ascending, `[steps]`.
        losses: smoothed, `[steps]`.
        found: the rate taken.
        before: the rate that the config said.

    """
    x, y = np.asarray(lrs, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    fig = _figure(7.0, 3.8)
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


def taken_from_pyplot(axes: Any) -> "Figure":
    """The figure that another package drew with pyplot, taken out of pyplot's hands; `axes` are one or an array."""
    from matplotlib import pyplot
    from matplotlib.ticker import LogLocator, NullFormatter

    fig: Figure = np.ravel(np.asarray(axes, dtype=object))[0].figure
    pyplot.close(fig)
    fig.set_figwidth(9.0)
    for line in [line for ax in fig.axes for line in (ax.xaxis, ax.yaxis)]:
        if line.get_scale() == "log":  # numbers between powers of ten would lie on each other
            line.set_minor_formatter(NullFormatter())
            line.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            line.set_major_formatter("{x:g}")
    return fig


@contextmanager
def without_windows() -> Iterator[None]:
    """Let other packages draw with pyplot where there is no screen, and silence what fonts lack."""
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
    with writing(path) as half:
        fig.savefig(half, dpi=dpi, bbox_inches="tight" if tight else None)


def _figure(width: float, height: float) -> "Figure":
    """An empty white figure of so many inches, whose parts find their own room."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08), facecolor="white")


def _box(ax: "Axes", left: float, right: float, low: float, high: float) -> None:
    """A red box around what a network made."""
    from matplotlib.patches import Rectangle

    box = Rectangle((left, low), right - left, high - low, fill=False, edgecolor="red", linewidth=1.5, clip_on=False)
    ax.add_patch(box)


def _extremes(y: "np.ndarray", sample_rate: int, columns: int = 4000) -> "tuple[np.ndarray, np.ndarray]":
    """Times in s, and the least and the greatest sample of each stretch in turn: a line that looks like all of `y`."""
    step = max(1, len(y) // columns)
    if step == 1:
        return np.arange(len(y)) / sample_rate, y
    stretches = y[: len(y) // step * step].reshape(-1, step)
    times = np.repeat(np.arange(len(stretches)) * step / sample_rate, 2)
    return times, np.stack([stretches.min(axis=1), stretches.max(axis=1)], axis=1).ravel()


def _light() -> "Colormap":
    """Near-white to blue in steps that look equal, without a dark end, so that counts stay legible."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("light", LIGHT)


def _name(ax: "Axes", genres: Sequence[str], axis: str) -> None:
    """Write genres along an axis (x or y), one at each whole number."""
    line = ax.xaxis if axis == "x" else ax.yaxis
    line.set_ticks(range(len(genres)), [_cut(genre, 24) for genre in genres], fontsize=9)
    for label in line.get_ticklabels():
        label.set_parse_math(False)
        if axis == "x":
            label.set(rotation=45, ha="right", rotation_mode="anchor")


def _frequency_ticks(f_hz: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Rows of a mel spectrogram at round frequencies, and what to write there."""
    round_hz = np.array([125, 500, 1000, 2000, 4000, 8000])
    round_hz = round_hz[(round_hz >= f_hz[0]) & (round_hz <= f_hz[-1])]
    rows = np.interp(round_hz, f_hz, np.arange(len(f_hz)))
    return rows, [f"{hz // 1000}k" if hz >= 1000 else str(hz) for hz in round_hz]


def _cut(text: str, length: int) -> str:
    """`text` on one line of at most so many characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"
