"""Pretrained networks: where their weights come from, and how they are loaded."""

from musicgen_cls.pretrained.fine_tuned import FineTuned
from musicgen_cls.pretrained.load import load
from musicgen_cls.pretrained.music_gen import MusicGen
from musicgen_cls.pretrained.table import WEIGHTS, Weights

__all__ = ["WEIGHTS", "FineTuned", "MusicGen", "Weights", "load"]
