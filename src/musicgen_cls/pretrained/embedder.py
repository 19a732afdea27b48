"""Several backbones side by side: windows of int16 audio to rows of embeddings, and these to tags."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from musicgen_cls.audio.io import PCM_SCALE, Pcm
from musicgen_cls.errors import UsageError
from musicgen_cls.models.backbones import Backbone

SHORTEST_S = 0.5
"""Shortest recording that is embedded, s: a shorter one, repeated until it fills a window, is a tone."""

_AT_ONCE = 4  # windows; with 8, two threads need 260 MB more, and are as fast


class Embedder(nn.Module):
    """One row for each window of audio: the mean over time of the embeddings of each backbone.

    Args:
        backbones: the networks. A waveform at another rate than that of a network is resampled for it.
        sample_rate: sample rate of the audio, Hz.
    """

    def __init__(self, backbones: Sequence[Backbone], sample_rate: int) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(backbones)
        self.sample_rate = sample_rate

    @torch.no_grad()
    def forward(self, pcm: Tensor) -> Tensor:
        """Windows int16 `[windows, samples]` to float32 `[windows, dim]`, the backbones in turn."""
        self.eval()
        return torch.cat([self.at_once(chunk) for chunk in torch.split(pcm, _AT_ONCE)])

    def at_once(self, pcm: Tensor) -> Tensor:
        """The same for windows that go through the networks together."""
        waveform = pcm.float() / PCM_SCALE
        return torch.cat([self._of(backbone, waveform) for backbone in self.backbones], dim=1)

    def _of(self, backbone: nn.Module, waveform: Tensor) -> Tensor:
        assert isinstance(backbone, Backbone)
        x = resampled(waveform, self.sample_rate, backbone.sample_rate)
        rows = backbone.embed(x)
        if rows.ndim != 3 or rows.shape[0] != x.shape[0] or rows.shape[1] == 0:
            raise UsageError(
                f"--data.backbones: {type(backbone).__name__} gives the shape {list(rows.shape)} for {len(x)} windows; "
                "it must be [batch, time, dim]"
            )
        if rows.shape[2] != backbone.dim:
            raise UsageError(
                f"--data.backbones: {type(backbone).__name__} gives embeddings of {rows.shape[2]} numbers, but its "
                f"attribute dim is {backbone.dim}; set it to {rows.shape[2]}"
            )
        return rows.float().mean(1)


def rows_of(embedder: Embedder, pcm: Pcm) -> npt.NDArray[np.float32]:
    """The rows of windows int16 `[windows, samples]`, float32 `[windows, dim]`, from a GPU if there is one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows: npt.NDArray[np.float32] = embedder.to(device)(torch.from_numpy(pcm).to(device)).cpu().numpy()
    return rows


def embedded(backbones: Sequence[Backbone], sample_rate: int, pcm: Tensor, rows: int) -> Tensor:
    """Windows of audio, int16 `[batch, samples]`, to `[batch, rows, dim]`: each is cut into rows of equal length."""
    found: Tensor = Embedder(backbones, sample_rate)(pcm.reshape(len(pcm) * rows, -1))
    return found.reshape(len(pcm), rows, -1)


@torch.no_grad()
def tags_of(backbones: Sequence[Backbone], rows: Tensor) -> Tensor:
    """Logits of the tags of each backbone in turn, `[..., tags]`, from rows of embeddings `[..., dim]`."""
    parts = torch.split(rows, [backbone.dim for backbone in backbones], dim=-1)
    return torch.cat([backbone.tags_of(part) for backbone, part in zip(backbones, parts, strict=True)], dim=-1)


def resampled(waveform: Tensor, sample_rate: int, wanted: int) -> Tensor:
    """Waveforms `[batch, samples]` at another rate, with a filter that leaves nothing above the lower half rate."""
    if sample_rate == wanted:
        return waveform
    from torchaudio.functional import resample

    # torchaudio's default filter leaks -11 dB just above the limit; this one -80 dB
    changed: Tensor = resample(
        waveform,
        sample_rate,
        wanted,
        lowpass_filter_width=64,
        rolloff=0.9475937167399596,
        resampling_method="sinc_interp_kaiser",
        beta=14.769656459379492,
    )
    return changed
