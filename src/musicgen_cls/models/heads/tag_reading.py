"""Genres from the tags of pretrained networks, without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from musicgen_cls.models.classifiers.blocks import check_sizes


class TagReading(nn.Module):
    """Reads genres from the tags of several networks.

    1. The logit of a genre in a network is the largest logit of the tags that stand for this genre.
    2. Logits of different tags have different levels. Each is standardised: its mean over much music is subtracted, and
       the difference is divided by the standard deviation there. No labels are needed for that.
    3. The logit of a genre is the average over the networks that have a tag for it.
    4. Speech, noise and silence have no genre: all logits are multiplied by the probability that the sound is music,
       `sigmoid(logit of the tag Music - music_at)`, so that all genres become equally probable without music.

    Probabilities are calibrated afterwards, see `musicgen_cls.tasks.calibration`.

    Args:
        num_classes: number of genres.
        networks: number of networks.
        tags: number of tags of all networks.
    """

    stands_for: Tensor
    mean: Tensor
    std: Tensor
    music: Tensor
    music_at: Tensor

    def __init__(self, num_classes: int, networks: int = 2, tags: int = 571) -> None:
        super().__init__()
        check_sizes(num_classes=num_classes, networks=networks, tags=tags)
        self.networks, self.tags = networks, tags
        self.register_buffer("stands_for", torch.zeros(networks, num_classes, tags, dtype=torch.bool))
        self.register_buffer("mean", torch.zeros(networks, num_classes))
        self.register_buffer("std", torch.ones(networks, num_classes))
        self.register_buffer("music", torch.tensor(0))
        self.register_buffer("music_at", torch.tensor(-torch.inf))  # every sound is music

    def forward(self, x: Tensor) -> Tensor:
        """Logits of tags `[batch, rows, tags]` to logits of genres `[batch, num_classes]`."""
        x = x.mean(1)
        known = self.stands_for.any(2)  # [networks, num_classes]
        standardised = (self.largest(x) - self.mean) / self.std
        logits = torch.where(known, standardised, 0).sum(1) / known.sum(0).clamp_min(1)
        is_music = torch.sigmoid(x.index_select(1, self.music.reshape(1)) - self.music_at)
        return logits * is_music

    def largest(self, x: Tensor) -> Tensor:
        """Logits of tags `[batch, tags]` to the largest of each genre, `[batch, networks, num_classes]`; 0 without."""
        largest = torch.where(self.stands_for, x[:, None, None], -torch.inf).amax(3)
        return torch.where(self.stands_for.any(2), largest, 0)

    def set_tags(
        self, names: Sequence[Sequence[str]], genres: Sequence[Mapping[int, Sequence[str]]], reference: Tensor
    ) -> None:
        """Set the tags of each genre, and compute mean and standard deviation over music.

        Args:
            names: names of the tags of each network.
            genres: for each genre, tags by the number of the network.
            reference: logits of the tags of much music, `[tracks, tags]`.
        """
        first = 0
        for number, own in enumerate(names):
            for label, tags in enumerate(genres):
                for tag in tags.get(number, ()):
                    self.stands_for[number, label, first + own.index(tag)] = True
            first += len(own)
        largest = self.largest(reference)
        self.mean.copy_(largest.mean(0))
        self.std.copy_(largest.std(0).clamp_min(1e-3))
