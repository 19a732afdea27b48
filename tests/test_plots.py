import os
import subprocess
import sys
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

from musicgen_cls import plots
from musicgen_cls.metrics.intervals import student, wilson
from musicgen_cls.plots import sound
from musicgen_cls.plots.canvas import FAINT, INK, RIGHT, WRONG, contrast, ink_on, light_blues, png


@pytest.fixture(autouse=True)
def arranged(arrange, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures as users see them."""
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", arrange)


SIZES = pytest.mark.parametrize("k", [2, 20])


def genres_of(k: int) -> list[str]:
    return [f"genre {i} $" for i in range(k)]  # an odd dollar sign, which matplotlib would read as mathematics


def draw(fig) -> None:
    """Draw a figure, which computes its layout, unless it is as it was drawn."""
    if fig.stale:
        FigureCanvasAgg(fig).draw()


def texts(fig) -> list[Text]:
    """Everything written in a drawn figure."""
    draw(fig)
    return [text for text in fig.findobj(Text) if text.get_text() and text.get_visible()]


def words(fig) -> list[str]:
    return [text.get_text() for text in texts(fig)]


def assert_inside(fig) -> None:
    draw(fig)
    for ax in fig.axes:
        box = ax.get_tightbbox()
        assert box is None or (min(box.x0, box.y0) >= -1 and box.x1 <= fig.bbox.x1 + 1 and box.y1 <= fig.bbox.y1 + 1)


@SIZES
def test_confusion_matrix(k):
    counts = np.arange(1000, 1000 + k * k).reshape(k, k)
    counts[0] = 0
    fig = plots.confusion_matrix(counts, genres_of(k), "held-out $ tracks")
    written = words(fig)
    assert {str(count) for count in counts[1:].flat} <= set(written)
    assert {"true genre", "predicted genre", "recall", "held-out $ tracks", "–"} <= set(written)
    assert written.count("·") == k
    assert all(written.count(genre) == 2 for genre in genres_of(k))
    assert f"{100 * counts[1, 1] / counts[1].sum():.0f} %" in written
    assert_inside(fig)


def test_colours_become_darker():
    red, green, blue, _ = light_blues()(np.linspace(0, 1, 50)).T
    assert (np.diff(0.2126 * red + 0.7152 * green + 0.0722 * blue) < 0).all()


def test_counts_are_legible_in_every_cell():
    """WCAG 2: text has a contrast of at least 4.5 with its cell, whatever the share that colours it."""
    for share in np.linspace(0, 1, 101):
        cell = light_blues()(share)
        assert contrast(ink_on(cell), cell) >= 4.5
    assert contrast(FAINT, "white") >= 4.5
    assert contrast(FAINT, light_blues()(0.0)) >= 4.5
    fig = plots.confusion_matrix([[55, 45], [40, 60]], ["a", "b"])
    image = fig.axes[0].images[0]
    cells = {text.get_text(): text for text in fig.axes[0].texts if text.get_text().isdigit()}
    for count in (55, 45, 40, 60):
        assert contrast(cells[str(count)].get_color(), image.cmap(count / 100)) >= 4.5


def test_contrast_is_that_of_wcag():
    assert contrast("black", "white") == pytest.approx(21)
    assert contrast("#777777", "white") == pytest.approx(4.48, abs=0.005)  # the guideline's well-known near miss
    assert contrast("red", "blue") == contrast("blue", "red") == pytest.approx(2.15, abs=0.005)


@pytest.mark.parametrize(("figure_format", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_figures_are_written_in_each_format(tmp_path, figure_format, start):
    path = tmp_path / f"confusion.{figure_format}"
    plots.save(plots.confusion_matrix(np.eye(2), ["a $", "b"], "title"), path)
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize("n", [1, 6, 16])
def test_spectrogram_page(n):
    mels = np.random.default_rng(0).normal(-40, 10, (n, 128, 87))
    titles = [f"EXPERIMENTAL $ {i} → INTERNATIONAL, AND SO ON AND ON" for i in range(n)]
    fig = plots.spectrogram_page(mels, titles, [i % 2 == 0 for i in range(n)], 2.0, mel_centres(128))
    assert {"time in s", "frequency in Hz", "dB", "125", "500", "2k", "8k"} <= set(words(fig))
    shown = [ax.title for ax in fig.axes if ax.title.get_text() and ax.get_visible()]
    assert [title.get_color() for title in shown] == [RIGHT if i % 2 == 0 else WRONG for i in range(n)]
    boxes = [title.get_window_extent() for title in shown]
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))
    assert len({image.get_clim() for ax in fig.axes for image in ax.images}) == 1
    assert_inside(fig)


def mel_centres(n_mels: int) -> np.ndarray:
    """Centres of bands evenly spaced in mel up to 11025 Hz, in Hz (O'Shaughnessy's formula)."""
    return 700 * np.expm1(np.linspace(0, np.log1p(11025 / 700), n_mels + 2)[1:-1])


def test_frequency_ticks_are_at_their_rows():
    f_hz = mel_centres(64)
    rows, labels = sound.frequency_ticks(f_hz)
    assert labels == ["125", "500", "1k", "2k", "4k", "8k"]
    np.testing.assert_allclose(np.interp(rows, np.arange(64), f_hz), [125, 500, 1000, 2000, 4000, 8000])


def test_spectrogram_page_without_marks_and_with_too_many():
    mels = np.zeros((17, 16, 10))
    fig = plots.spectrogram_page(mels[:2], ["one", "two"], None, 1.0, mel_centres(16))
    assert {ax.title.get_color() for ax in fig.axes} <= {INK, mpl.rcParams["text.color"]}
    with pytest.raises(ValueError, match="17 spectrograms"):
        plots.spectrogram_page(mels, ["x"] * 17, None, 1.0, mel_centres(16))
    with pytest.raises(ValueError, match="zip"):
        plots.spectrogram_page(mels[:2], ["one"], None, 1.0, mel_centres(16))


@SIZES
def test_pr_curves(k):
    rng = np.random.default_rng(0)
    y = rng.integers(1, k, 100)  # no example of the first genre
    probs = rng.dirichlet(np.ones(k), 100)
    probs[y == 1] = np.eye(k)[1]
    probs[y != 1, 1] = 0
    fig = plots.pr_curves(y, probs, genres_of(k))
    labels = [line.get_label() for line in fig.axes[0].lines]
    assert labels[0] == "1.00  genre 1 $"
    assert len(labels) == len(np.unique(y))
    assert set(labels) <= set(words(fig))
    assert_inside(fig)


@SIZES
def test_track_accuracy_bars(k):
    recall = {"value": 0.5, "low": 0.3, "high": 0.7}
    per_genre = {genre: {"tracks": 10 + i, "recall": recall} for i, genre in enumerate(genres_of(k))}
    per_genre["genre 1 $"] = {"tracks": 0, "recall": None}
    fig = plots.track_accuracy_bars(per_genre)
    assert {*per_genre, "n = 10", "no tracks"} <= set(words(fig))
    assert [bar.get_width() for bar in fig.axes[0].patches] == [50] * (k - 1)
    assert_inside(fig)


def test_save_draws_what_matplotlib_does_and_leaves_the_figure(tmp_path):
    fig = plots.confusion_matrix(np.eye(2), ["a", "b"])
    layout, dpi = fig.get_layout_engine(), fig.dpi
    plots.save(fig, tmp_path / "ours.png", dpi=50)
    assert (fig.get_layout_engine(), fig.dpi) == (layout, dpi)
    other = plots.confusion_matrix(np.eye(2), ["a", "b"])
    other.savefig(tmp_path / "theirs.png", dpi=50)
    ours, theirs = (mpl.image.imread(tmp_path / name) for name in ("ours.png", "theirs.png"))
    np.testing.assert_array_equal(ours, theirs)
    assert png(fig, 50) == (tmp_path / "ours.png").read_bytes()


def test_save_leaves_the_file_or_nothing(tmp_path, monkeypatch):
    fig = plots.confusion_matrix(np.eye(2), ["a", "b"])
    path = tmp_path / "new" / "confusion.png"
    plots.save(fig, path)
    before = path.read_bytes()
    assert before.startswith(b"\x89PNG")

    def fail(name, **_):
        name.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(fig, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        plots.save(fig, path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["confusion.png"]  # noqa: PTH208


def test_import_is_cheap_and_pyplot_is_left_alone():
    code = (
        "import sys, musicgen_cls.plots as p; assert 'matplotlib' not in sys.modules;"
        "p.confusion_matrix([[1]], ['a']); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_timeline_shows_the_most_probable_and_the_true_genre():
    probabilities = np.array([[0.5, 0.3, 0.1, 0.05, 0.03, 0.02]] * 4)
    genres = [f"genre {i}" for i in range(6)]
    fig = plots.timeline(np.arange(4.0), np.arange(4.0) + 2, probabilities, genres, "a song", "genre 5")
    assert_inside(fig)
    labels = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert labels == [f"{n} %  genre {i}" for i, n in enumerate((50, 30, 10, 5, 3))] + ["2 %  genre 5 (true)"]
    line = fig.axes[0].get_lines()[0]
    np.testing.assert_allclose(line.get_xdata(), np.arange(4.0) + 1)
    np.testing.assert_allclose(line.get_ydata(), 0.5)
    single = plots.timeline([0.0], [30.0], probabilities[:1], genres)
    assert not single.axes[0].get_lines()
    assert_inside(single)


@pytest.mark.parametrize("below", [None, lambda ax: ax.plot([0, 3], [0, 1])])
def test_a_recording_has_one_time_axis(below):
    y = np.sin(np.arange(3 * 8000) / 5).astype(np.float32)
    fig = plots.recording(
        "a song", y, 8000, np.zeros((1025, 47)), np.zeros((128, 47)), mel_centres(128), np.ones((12, 47)), 3.008, below
    )
    assert_inside(fig)
    parts = [ax for ax in fig.axes if ax.get_label() != "<colorbar>"]
    assert len(parts) == (4 if below is None else 5)
    assert {ax.get_xlim() for ax in parts} == {(0.0, 3.0)}
    assert parts[-1].get_xlabel() == "time in s"


def test_spectra_and_strip_plots(tmp_path):
    assert_inside(plots.spectra({f"genre {i}": np.zeros(64) - i for i in range(12)}, mel_centres(64)))
    values = {"jazz": [1.0, 2.0, 3.0], "rock": [5.0]}
    fig = plots.strip_plots({"loudness in dB": values, "centroid in Hz": values}, student)
    assert_inside(fig)
    assert {"jazz, n = 3", "rock, n = 1", "centroid in Hz"} <= set(words(fig))


def test_comparison_distinguishes_test_sets():
    rows = [("a", wilson(5, 10), "A", False), ("b", wilson(9, 10), "B", True), ("c", wilson(10, 10), "A", False)]
    fig = plots.comparison(rows)
    assert_inside(fig)
    assert {"a", "b (leaks)", "c", "test set A", "test set B", "not comparable"} <= set(words(fig))
    assert "test set A" not in words(plots.comparison(rows[::2]))


def test_learning_rate_curve():
    lrs = np.geomspace(1e-6, 1, 50)
    fig = plots.learning_rate_curve(lrs, np.cos(np.arange(50) / 10), 1e-3, 1e-2)
    assert_inside(fig)
    assert {"found: 0.001", "config: 0.01"} <= set(words(fig))
