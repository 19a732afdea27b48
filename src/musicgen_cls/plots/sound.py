"""Figures of sound."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from musicgen_cls.audio.compiled import import_librosa
from musicgen_cls.plots.canvas import BLUE, FAINT, INK, LIGHT, RIGHT, WRONG, cut, empty_figure, line_style, name_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
    fig = empty_figure(2.7 * columns + 1.4, 2.1 * rows + 0.7)
    axes = fig.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    low, high = float(levels.min()), float(levels.max())
    ticks, labels = _frequency_ticks(np.asarray(f_hz, dtype=np.float64))
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
    fig = empty_figure(min(14.0, 6.0 + 0.25 * seconds), 3.4)
    ax = fig.add_subplot()
    image = ax.imshow(
        levels, origin="lower", aspect="auto", extent=(0, seconds, -0.5, len(levels) - 0.5), cmap="magma",
        interpolation="nearest", vmin=float(levels.max()) - 80, vmax=float(levels.max()),
    )  # fmt: skip
    ax.set_yticks(*_frequency_ticks(np.asarray(f_hz, dtype=np.float64)))
    ax.set(xlabel="time in s", ylabel="frequency in Hz")
    ax.set_title(cut(title, 90), fontsize=10, parse_math=False)
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
    fig = empty_figure(min(14.0, 6.0 + 0.25 * seconds), 2.8)
    ax = fig.add_subplot()
    for wave, colour, label in ((true, LIGHT[2], "recording"), (y, BLUE, "network")):
        if wave is not None:
            times, extremes = _extremes(np.asarray(wave, dtype=np.float32), sample_rate)
            ax.plot(times, extremes, color=colour, linewidth=0.6, label=label)
    height = 1.1 * max(float(np.abs(y).max()), 1e-3 if true is None else float(np.abs(np.asarray(true)).max()), 1e-3)
    ax.set(xlabel="time in s", ylabel="amplitude", xlim=(0, seconds), ylim=(-height, height))
    ax.set_title(cut(title, 90), fontsize=10, parse_math=False)
    ax.spines[["top", "right"]].set_visible(False)
    if true is not None:
        ax.legend(loc="upper left", frameon=False, fontsize=8, ncols=2)
    if made_from_s is not None:
        _box(ax, made_from_s, seconds, -0.97 * height, 0.97 * height)
    return fig


def mel_of(samples: ArrayLike, sample_rate: int, title: str = "") -> "Figure":
    """Draw the mel spectrogram, 64 bands, of a short waveform `[samples]` at `sample_rate` Hz."""
    librosa = import_librosa()
    y = np.asarray(samples, dtype=np.float32)
    power = librosa.feature.melspectrogram(y=y, sr=sample_rate, n_fft=1024, hop_length=256, n_mels=64)
    f_hz = librosa.mel_frequencies(66, fmin=0.0, fmax=sample_rate / 2)[1:-1]
    return mel_spectrogram(10 * np.log10(np.maximum(power, 1e-10)), len(y) / sample_rate, f_hz, title)


def sheet(
    title: str,
    samples: ArrayLike,
    sample_rate: int,
    spectrogram: ArrayLike,
    mel: ArrayLike,
    mel_hz: ArrayLike,
    chroma: ArrayLike,
    end_s: float,
    below: "Callable[[Axes], None] | None" = None,
) -> "Figure":
    """Draw a recording: waveform, spectrogram, mel spectrogram and chroma, below one another over one time axis.

    Args:
        title: one line.
        samples: full scale 1, `[samples]`.
        sample_rate: Hz.
        spectrogram: dB, `[frequencies, columns]`, evenly from 0 to half the sample rate.
        mel: dB, `[n_mels, columns]`.
        mel_hz: centre frequencies of the bands, ascending, `[n_mels]`.
        chroma: 0 to 1, `[12, columns]`, from C upwards.
        end_s: where the last column ends, s.
        below: draws one part more, what a network says of it, say.

    """
    y = np.asarray(samples, dtype=np.float32)
    heights = (1.0, 1.6, 1.6, 1.2) if below is None else (1.0, 1.6, 1.6, 1.2, 1.4)
    fig = empty_figure(12.0, 1.85 * sum(heights))
    wave, *pictures = fig.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    times, extremes = _extremes(y, sample_rate)
    wave.plot(times, extremes, color=BLUE, linewidth=0.5)
    height = max(1.05 * float(np.abs(y).max()), 1e-3)
    wave.set(xlim=(0, len(y) / sample_rate), ylim=(-height, height), ylabel="amplitude")
    wave.set_title(cut(title, 110), fontsize=11, parse_math=False)
    wave.spines[["top", "right"]].set_visible(False)
    for ax, levels, top, name in zip(
        pictures[:3], (spectrogram, mel, chroma), (sample_rate / 2, len(np.asarray(mel)) - 0.5, 11.5),
        ("frequency in Hz", "mel bands: Hz", "pitch class"), strict=True,
    ):  # fmt: skip
        levels = np.asarray(levels, dtype=np.float32)
        in_db = ax is not pictures[2]
        low, high = (float(levels.max()) - 80, float(levels.max())) if in_db else (0.0, 1.0)
        image = ax.imshow(
            levels, origin="lower", aspect="auto", extent=(0, end_s, 0 if ax is pictures[0] else -0.5, top),
            cmap="magma", interpolation="nearest", vmin=low, vmax=high,
        )  # fmt: skip
        ax.set(ylabel=name, xlim=(0, len(y) / sample_rate))
        fig.colorbar(image, ax=ax, pad=0.01).set_label("dB" if in_db else "share of the strongest", fontsize=9)
    pictures[1].set_yticks(*_frequency_ticks(np.asarray(mel_hz, dtype=np.float64)))
    pictures[2].set_yticks(range(12), ["C", "", "D", "", "E", "F", "", "G", "", "A", "", "B"])
    if below is not None:
        below(pictures[3])
        wave.set_xlim(0, len(y) / sample_rate)
    pictures[-1].set_xlabel("time in s")
    return fig


def spectra(levels: Mapping[str, ArrayLike], f_hz: ArrayLike) -> "Figure":
    """Draw average spectra, one line for each kind of music.

    Args:
        levels: of each, dB in each band, `[bands]`.
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


def strips(panels: Mapping[str, Mapping[str, Sequence[float]]], interval: Callable[[Sequence[float]], Any]) -> "Figure":
    """Draw every value as a dot, and over them the mean of each genre with its interval; a panel for each measure.

    Args:
        panels: of each measure, by its name and unit, the values by genre.
        interval: from values to what has `value`, `low` and `high`.

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
    fig.suptitle("mean, its 95 % interval, and every track", fontsize=9, color=FAINT)
    return fig


def curves_by_second(columns: Mapping[str, Mapping[str, Sequence[float]]], name: str, unit: str) -> "Figure":
    """Draw a measure second by second: the first column as a band and a line, the others as lines.

    Args:
        columns: of each kind of music, under "median", "low" and "high", values `[seconds]`.
        name: of the measure.
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
    ax.set(xlabel="second", ylabel=f"{name} in {unit}" if unit else name)
    if not unit:
        ax.set_yscale("log")
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    return fig


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


def _frequency_ticks(f_hz: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Rows of a mel spectrogram at round frequencies, and what to write there."""
    round_hz = np.array([125, 500, 1000, 2000, 4000, 8000])
    round_hz = round_hz[(round_hz >= f_hz[0]) & (round_hz <= f_hz[-1])]
    rows = np.interp(round_hz, f_hz, np.arange(len(f_hz)))
    return rows, [f"{hz // 1000}k" if hz >= 1000 else str(hz) for hz in round_hz]
