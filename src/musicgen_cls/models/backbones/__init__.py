"""Pretrained networks as plain modules: waveform in, embeddings and tags out."""

from musicgen_cls.models.backbones.base import Backbone
from musicgen_cls.models.backbones.hugging_face import HuggingFace
from musicgen_cls.models.backbones.jamendo import JamendoFCN, JamendoMusiCNN
from musicgen_cls.models.backbones.musicnn import MusiCNN, MusicVGG
from musicgen_cls.models.backbones.random import RandomBackbone
from musicgen_cls.models.backbones.yamnet import YAMNet

__all__ = ["Backbone", "HuggingFace", "JamendoFCN", "JamendoMusiCNN", "MusiCNN", "MusicVGG", "RandomBackbone", "YAMNet"]
