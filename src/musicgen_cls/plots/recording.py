"""One figure of a recording: waveform, spectrograms and chroma over one time axis."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from musicgen_cls.plots.canvas import BLUE, cut, empty_figure
from musicgen_cls.plots.sound import extremes, frequency_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PITCH_CLASSES = ["C", "", "D", "", "E", "F", "", "G", "", "A", "", "B"]
_RANGE_DB = 80


def recording(
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
    """Draw a recording: waveform, spectrogram, mel spectrogram and chroma, one below the other.

    Args:
        title: one line.
        samples: full scale 1, `[samples]`.
        sample_rate: Hz.
        spectrogram: dB, `[frequencies, columns]`, evenly spaced from 0 to half the sample rate.
        mel: dB, `[n_mels, columns]`.
        mel_hz: centre frequencies of the bands, ascending, `[n_mels]`.
        chroma: 0 to 1, `[12, columns]`, from C upwards.
        end_s: end of the last column, s.
        below: draws one more part into the axes that it gets, such as the predictions of a network.

    """
    heights = (1.0, 1.6, 1.6, 1.2) if below is None else (1.0, 1.6, 1.6, 1.2, 1.4)
    fig = empty_figure(12.0, 1.85 * sum(heights))
    first, *others = fig.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    seconds = len(np.asarray(samples)) / sample_rate
    _draw_waveform(first, np.asarray(samples, dtype=np.float32), sample_rate)
    first.set_title(cut(title, 110), fontsize=11, parse_math=False)
    _draw_image(fig, others[0], spectrogram, (0, end_s, 0, sample_rate / 2), "frequency in Hz")
    _draw_image(fig, others[1], mel, (0, end_s, -0.5, len(np.asarray(mel)) - 0.5), "mel frequency in Hz")
    _draw_image(fig, others[2], chroma, (0, end_s, -0.5, 11.5), "pitch class", in_db=False)
    others[1].set_yticks(*frequency_ticks(np.asarray(mel_hz, dtype=np.float64)))
    others[2].set_yticks(range(12), _PITCH_CLASSES)
    if below is not None:
        below(others[3])
    first.set_xlim(0, seconds)
    others[-1].set_xlabel("time in s")
    return fig


def _draw_waveform(ax: "Axes", y: np.ndarray, sample_rate: int) -> None:
    times, peaks = extremes(y, sample_rate)
    ax.plot(times, peaks, color=BLUE, linewidth=0.5)
    height = max(1.05 * float(np.abs(y).max()), 1e-3)
    ax.set(ylim=(-height, height), ylabel="amplitude")
    ax.spines[["top", "right"]].set_visible(False)


def _draw_image(
    fig: "Figure",
    ax: "Axes",
    values: ArrayLike,
    extent: tuple[float, float, float, float],
    name: str,
    in_db: bool = True,
) -> None:
    """Draw `[rows, columns]` with a colour bar: the highest 80 dB, or from 0 to 1."""
    levels = np.asarray(values, dtype=np.float32)
    low, high = (float(levels.max()) - _RANGE_DB, float(levels.max())) if in_db else (0.0, 1.0)
    image = ax.imshow(
        levels, origin="lower", aspect="auto", extent=extent, cmap="magma", interpolation="nearest", vmin=low, vmax=high
    )
    ax.set(ylabel=name)
    label = "dB" if in_db else "relative to the strongest"
    fig.colorbar(image, ax=ax, pad=0.01).set_label(label, fontsize=9)
