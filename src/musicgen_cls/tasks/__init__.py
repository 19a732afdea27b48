"""LightningModules: a network with its loss, metrics and optimiser."""

from musicgen_cls.tasks.base import Task
from musicgen_cls.tasks.classification import GenreClassifier
from musicgen_cls.tasks.generation import GenreGenerator

__all__ = ["GenreClassifier", "GenreGenerator", "Task"]
