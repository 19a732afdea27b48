"""LightningDataModules: they divide tracks, cut windows, and turn a batch into the input of a network."""

from musicgen_cls.datamodules.audio import AudioDataModule
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.datamodules.embeddings import Embeddings
from musicgen_cls.datamodules.feature_table import FeatureTable
from musicgen_cls.datamodules.front_end import FrontEnd
from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.datamodules.notes import NoteWindows
from musicgen_cls.datamodules.spectrograms import Spectrograms
from musicgen_cls.datamodules.tracks import TrackDataModule
from musicgen_cls.datamodules.waveform import WaveformWindows
from musicgen_cls.datamodules.waveform_slices import WaveformSlices

__all__ = [
    "AudioDataModule",
    "Embeddings",
    "FeatureTable",
    "FrontEnd",
    "GenreDataModule",
    "MelSlices",
    "NoteWindows",
    "Spectrograms",
    "TrackDataModule",
    "WaveformSlices",
    "WaveformWindows",
]
