"""Flow matching on log-mel spectrograms."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from musicgen_cls.audio.mel import LogMel
from musicgen_cls.audio.vocoder import GriffinLim
from musicgen_cls.models.blocks import check_sizes
from musicgen_cls.models.continuation import Continuation, Draw

_FLOOR = 1e-7  # of power: -70 dB, about what 16 bits leave
_LIMIT = 4.0  # spreads from the mean, beyond which nothing is believed


class MelFlow(Continuation):
    """Draws the spectrogram of what follows, given that of what was heard, and makes sound of it.

    Conditional flow matching (Lipman et al. 2023, https://arxiv.org/abs/2210.02747) on the straight path
    x_t = (1 - t) noise + t mel, whose velocity mel - noise the network learns; frames that were heard are given to it
    as they are, as in inpainting. Long continuations are made window by window, each going on from the last frames of
    the one before. The level of each band is drawn, not fed back sample by sample: it cannot run away.

    Args:
        num_genres: genres.
        sample_rate: Hz.
        target_samples: length of what is made at once.
        n_fft: samples in a frame.
        hop_length: samples from frame to frame.
        n_mels: bands.
        width: channels at the finest of three time scales; the others have 1.5 and 2 times as many.
        steps: of the solver (midpoint rule), two evaluations of the network each.
        griffin_lim: iterations of the phases.
    """

    HEEDS = frozenset({"temperature"})

    def __init__(
        self,
        num_genres: int,
        sample_rate: int,
        target_samples: int,
        n_fft: int = 1024,
        hop_length: int = 256,
        n_mels: int = 96,
        width: int = 128,
        steps: int = 16,
        griffin_lim: int = 32,
    ) -> None:
        super().__init__()
        check_sizes(n_fft=n_fft, hop_length=hop_length, n_mels=n_mels, width=width, steps=steps)
        check_sizes(griffin_lim=griffin_lim, **{"target frames": target_samples // hop_length - 1})
        self.steps, self.target_samples = steps, target_samples
        self.log_mel = LogMel(sample_rate, n_fft, hop_length, n_mels)
        self.vocoder = GriffinLim(self.log_mel, griffin_lim)
        self.statistics = nn.BatchNorm1d(n_mels, affine=False, momentum=None)  # mean over all training batches
        self.velocity = UNet(n_mels, num_genres, width)

    def loss(self, context: Tensor, target: Tensor, genre: Tensor) -> Tensor:
        """Mean squared error of the velocity, in standardised dB, over the frames that are to be made."""
        decibels = self._decibels(torch.cat([context, target], dim=1))
        if self.training:
            with torch.no_grad():
                self.statistics(decibels)
        mel = self._standardised(decibels)  # [batch, n_mels, frames]
        frames, hop = mel.shape[2], self.log_mel.hop_length
        given = torch.full((len(mel),), context.shape[1] // hop, device=mel.device)
        if self.training:  # sometimes nothing was heard, sometimes more: then a window can follow any other
            given = (given * torch.randint(0, 4, given.shape, device=mel.device) / 2).round().long()
        heard = (torch.arange(frames, device=mel.device) < given[:, None])[:, None].to(mel.dtype)
        time = torch.rand(len(mel), device=mel.device)
        noise = torch.randn_like(mel)
        mixed = torch.lerp(noise, mel, time[:, None, None])
        error = (self.velocity(mixed, mel * heard, heard, time, genre) - (mel - noise)).square() * (1 - heard)
        loss: Tensor = error.sum() / ((1 - heard).sum() * mel.shape[1])
        return loss

    def stream(self, context: Tensor, genre: Tensor, draw: Draw) -> Iterator[Tensor]:
        """Window after window: frames drawn, then sound made that goes on from the sound before."""
        hop = self.log_mel.hop_length
        held = context.shape[1] // hop * hop  # sound that a window goes on from
        sound = context
        while True:
            known = sound[:, sound.shape[1] - held :]
            heard = self._standardised(self._decibels(known))[:, :, : held // hop]
            fresh = self.target_samples // hop
            made = self._solve(heard, fresh, genre, draw)
            power = self._power(torch.cat([heard, made], dim=2))
            whole = self.vocoder(torch.cat([power, power[:, :, -1:]], dim=2), known)
            yield whole[:, held:]
            sound = whole[:, -held:]

    def _solve(self, heard: Tensor, frames: int, genre: Tensor, draw: Draw) -> Tensor:
        """Draw `[batch, n_mels, frames]` to follow `heard` `[batch, n_mels, heard frames]`."""
        noise = draw.normal(heard.shape[1], heard.shape[2] + frames).to(heard.device)
        x = draw.temperature * noise
        given = functional.pad(heard, (0, frames))
        mask = torch.zeros_like(given[:, :1])
        mask[:, :, : heard.shape[2]] = 1.0
        step = 1.0 / self.steps
        for i in range(self.steps):
            x = torch.where(mask > 0, torch.lerp(noise, given, i * step), x)
            now = torch.full((len(x),), i * step, device=x.device)
            halfway = x + step / 2 * self.velocity(x, given, mask, now, genre)
            x = x + step * self.velocity(halfway, given, mask, now + step / 2, genre)
        return x[:, :, heard.shape[2] :].clamp(-_LIMIT, _LIMIT)

    def _decibels(self, waveform: Tensor) -> Tensor:
        decibels: Tensor = 10.0 * torch.log10(self.log_mel.power(waveform).clamp_min(_FLOOR))
        return decibels

    def _standardised(self, decibels: Tensor) -> Tensor:
        mean, variance = self._moments()
        return (decibels - mean) / variance.sqrt().clamp_min(1.0)

    def _power(self, mel: Tensor) -> Tensor:
        mean, variance = self._moments()
        return 10.0 ** ((mel * variance.sqrt().clamp_min(1.0) + mean) / 10.0)

    def _moments(self) -> tuple[Tensor, Tensor]:
        mean, variance = self.statistics.running_mean, self.statistics.running_var
        assert mean is not None
        assert variance is not None
        return mean[:, None], variance[:, None]


class UNet(nn.Module):
    """Convolutions in time at three scales, with attention at the coarsest; bands are channels.

    After Ronneberger et al. 2015 (https://arxiv.org/abs/1505.04597), with the residual blocks and the conditioning that
    are usual in diffusion (Dhariwal and Nichol 2021, https://arxiv.org/abs/2105.05233).

    Args:
        bands: of the spectrogram.
        num_genres: genres.
        width: channels at the finest scale.
    """

    def __init__(self, bands: int, num_genres: int, width: int) -> None:
        super().__init__()
        widths = [width, width * 3 // 2, width * 2]
        told = 4 * width
        self.width = width
        self.genre = nn.Embedding(num_genres, told)
        self.tell = nn.Sequential(nn.Linear(width, told), nn.SiLU(), nn.Linear(told, told))
        self.enter = nn.Conv1d(2 * bands + 1, width, 3, padding=1)
        self.down = nn.ModuleList(
            Scale(a, b, told, attention=False) for a, b in zip([width, *widths], widths[:2], strict=False)
        )
        self.shrink = nn.ModuleList(nn.Conv1d(w, w, 4, stride=2, padding=1) for w in widths[:2])
        self.middle = Scale(widths[1], widths[2], told, attention=True)
        self.grow = nn.ModuleList(nn.ConvTranspose1d(w, w, 4, stride=2, padding=1) for w in (widths[2], widths[1]))
        self.up = nn.ModuleList(
            Scale(below + beside, beside, told, attention=False)
            for below, beside in ((widths[2], widths[1]), (widths[1], widths[0]))
        )
        self.leave = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv1d(width, bands, 3, padding=1))
        nn.init.zeros_(self.leave[2].weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor, given: Tensor, mask: Tensor, time: Tensor, genre: Tensor) -> Tensor:
        """Velocity `[batch, bands, frames]`.

        Args:
            x: spectrogram on its way from noise, `[batch, bands, frames]`.
            given: the frames that are known, zeros elsewhere, like `x`.
            mask: 1 where they are, `[batch, 1, frames]`.
            time: from 0, noise, to 1, `[batch]`.
            genre: labels, `[batch]`.
        """
        frames = x.shape[2]
        padded = functional.pad(torch.cat([x, given, mask], dim=1), (0, -frames % 4))
        told = self.tell(_waves(time, self.width)) + self.genre(genre)
        h = self.enter(padded)
        beside = []
        for scale, shrink in zip(self.down, self.shrink, strict=True):
            h = scale(h, told)
            beside.append(h)
            h = shrink(h)
        h = self.middle(h, told)
        for grow, scale in zip(self.grow, self.up, strict=True):
            h = scale(torch.cat([grow(h), beside.pop()], dim=1), told)
        velocity: Tensor = self.leave(h)
        return velocity[:, :, :frames]


class Scale(nn.Module):
    """Two residual blocks, and attention over time if asked for: `[batch, channels, frames]`, frames kept."""

    def __init__(self, channels_in: int, channels_out: int, told: int, attention: bool) -> None:
        super().__init__()
        self.first = Residual(channels_in, channels_out, told)
        self.second = Residual(channels_out, channels_out, told)
        self.norm = nn.LayerNorm(channels_out) if attention else None
        self.attention = nn.MultiheadAttention(channels_out, 4, batch_first=True) if attention else None

    def forward(self, h: Tensor, told: Tensor) -> Tensor:
        """Apply."""
        h = self.first(h, told)
        if self.attention is not None and self.norm is not None:
            tokens = self.norm(h.transpose(1, 2))
            h = h + self.attention(tokens, tokens, tokens, need_weights=False)[0].transpose(1, 2)
        result: Tensor = self.second(h, told)
        return result


class Residual(nn.Module):
    """Two convolutions of 3 frames beside a short cut, scaled and shifted by time and genre."""

    def __init__(self, channels_in: int, channels_out: int, told: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(8, channels) for channels in (channels_in, channels_out))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(channels, channels_out, 3, padding=1) for channels in (channels_in, channels_out)
        )
        self.tell = nn.Linear(told, 2 * channels_out)
        self.short = nn.Conv1d(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()

    def forward(self, h: Tensor, told: Tensor) -> Tensor:
        """`[batch, channels_in, frames]` to `[batch, channels_out, frames]`."""
        inner = self.convolutions[0](functional.silu(self.norms[0](h)))
        scale, shift = self.tell(functional.silu(told))[:, :, None].chunk(2, dim=1)
        inner = self.convolutions[1](functional.silu(self.norms[1](inner) * (1 + scale) + shift))
        result: Tensor = self.short(h) + inner
        return result


def _waves(time: Tensor, width: int) -> Tensor:
    """Times `[batch]` from 0 to 1 as sines and cosines of many rates `[batch, width]`."""
    rates = torch.exp(torch.linspace(0.0, math.log(1000.0), width // 2, device=time.device))
    angles = time[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
