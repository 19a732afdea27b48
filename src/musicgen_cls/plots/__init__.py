"""Figures from arrays. They need no trainer and do not change the global state of pyplot."""

from musicgen_cls.plots.canvas import FigureFormat, pixels, save
from musicgen_cls.plots.piano_roll import piano_roll
from musicgen_cls.plots.recording import recording
from musicgen_cls.plots.reliability import reliability
from musicgen_cls.plots.scores import (
    comparison,
    confusion_matrices,
    confusion_matrix,
    draw_timeline,
    pr_curves,
    timeline,
    track_accuracy_bars,
)
from musicgen_cls.plots.search import from_pyplot, learning_rate_curve, without_screen
from musicgen_cls.plots.sound import (
    curves_by_second,
    mel_of,
    mel_spectrogram,
    spectra,
    spectrogram_page,
    strip_plots,
    waveform,
)

__all__ = [
    "FigureFormat",
    "comparison",
    "confusion_matrices",
    "confusion_matrix",
    "curves_by_second",
    "draw_timeline",
    "from_pyplot",
    "learning_rate_curve",
    "mel_of",
    "mel_spectrogram",
    "piano_roll",
    "pixels",
    "pr_curves",
    "recording",
    "reliability",
    "save",
    "spectra",
    "spectrogram_page",
    "strip_plots",
    "timeline",
    "track_accuracy_bars",
    "waveform",
    "without_screen",
]
