"""Neural networks as plain PyTorch modules: tensors in, logits or audio samples out."""

from musicgen_cls.models.classifiers.cnn import CNN
from musicgen_cls.models.classifiers.cnn5 import CNN5
from musicgen_cls.models.classifiers.conv_lstm import ConvLSTM
from musicgen_cls.models.classifiers.feature_lstm import FeatureLSTM
from musicgen_cls.models.classifiers.feature_mlp import FeatureMLP
from musicgen_cls.models.classifiers.recurrent import Recurrent
from musicgen_cls.models.classifiers.resnet import ResNet
from musicgen_cls.models.classifiers.temporal_pooling import TemporalPooling
from musicgen_cls.models.classifiers.vgg import VGG
from musicgen_cls.models.generators.mel_flow import MelFlow
from musicgen_cls.models.generators.sample_rnn import SampleRNN
from musicgen_cls.models.generators.waveform_rnn import WaveformRNN
from musicgen_cls.models.heads.attention_pool import AttentionPool
from musicgen_cls.models.heads.linear_probe import LinearProbe
from musicgen_cls.models.heads.mlp import MLP
from musicgen_cls.models.heads.tag_reading import TagReading
from musicgen_cls.models.notes.markov import NoteMarkov
from musicgen_cls.models.notes.rnn import NoteRNN
from musicgen_cls.models.notes.transformer import NoteTransformer

__all__ = [
    "CNN",
    "CNN5",
    "MLP",
    "VGG",
    "AttentionPool",
    "ConvLSTM",
    "FeatureLSTM",
    "FeatureMLP",
    "LinearProbe",
    "MelFlow",
    "NoteMarkov",
    "NoteRNN",
    "NoteTransformer",
    "Recurrent",
    "ResNet",
    "SampleRNN",
    "TagReading",
    "TemporalPooling",
    "WaveformRNN",
]
