"""LightningModules: a network with a loss, metrics and an optimiser."""

from musicgen_cls.tasks.base import Task
from musicgen_cls.tasks.classification import GenreClassifier
from musicgen_cls.tasks.generation import GenreGenerator
from musicgen_cls.tasks.notes import NoteGenerator

__all__ = ["GenreClassifier", "GenreGenerator", "NoteGenerator", "Task"]
