"""The interface of backbones: networks that turn a waveform into embeddings, and into tags where they have some."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Self

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from musicgen_cls.errors import UsageError

FACTS = ("trained_on", "licence", "source", "known_overlaps")
"""Attributes of a backbone that reports and cards name."""


class Backbone(nn.Module, ABC):
    """A network from waveforms to embeddings. It knows nothing of files and genres.

    It can be frozen or fine-tuned. Batch norm stays in evaluation mode, so that small batches do not change it.
    A subclass sets the attributes below, and defines `embed`; and `tags` or `tags_of` if it has tags.
    """

    sample_rate: int
    """Sample rate of the waveforms, Hz."""

    dim: int
    """Numbers in an embedding."""

    hop_seconds: float
    """Time from one embedding to the next, s."""

    window_seconds: float = 0.0
    """Length of a waveform from which one embedding can be computed, s. Shorter ones are repeated."""

    tag_names: tuple[str, ...] = ()
    """Names of the tags; empty for a network without tags."""

    licence: str = "unknown"
    """Licence of the weights."""

    source: str = "unknown"
    """The authors and the publication."""

    trained_on: str = "unknown"
    """The data that trained the weights."""

    known_overlaps: str = ""
    """Known or probable overlaps of that data with test sets, as a sentence."""

    @abstractmethod
    def embed(self, waveform: Tensor) -> Tensor:
        """Waveforms `[batch, samples]` at `sample_rate`, full scale 1, to embeddings `[batch, time, dim]`."""

    def tags(self, waveform: Tensor) -> Tensor:
        """Waveforms `[batch, samples]` to logits of tags `[batch, time, tags]`.

        Raises:
            UsageError: the network has no tags.
        """
        return self.tags_of(self.embed(waveform))

    def tags_of(self, embeddings: Tensor) -> Tensor:
        """Logits of tags `[..., tags]` from embeddings `[..., dim]`, if one linear layer computes them.

        The logits of a mean of embeddings are then the mean of the logits.

        Raises:
            UsageError: the network has no tags, or they depend on other layers.
        """
        raise UsageError(f"{type(self).__name__}: has no tags; use its embeddings with a trained head")

    def forward(self, waveform: Tensor) -> Tensor:
        """The same as `embed`."""
        return self.embed(waveform)

    def stages(self) -> list[list[nn.Parameter]]:
        """The parameters layer by layer, from the input on, for learning rates that depend on the layer.

        Here it is the order in which the class defines its modules; the elements of lists of modules are layers. A
        network with branches overrides it.
        """
        return stages_of([self])

    def train(self, mode: bool = True) -> Self:
        """Turn training mode on or off; batch norm stays in evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def filled(self, waveform: Tensor) -> Tensor:
        """The waveforms; those shorter than `window_seconds` are repeated until they fill it."""
        missing = -(-round(self.window_seconds * self.sample_rate) // max(waveform.shape[-1], 1))
        if missing <= 1:
            return waveform
        return waveform.repeat(1, missing)[:, : round(self.window_seconds * self.sample_rate)]


class PatchTagger(Backbone):
    """A backbone on patches of spectrograms, with a linear layer from embeddings to tags."""

    output: nn.Linear

    @abstractmethod
    def spectrogram(self, waveform: Tensor) -> Tensor:
        """Waveforms `[batch, samples]` to patches of spectrograms `[batch, time, ...]`."""

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Patches `[patches, ...]` to embeddings `[patches, dim]`."""

    def embed(self, waveform: Tensor) -> Tensor:
        """Waveforms `[batch, samples]` to embeddings `[batch, time, dim]`, one for each patch."""
        return self.per_patch(self.features, waveform)

    def tags_of(self, embeddings: Tensor) -> Tensor:
        """Embeddings `[..., dim]` to logits of tags `[..., tags]`."""
        logits: Tensor = self.output(embeddings)
        return logits

    def per_patch(self, function: Callable[[Tensor], Tensor], waveform: Tensor) -> Tensor:
        """A function of single patches, for the patches of waveforms: `[batch, samples]` to `[batch, time, ...]`."""
        x = self.spectrogram(waveform)
        found = function(x.flatten(0, 1))
        return found.reshape(*x.shape[:2], *found.shape[1:])


def stages_of(modules: Iterable[nn.Module]) -> list[list[nn.Parameter]]:
    """The parameters of modules, layer by layer, in the order in which modules are defined.

    The elements of lists of modules are layers. Norms belong to the layer before them.
    """
    stages: list[list[nn.Parameter]] = []
    for module in modules:
        if isinstance(module, _LISTS) or any(isinstance(part, _LISTS) for part in module.modules()):
            inner = [*stages_of(module.children()), []]
            stages += [[*module.parameters(recurse=False), *inner[0]], *inner[1:]]
        elif isinstance(module, _NORMS) and stages:
            stages[-1] = [*stages[-1], *module.parameters()]
        else:
            stages.append(list(module.parameters()))
    return [stage for stage in stages if stage]


_LISTS = (nn.ModuleList, nn.Sequential)
_NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)


def patches(frames: Tensor, length: int, hop: int) -> Tensor:
    """Patches of spectrograms, all of one length; what remains at the end is left out.

    Args:
        frames: `[batch, bands, frames]`, at least `length` frames.
        length: frames in a patch.
        hop: frames from one patch to the next.

    Returns:
        `[batch, time, bands, length]`.
    """
    return frames.unfold(2, length, hop).transpose(1, 2)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's padding `same` of one axis: an odd number of zeros has the larger part behind."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
