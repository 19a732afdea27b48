"""A pretrained network that is trained further, with a linear head."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from musicgen_cls.errors import UsageError
from musicgen_cls.models.backbones import Backbone, HuggingFace
from musicgen_cls.pretrained import hub, hub_config
from musicgen_cls.pretrained.load import facts_of, load


class FineTuned(nn.Module):
    """A pretrained network, the mean over time, and a linear layer. All of it is trained.

    The pretrained weights are loaded when a training starts; a checkpoint has all weights, so that nothing is fetched
    to use it. Only a model of the hub that needs code of its authors is fetched again, without its weights. Batch norm
    stays in evaluation mode.

    Args:
        num_classes: number of genres.
        backbone: name of a pretrained network, see `musicgen_cls.pretrained.load`.
        layer_decay: the learning rate of a layer is that of the layer behind it times this; 1 for equal rates. (Howard
            and Ruder 2018, https://arxiv.org/abs/1801.06146, call it discriminative fine-tuning.)
        config: the backbone's config as JSON; checkpoints have it for models of the hub.
    """

    FILLED_IN: ClassVar[tuple[str, ...]] = ("config",)
    """Arguments whose values the network finds itself; a checkpoint keeps these values."""

    def __init__(
        self, num_classes: int, backbone: str = "msd_musicnn", layer_decay: float = 1.0, config: str | None = None
    ) -> None:
        super().__init__()
        if not 0 < layer_decay <= 1:
            raise UsageError(f"--model.network.layer_decay {layer_decay}: must be above 0, and at most 1")
        self.name, self.layer_decay = backbone, layer_decay
        self.backbone = self._bare(config).requires_grad_(True)
        self.config = hub_config.described(self.backbone) if isinstance(self.backbone, HuggingFace) else None
        self.sample_rate = self.backbone.sample_rate
        self._freeze_unused()
        self.head = nn.Linear(self.backbone.dim, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Waveforms `[batch, samples]` at `sample_rate`, full scale 1, to logits `[batch, num_classes]`.

        Raises:
            UsageError: the input is no waveform, or the backbone's embeddings have another shape.
        """
        if x.ndim != 2:
            raise UsageError(
                f"FineTuned: takes waveforms [batch, samples], not {list(x.shape)}; use --data WaveformSlices"
            )
        embedded: Tensor = self.backbone(x)
        if embedded.ndim != 3 or embedded.shape[::2] != (x.shape[0], self.backbone.dim) or not embedded.shape[1]:
            raise UsageError(
                f"--model.network.backbone {self.name}: gives the shape {list(embedded.shape)} for {len(x)} waveforms; "
                f"it must be [batch, time, {self.backbone.dim}]"
            )
        logits: Tensor = self.head(embedded.mean(1))
        return logits

    @property
    def pretrained(self) -> list[dict[str, str]]:
        """Facts about the backbone, for reports and cards."""
        return [facts_of(self.name, self.backbone)]

    def load_pretrained(self) -> None:
        """Load the pretrained weights; they are fetched if they are not in the cache."""
        self.backbone.load_state_dict(load(self.name).state_dict())

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """The trainable parameters of each layer with their learning rate, from the head on.

        Args:
            lr: learning rate of the head.
        """
        layers = [list(self.head.parameters()), *reversed(self.backbone.stages())]
        groups = [
            {"params": [p for p in layer if p.requires_grad], "lr": lr * self.layer_decay**distance}
            for distance, layer in enumerate(layers)
        ]
        return [group for group in groups if group["params"]]

    def _freeze_unused(self) -> None:
        """Freeze parameters that no embedding depends on, such as those of tags; several processes wait for gradients.

        Those are the parameters without a gradient after one window of silence.
        """
        backbone = self.backbone
        if not any(True for _ in backbone.parameters()):
            return
        silence = torch.zeros(1, round(max(backbone.window_seconds, 1.0) * backbone.sample_rate))
        with torch.random.fork_rng([]), torch.enable_grad():
            embedded = backbone.eval()(silence)
            if not embedded.requires_grad:
                raise UsageError(
                    f"--model.network.backbone {self.name}: its embeddings have no gradient, so it cannot be trained; "
                    "use --data Embeddings"
                )
            embedded.sum().backward()
        for parameter in backbone.parameters():
            parameter.requires_grad_(parameter.grad is not None)
        backbone.train().zero_grad()

    def _bare(self, config: str | None) -> Backbone:
        """The backbone without its pretrained weights."""
        name = hub.parse(self.name)
        if config is not None and name is not None:
            return hub_config.from_config(config, name.layer)
        return load(self.name, weights=False)
