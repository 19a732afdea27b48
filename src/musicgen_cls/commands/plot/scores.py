"""Figures of scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from musicgen_cls import plots
from musicgen_cls.errors import ScoreError
from musicgen_cls.files import shown
from musicgen_cls.notes.facts import facts_of
from musicgen_cls.notes.midi import SUFFIXES, read_midi


def is_score(path: Path) -> bool:
    """Whether a file is a score, by its suffix."""
    return path.suffix.lower() in SUFFIXES


def figure_of_score(path: Path) -> Any:
    """The piano roll of a MIDI file.

    Raises:
        ScoreError: the file is no usable score.
    """
    notes = read_midi(path)
    return plots.piano_roll(notes, f"{shown(path)}\n{facts_of(notes)}")


def print_facts(path: Path) -> None:
    """Print what a score is; nothing if the file cannot be read any more."""
    try:
        print(f"Score:       {shown(path.name)}: {facts_of(read_midi(path))}")
    except ScoreError:
        return
