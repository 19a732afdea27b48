"""From arrays to figures. Nothing here knows of a trainer, and nothing touches pyplot's global state."""

from musicgen_cls.plots.canvas import FigureFormat, pixels, save
from musicgen_cls.plots.scores import (
    comparison,
    confusion_matrices,
    confusion_matrix,
    draw_timeline,
    pr_curves,
    timeline,
    track_accuracy_bars,
)
from musicgen_cls.plots.search import learning_rate_curve, taken_from_pyplot, without_windows
from musicgen_cls.plots.sound import (
    curves_by_second,
    mel_of,
    mel_spectrogram,
    sheet,
    spectra,
    spectrogram_page,
    strips,
    waveform,
)

__all__ = [
    "FigureFormat",
    "comparison",
    "confusion_matrices",
    "confusion_matrix",
    "curves_by_second",
    "draw_timeline",
    "learning_rate_curve",
    "mel_of",
    "mel_spectrogram",
    "pixels",
    "pr_curves",
    "save",
    "sheet",
    "spectra",
    "spectrogram_page",
    "strips",
    "taken_from_pyplot",
    "timeline",
    "track_accuracy_bars",
    "waveform",
    "without_windows",
]
