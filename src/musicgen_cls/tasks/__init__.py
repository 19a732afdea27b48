"""LightningModules: a network with a loss, metrics and an optimiser.

A class is imported when it is first used, so that a network can predict without Lightning (`tasks.predicting`).
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from musicgen_cls.tasks.base import Task
    from musicgen_cls.tasks.classification import GenreClassifier
    from musicgen_cls.tasks.generation import GenreGenerator
    from musicgen_cls.tasks.notes import NoteGenerator

__all__ = ["GenreClassifier", "GenreGenerator", "NoteGenerator", "Task"]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["Task"],
        "classification": ["GenreClassifier"],
        "generation": ["GenreGenerator"],
        "notes": ["NoteGenerator"],
    },
)
