"""The classes of this package that a config or a command line names without a path."""

from __future__ import annotations

from musicgen_cls.audio.augment import AddNoise, NoiseAndPitch, ShiftPitch
from musicgen_cls.datamodules.feature_table import FeatureTable
from musicgen_cls.datamodules.mel import MelSlices
from musicgen_cls.datamodules.spectrograms import Spectrograms
from musicgen_cls.datamodules.waveform import WaveformWindows
from musicgen_cls.models.classifiers.cnn import CNN
from musicgen_cls.models.classifiers.cnn5 import CNN5
from musicgen_cls.models.classifiers.conv_lstm import ConvLSTM
from musicgen_cls.models.classifiers.feature_lstm import FeatureLSTM
from musicgen_cls.models.classifiers.feature_mlp import FeatureMLP
from musicgen_cls.models.classifiers.recurrent import Recurrent
from musicgen_cls.models.classifiers.temporal_pooling import TemporalPooling
from musicgen_cls.models.classifiers.vgg import VGG
from musicgen_cls.models.generators.mel_flow import MelFlow
from musicgen_cls.models.generators.sample_rnn import SampleRNN
from musicgen_cls.models.generators.waveform_rnn import WaveformRNN
from musicgen_cls.sources.known import SOURCES
from musicgen_cls.tasks.classification import GenreClassifier
from musicgen_cls.tasks.generation import GenreGenerator

TASKS = (GenreClassifier, GenreGenerator)
DATAMODULES = (MelSlices, Spectrograms, FeatureTable, WaveformWindows)
NETWORKS = (
    *(VGG, CNN5, CNN, Recurrent, ConvLSTM, TemporalPooling, FeatureMLP, FeatureLSTM),
    *(WaveformRNN, SampleRNN, MelFlow),
)
AUGMENTATIONS = (AddNoise, ShiftPitch, NoiseAndPitch)

BY_OPTION = {
    "model": TASKS,
    "data": DATAMODULES,
    "model.network": NETWORKS,
    "data.source": SOURCES,
    "data.augment": AUGMENTATIONS,
}
"""Which classes an option takes."""

CLASSES: dict[str, type] = {cls.__name__: cls for classes in BY_OPTION.values() for cls in classes}
"""All of them by name."""
