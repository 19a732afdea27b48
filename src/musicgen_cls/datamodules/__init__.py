"""LightningDataModules: they divide tracks, cut windows, and turn a batch into the input of a network.

A class is imported when it is first used, so that a network can predict without Lightning (`datamodules.inputs`).
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
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

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "audio": ["AudioDataModule"],
        "base": ["GenreDataModule"],
        "embeddings": ["Embeddings"],
        "feature_table": ["FeatureTable"],
        "front_end": ["FrontEnd"],
        "mel": ["MelSlices"],
        "notes": ["NoteWindows"],
        "spectrograms": ["Spectrograms"],
        "tracks": ["TrackDataModule"],
        "waveform": ["WaveformWindows"],
        "waveform_slices": ["WaveformSlices"],
    },
)
