"""Random weights: the baseline for pretrained ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from musicgen_cls.models.backbones.base import Backbone


class RandomBackbone(Backbone):
    """A backbone with random weights. It shows how much of an accuracy comes from the shape of the network alone.

    Convolutions and linear layers have normal weights of variance 2 / inputs, so that activations neither vanish nor
    grow from layer to layer, with or without batch norm (He et al. 2015, https://arxiv.org/abs/1502.01852).

    Args:
        like: the backbone whose weights are replaced. Its class, settings and shapes stay.
        seed: random seed of the weights.
    """

    licence = "none"
    source = "random weights"
    trained_on = "nothing"
    known_overlaps = ""

    def __init__(self, like: Backbone, seed: int = 0) -> None:
        super().__init__()
        self.like, self.seed = like, seed
        self.sample_rate, self.dim, self.hop_seconds = like.sample_rate, like.dim, like.hop_seconds
        self.window_seconds = like.window_seconds
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            for module in like.modules():
                if callable(reset := getattr(module, "reset_parameters", None)):
                    reset()
                if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def embed(self, waveform: Tensor) -> Tensor:
        """The embeddings of the network with random weights, `[batch, time, dim]`."""
        return self.like.embed(waveform)
