"""Figures of audio: spectrograms, waveforms, spectra, and measures of many tracks."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from musicgen_cls.audio.compiled import import_librosa
from musicgen_cls.audio.spectra import decibels, mel_centres_hz
from musicgen_cls.plots.canvas import BLUE, FAINT, INK, LIGHT, RIGHT, WRONG, cut, empty_figure, line_style, name_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def spectrogram_page(
    mels: ArrayLike, titles: Sequence[str], correct: Sequence[bool] | None, seconds: float, f_hz: ArrayLike
) -> "Figure":
    """Draw up to sixteen mel spectrograms, four in a row, with one colour scale.

    Args:
        mels: levels in dB, `[n, n_mels, frames]`, 1 <= n <= 16.
        titles: one line for each; long ones are cut.
        correct: whether each prediction is correct: green title and tick, or red title and cross. None for no marks.
        seconds: length of each spectrogram, s.
        f_hz: centre frequencies of the bands, ascending, `[n_mels]`.

    Raises:
        ValueError: there are no spectrograms, or more than sixteen, or not as many titles.

    """
    from matplotlib.ticker import MaxNLocator

    levels = np.asarray(mels, dtype=np.float32)
    n, n_mels = levels.shape[:2]
    if not 1 <= n <= 16:
        raise ValueError(f"{n} spectrograms: expected 1 to 16 on a page")
    columns = min(n, 4)
    rows = -(-n // columns)
    fig = empty_figure(2.7 * columns + 1.4, 2.1 * rows + 0.7)
    axes = fig.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    low, high = float(levels.min()), float(levels.max())
    ticks, labels = frequency_ticks(np.asarray(f_hz, dtype=np.float64))
    titles = [cut(title, 34) for title in titles]
    size = 9 if max(map(len, titles), default=0) <= 28 else 8
    marks = [("", INK)] * n if correct is None else [("✓ ", RIGHT) if right else ("✗ ", WRONG) for right in correct]
    for ax, level, title, (mark, colour) in zip(axes.flat[:n], levels, titles, marks, strict=True):
        image = ax.imshow(
            level, origin="lower", aspect="auto", extent=(0, seconds, -0.5, n_mels - 0.5), vmin=low, vmax=high,
            cmap="magma", interpolation="nearest",
        )  # fmt: skip
        ax.set_title(mark + title, fontsize=size, color=colour, parse_math=False)
        ax.set_yticks(ticks, labels)
        ax.tick_params(labelsize=8)
    axes[0, 0].xaxis.set_major_locator(MaxNLocator(4))  # the axes are shared
    axes[0, 0].xaxis.set_major_formatter("{x:g}")
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
    mel: ArrayLike, seconds: float, f_hz: ArrayLike, title: str, generated_from_s: float | None = None
) -> "Figure":
    """Draw one mel spectrogram.

    Args:
        mel: levels in dB, `[n_mels, frames]`.
        seconds: its length, s.
        f_hz: centre frequencies of the bands, ascending, `[n_mels]`.
        title: one line.
        generated_from_s: start of the generated part, s; it has a red box.

    """
    levels = np.asarray(mel, dtype=np.float32)
    fig = empty_figure(min(14.0, 6.0 + 0.25 * seconds), 3.4)
    ax = fig.add_subplot()
    image = ax.imshow(
        levels, origin="lower", aspect="auto", extent=(0, seconds, -0.5, len(levels) - 0.5), cmap="magma",
        interpolation="nearest", vmin=float(levels.max()) - 80, vmax=float(levels.max()),
    )  # fmt: skip
    ax.set_yticks(*frequency_ticks(np.asarray(f_hz, dtype=np.float64)))
    ax.set(xlabel="time in s", ylabel="frequency in Hz")
    ax.set_title(cut(title, 90), fontsize=10, parse_math=False)
    fig.colorbar(image, ax=ax, pad=0.01).set_label("dB", fontsize=9)
    if generated_from_s is not None:
        _box(ax, generated_from_s, seconds, -0.5, len(levels) - 0.5)
    return fig


def waveform(
    samples: ArrayLike, sample_rate: int, generated_from_s: float | None, title: str, true: ArrayLike | None = None
) -> "Figure":
    """Draw a waveform; of a long one, the minimum and the maximum of groups of samples.

    Args:
        samples: full scale 1, `[samples]`.
        sample_rate: Hz.
        generated_from_s: start of the generated part, s; it has a red box.
        title: one line.
        true: the original recording, `[samples]`, drawn in a light colour behind.

    """
    y = np.asarray(samples, dtype=np.float32)
    seconds = len(y) / sample_rate
    fig = empty_figure(min(14.0, 6.0 + 0.25 * seconds), 2.8)
    ax = fig.add_subplot()
    for wave, colour, label in ((true, LIGHT[2], "recording"), (y, BLUE, "generated")):
        if wave is not None:
            times, peaks = extremes(np.asarray(wave, dtype=np.float32), sample_rate)
            ax.plot(times, peaks, color=colour, linewidth=0.6, label=label)
    height = 1.1 * max(float(np.abs(y).max()), 1e-3 if true is None else float(np.abs(np.asarray(true)).max()), 1e-3)
    ax.set(xlabel="time in s", ylabel="amplitude", xlim=(0, seconds), ylim=(-height, height))
    ax.set_title(cut(title, 90), fontsize=10, parse_math=False)
    ax.spines[["top", "right"]].set_visible(False)
    if true is not None:
        ax.legend(loc="upper left", frameon=False, fontsize=8, ncols=2)
    if generated_from_s is not None:
        _box(ax, generated_from_s, seconds, -0.97 * height, 0.97 * height)
    return fig


def mel_of(samples: ArrayLike, sample_rate: int, title: str = "") -> "Figure":
    """Draw the mel spectrogram, 64 bands, of a short waveform `[samples]` at `sample_rate` Hz."""
    y = np.asarray(samples, dtype=np.float32)
    power = import_librosa().feature.melspectrogram(y=y, sr=sample_rate, n_fft=1024, hop_length=256, n_mels=64)
    return mel_spectrogram(decibels(power), len(y) / sample_rate, mel_centres_hz(sample_rate, 64), title)


def spectra(levels: Mapping[str, ArrayLike], f_hz: ArrayLike) -> "Figure":
    """Draw average spectra, one line for each genre.

    Args:
        levels: spectra by genre, dB, `[bands]`.
        f_hz: centre frequencies of the bands, ascending, `[bands]`.

    """
    fig = empty_figure(8.6, 4.4)
    ax = fig.add_subplot()
    for number, (name, level) in enumerate(levels.items()):
        ax.plot(np.asarray(f_hz), np.asarray(level), label=cut(name, 24), **line_style(number))
    ax.set_xscale("log")
    ax.set_xticks([125, 250, 500, 1000, 2000, 4000, 8000], ["125", "250", "500", "1k", "2k", "4k", "8k"])
    ax.set_xticks([], minor=True)
    ax.set(xlabel="frequency in Hz", ylabel="mean level in dB", xlim=(np.min(f_hz), np.max(f_hz)))
    ax.grid(color="#e6e6e6")
    ax.spines[["top", "right"]].set_visible(False)
    legend = ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return fig


def strip_plots(
    panels: Mapping[str, Mapping[str, Sequence[float]]], interval: Callable[[Sequence[float]], Any]
) -> "Figure":
    """Draw a strip plot for each measure: every value as a dot, and the mean of each genre with its interval.

    Args:
        panels: the values by genre, for each measure by its name and unit.
        interval: a function from values to an object with `value`, `low` and `high`.

    """
    genres = list(next(iter(panels.values())))
    fig = empty_figure(4.6 * len(panels) + 1.0, 0.32 * len(genres) + 1.3)
    axes = fig.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    rng = np.random.default_rng(0)
    for ax, (label, by_genre) in zip(axes, panels.items(), strict=True):
        for row, values in enumerate(by_genre.values()):
            ax.plot(values, row + rng.uniform(-0.25, 0.25, len(values)), ".", color=LIGHT[3], markersize=3.5, zorder=1)
            mean = interval(values)
            whisker = [[mean.value - mean.low], [mean.high - mean.value]]
            ax.errorbar(mean.value, row, xerr=whisker, color=INK, capsize=3, fmt="|", markersize=9, zorder=2)
        ax.set(xlabel=label, ylim=(len(genres) - 0.4, -0.6))
        ax.grid(axis="x", color="#e6e6e6")
        ax.set_axisbelow(True)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
    name_axis(axes[0], [f"{genre}, n = {len(next(iter(panels.values()))[genre])}" for genre in genres], "y")
    fig.suptitle("mean with 95 % interval, and every track", fontsize=9, color=FAINT)
    return fig


def curves_by_second(columns: Mapping[str, Mapping[str, Sequence[float]]], name: str, unit: str) -> "Figure":
    """Draw a measure over time: the first set of tracks as a band with a line, the others as lines.

    Args:
        columns: for each set of tracks, values `[seconds]` under "median", "low" and "high".
        name: name of the measure.
        unit: its unit.

    """
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    fig = empty_figure(8.6, 3.0)
    ax = fig.add_subplot()
    for i, (column, curve) in enumerate(columns.items()):
        seconds = np.arange(1, len(curve["median"]) + 1)
        if i == 0:
            ax.fill_between(seconds, curve["low"], curve["high"], color="#dddddd", linewidth=0)
        style = {"color": "black", "linewidth": 2.0} if i == 0 else {"color": colormaps["tab10"](i - 1)}
        ax.plot(seconds, curve["median"], label=column, marker="." if len(seconds) < 8 else "", **style)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="time in s", ylabel=f"{name} in {unit}" if unit else name)
    if not unit:
        ax.set_yscale("log")
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    return fig


def _box(ax: "Axes", left: float, right: float, low: float, high: float) -> None:
    """Draw a red box around the generated part."""
    from matplotlib.patches import Rectangle

    box = Rectangle((left, low), right - left, high - low, fill=False, edgecolor="red", linewidth=1.5, clip_on=False)
    ax.add_patch(box)


def extremes(y: "np.ndarray", sample_rate: int, columns: int = 4000) -> "tuple[np.ndarray, np.ndarray]":
    """Times in s, and in turn the minimum and maximum of each group of samples: it looks like the full line."""
    step = max(1, len(y) // columns)
    if step == 1:
        return np.arange(len(y)) / sample_rate, y
    groups = y[: len(y) // step * step].reshape(-1, step)
    times = np.repeat(np.arange(len(groups)) * step / sample_rate, 2)
    return times, np.stack([groups.min(axis=1), groups.max(axis=1)], axis=1).ravel()


def frequency_ticks(f_hz: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Rows of a mel spectrogram at round frequencies, and their labels."""
    round_hz = np.array([125, 500, 1000, 2000, 4000, 8000])
    round_hz = round_hz[(round_hz >= f_hz[0]) & (round_hz <= f_hz[-1])]
    rows = np.interp(round_hz, f_hz, np.arange(len(f_hz)))
    return rows, [f"{hz // 1000}k" if hz >= 1000 else str(hz) for hz in round_hz]
