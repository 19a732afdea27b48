"""Flow matching on log-mel spectrograms."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from musicgen_cls.audio.griffin_lim import GriffinLim
from musicgen_cls.audio.mel import LogMel
from musicgen_cls.errors import UsageError, check_not_negative
from musicgen_cls.models.classifiers.blocks import check_sizes
from musicgen_cls.models.generators.ar_prior import Past, Persistence
from musicgen_cls.models.generators.continuation import Continuation, Draw
from musicgen_cls.models.generators.genre_statistics import Moments

_FLOOR = 1e-7  # of power: -70 dB, about what 16 bits leave


class MelFlow(Continuation):
    """Draws the spectrogram of what follows, given that of what was heard, and makes sound of it.

    Music is here a row of cepstra: the cosine transform of each frame of the log-mel spectrogram, scaled to a spread of
    1 within the genre. Neighbouring bands go together, and the transform takes most of that out. Each cepstrum is
    expected to persist as far as it did in training (see `Persistence`); what is learned and drawn is the rest, the
    surprise. So even white noise in its place goes on where the music was, with a musical colour, level and pace.

    The surprise is drawn by conditional flow matching (Lipman et al. 2023, https://arxiv.org/abs/2210.02747) on the
    straight path x_t = (1 - t) noise + t surprise, whose velocity surprise - noise the network learns; what was heard
    is given to it beside, as in inpainting. The noise is one of the same persistence: a prior made from the data, as in
    Lee et al. 2022, "PriorGrad" (https://arxiv.org/abs/2106.06406).

    Long continuations are made window by window, each going on from the last half of the one before, and knowing what
    stayed of all of them. So that no error in level or colour is handed on and grows, the network learns from music
    that is heard too loud, too quiet and coloured, by as much as `noise` says; and no cepstrum goes beyond what was met
    in training.

    Args:
        num_genres: genres.
        sample_rate: Hz.
        target_samples: length of what is made at once after the first context.
        n_fft: samples in a frame.
        hop_length: samples from frame to frame; a divisor of half of `n_fft`.
        n_mels: bands.
        order: frames before that the next is expected from, without learning.
        patch: frames that attention takes as one.
        width: channels; a multiple of 16.
        blocks: residual blocks with attention.
        noise: standard deviation of the error in level and colour of what is heard in training, in those of the music.
        steps: of the solver (midpoint rule), two evaluations of the network each.
        griffin_lim: iterations of the phases.
    """

    HEEDS = frozenset({"temperature"})

    def __init__(
        self,
        num_genres: int,
        sample_rate: int,
        target_samples: int,
        n_fft: int = 512,
        hop_length: int = 256,
        n_mels: int = 96,
        order: int = 8,
        patch: int = 8,
        width: int = 256,
        blocks: int = 4,
        noise: float = 0.2,
        steps: int = 16,
        griffin_lim: int = 32,
    ) -> None:
        super().__init__()
        check_sizes(
            n_fft=n_fft, hop_length=hop_length, n_mels=n_mels, order=order, patch=patch, width=width, blocks=blocks
        )
        check_sizes(steps=steps, griffin_lim=griffin_lim)
        _check_fit(target_samples, n_fft, hop_length, order, patch, width, noise)
        self.patch, self.noise, self.steps = patch, noise, steps
        self.edge = n_fft // 2 // hop_length  # frames whose other half lies beyond the end of the sound
        self.fresh = target_samples // (hop_length * patch) * patch
        self.log_mel = LogMel(sample_rate, n_fft, hop_length, n_mels)
        self.vocoder = GriffinLim(self.log_mel, griffin_lim)
        self.cosines: Tensor
        self.register_buffer("cosines", _cosines(n_mels), persistent=False)
        self.moments = Moments(num_genres, n_mels, least=0.1)
        self.persistence = Persistence(num_genres, n_mels, order, torch.arange(n_mels) * 4 // n_mels)
        self.network = Denoiser(n_mels, num_genres, patch, width, blocks)

    def loss(self, context: Tensor, target: Tensor, genre: Tensor) -> Tensor:
        """Mean squared error of the velocity over the frames that are to be made, each part weighed by its spread."""
        with torch.no_grad(), torch.autocast(context.device.type, enabled=False):  # the past needs all digits
            mixed, given, mask, time, wanted, weight = self._lesson(context, target, genre)
        error = (self._velocity(mixed, given, mask, time, genre) - wanted).square() * weight
        loss: Tensor = error.sum() / weight.sum()
        return loss

    def _lesson(self, context: Tensor, target: Tensor, genre: Tensor) -> tuple[Tensor, ...]:
        """What `_velocity` is asked in training but the genre, the answer, and how much it counts."""
        raw = self._whole_patches(self._cepstra(torch.cat([context, target], dim=1)))
        if self.training:
            self._measure(raw, genre)
        mean, spread = self.moments(genre)
        cepstra = (raw - mean) / spread  # [batch, n_mels, frames]
        batch, _, length = cepstra.shape
        heard = cepstra
        given = torch.full((batch,), self._count(context), device=cepstra.device)
        if self.training:  # half of the time any other length: then a window can follow any other
            other = torch.randint(0, length * 2 // 3, (batch,), device=cepstra.device)
            given = torch.where(torch.rand(batch, device=cepstra.device) < 0.5, given, other)
            # an error that stays from frame to frame: in one of the cosines over bands, the first being the level
            heard = cepstra + self.noise * torch.randn_like(cepstra[:, :, :1])
        mask = (torch.arange(length, device=cepstra.device) < given[:, None])[:, None].to(cepstra.dtype)
        # spread evenly over the batch: the loss differs more from time to time than from window to window
        time = (torch.randperm(batch, device=cepstra.device) + torch.rand(batch, device=cepstra.device)) / batch
        white = torch.randn(*cepstra.shape[:2], length + 1, device=cepstra.device)
        expected, noise, wider, _ = self.persistence.follow(heard, mask, white, genre)
        surprise = (cepstra - expected) / wider
        mixed = torch.lerp(noise, surprise, time[:, None, None])
        return mixed, torch.lerp(expected, heard, mask), mask, time, surprise - noise, (1 - mask) * spread.square()

    @torch.inference_mode()
    def stream(self, context: Tensor, genre: Tensor, draw: Draw) -> Iterator[Tensor]:
        """Window after window: cepstra drawn, then sound made that goes on from the sound before.

        The first frame is centred on the first sample throughout; the last frames wait for those that overlap them.
        """
        hop, edge = self.log_mel.hop_length, self.edge
        raw = self._cepstra(context[:, context.shape[1] % hop :])
        skipped = raw.shape[2] - self._count(context)
        mean, spread = self.moments(genre)
        cepstra = (raw[:, :, skipped:] - mean) / spread
        sound = context[:, context.shape[1] % hop + (edge + skipped) * hop :]
        window = cepstra.shape[2] + self.fresh
        gone = window - window // 2 // self.patch * self.patch
        before: Past | None = None
        while True:
            cepstra = torch.cat([cepstra, self._solve(cepstra, window - cepstra.shape[2], before, genre, draw)], dim=2)
            power = self._power(cepstra * spread + mean)
            whole = self.vocoder(torch.cat([power, power[:, :, -1:].expand(-1, -1, edge)], dim=2), sound)
            whole = whole[:, : (power.shape[2] - 1 - edge) * hop]
            yield whole[:, sound.shape[1] :]
            before = self.persistence.remember(cepstra[:, :, :gone], genre, before)
            cepstra, sound = cepstra[:, :, gone:], whole[:, gone * hop :]

    def _solve(self, heard: Tensor, fresh: int, before: Past | None, genre: Tensor, draw: Draw) -> Tensor:
        """Draw `[batch, n_mels, fresh]` to follow `heard` `[batch, n_mels, known]`."""
        given = functional.pad(heard, (0, fresh))
        mask = functional.pad(torch.ones_like(heard[:, :1]), (0, fresh))
        white = draw.normal(given.shape[1], given.shape[2] + 1).to(heard.device)
        expected, noise, wider, _ = self.persistence.follow(given, mask, white, genre, before)
        given = torch.lerp(expected, given, mask)
        x = draw.temperature * noise
        step = 1.0 / self.steps
        for i in range(self.steps):
            now = x.new_full((len(x),), i * step)
            halfway = x + step / 2 * self._velocity(x, given, mask, now, genre)
            x = x + step * self._velocity(halfway, given, mask, now + step / 2, genre)
        mean, spread = self.moments(genre)
        low, high = ((limit - mean) / spread for limit in self.moments.limits(genre))
        drawn: Tensor = (expected + wider * x)[:, :, heard.shape[2] :].clamp(low, high)
        return drawn

    def _velocity(self, x: Tensor, given: Tensor, mask: Tensor, time: Tensor, genre: Tensor) -> Tensor:
        """What is known without learning, and what the network adds, both at the scale of 1.

        Were the surprises spread as the noise is, E[surprise - noise | x] = (2t - 1) x / (t^2 + (1 - t)^2) would be the
        answer, and the spread of x the root of that sum (the preconditioning of Karras et al. 2022,
        https://arxiv.org/abs/2206.00364, for this path).
        """
        at = time[:, None, None]
        power = at.square() + (1 - at).square()
        seen = torch.cat([x * power.rsqrt() * (1 - mask), given, mask], dim=1)
        velocity: Tensor = (2 * at - 1) / power * x + self.network(seen, time, genre) * power.rsqrt()
        return velocity

    def _measure(self, raw: Tensor, genre: Tensor) -> None:
        """Take the moments and persistence of cepstra `[batch, n_mels, frames]` into account."""
        self.moments.measure(raw, genre)
        mean, spread = self.moments(genre)
        self.persistence.measure((raw - mean) / spread, genre)

    def _count(self, context: Tensor) -> int:
        """Frames that lie whole in a context `[batch, samples]`, in whole patches."""
        mel = self.log_mel
        count = (context.shape[1] // mel.hop_length - 2 * self.edge + 1) // self.patch * self.patch
        if count < 1:
            needed = mel.n_fft + (self.patch - 1) * mel.hop_length
            raise UsageError(
                f"network.patch {self.patch}: is longer than the context, {needed} samples against "
                f"{context.shape[1]}; take less, or a smaller n_fft or hop_length"
            )
        return count

    def _cepstra(self, waveform: Tensor) -> Tensor:
        """Of the log-mel spectrogram in dB, `[batch, n_mels, frames]`, where frames lie whole in the waveform."""
        end = waveform.shape[1] // self.log_mel.hop_length - self.edge + 1
        power = self.log_mel.power(waveform)[:, :, self.edge : end]
        cepstra: Tensor = self.cosines @ (10.0 * torch.log10(power.clamp_min(_FLOOR)))
        return cepstra

    def _whole_patches(self, frames: Tensor) -> Tensor:
        return frames[:, :, : frames.shape[2] // self.patch * self.patch]

    def _power(self, cepstra: Tensor) -> Tensor:
        """Cepstra back to mel power, `[batch, n_mels, frames]`."""
        power: Tensor = 10.0 ** (self.cosines.T @ cepstra / 10.0)
        return power


class Denoiser(nn.Module):
    """Residual convolutions over frames, and inside them residual convolutions and attention over patches of frames.

    Told time and genre. A small U-Net (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597).

    Args:
        size: numbers in a frame.
        num_genres: genres.
        patch: frames in a patch.
        width: channels of patches; frames have half.
        blocks: residual blocks over patches.
    """

    def __init__(self, size: int, num_genres: int, patch: int, width: int, blocks: int) -> None:
        super().__init__()
        self.width = width
        self.genre = nn.Embedding(num_genres, width)
        self.tell = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.enter = nn.Conv1d(2 * size + 1, width // 2, 3, padding=1)
        self.before, self.after = Residual(width // 2, width), Residual(width // 2, width)
        self.down = nn.Conv1d(width // 2, width, patch, stride=patch)
        self.residuals = nn.ModuleList(Residual(width, width) for _ in range(blocks))
        self.attentions = nn.ModuleList(Attention(width) for _ in range(blocks))
        self.up = nn.ConvTranspose1d(width, width // 2, patch, stride=patch)
        self.norm = nn.GroupNorm(8, width // 2)
        self.leave = nn.Conv1d(width // 2, size, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, seen: Tensor, time: Tensor, genre: Tensor) -> Tensor:
        """`[batch, size, frames]`, whole patches.

        Args:
            seen: frames on their way from noise, those heard or expected, and which were heard,
                `[batch, 2 * size + 1, frames]`.
            time: from 0, noise, to 1, `[batch]`.
            genre: labels, `[batch]`.
        """
        told = functional.silu(self.tell(_waves(time, self.width)) + self.genre(genre))
        fine = self.before(self.enter(seen), told)
        h = self.down(fine)
        for residual, attention in zip(self.residuals, self.attentions, strict=True):
            h = attention(residual(h, told))
        fine = self.after(fine + self.up(h), told)
        result: Tensor = self.leave(functional.silu(self.norm(fine)))
        return result


class Residual(nn.Module):
    """Two convolutions beside a short cut, scaled and shifted by what is told; they begin as nothing.

    `[batch, channels, length]`, kept; told `[batch, width]`.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(8, channels) for _ in range(2))
        self.convolutions = nn.ModuleList(nn.Conv1d(channels, channels, 3, padding=1) for _ in range(2))
        self.tell = nn.Linear(width, 2 * channels)
        for last in (self.convolutions[1], self.tell):
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(self, h: Tensor, told: Tensor) -> Tensor:
        """Apply."""
        scale, shift = self.tell(told)[:, :, None].chunk(2, dim=1)
        inner = self.convolutions[0](functional.silu(self.norms[0](h)))
        changed: Tensor = h + self.convolutions[1](functional.silu(self.norms[1](inner) * (1 + scale) + shift))
        return changed


class Attention(nn.Module):
    """Attention of four heads beside a short cut. `[batch, channels, length]`, kept."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.attention = nn.MultiheadAttention(channels, 4, batch_first=True)

    def forward(self, h: Tensor) -> Tensor:
        """Apply."""
        row = self.norm(h.transpose(1, 2))
        attended: Tensor = h + self.attention(row, row, row, need_weights=False)[0].transpose(1, 2)
        return attended


def _check_fit(
    target_samples: int, n_fft: int, hop_length: int, order: int, patch: int, width: int, noise: float
) -> None:
    if target_samples < patch * hop_length:
        raise UsageError(
            f"network.patch {patch}: is longer than the target, {patch * hop_length} samples against "
            f"{target_samples}; take less, or a longer --data.target_seconds"
        )
    fresh = target_samples // (hop_length * patch) * patch
    if order > fresh:
        raise UsageError(f"network.order {order}: more than the {fresh} frames of the target; take less")
    if width % 16:
        raise UsageError(f"network.width {width}: must be a multiple of 16")
    if n_fft // 2 % hop_length:
        raise UsageError(f"network.hop_length {hop_length}: must divide half of n_fft, {n_fft // 2}")
    check_not_negative("network.", noise=noise)


def _cosines(size: int) -> Tensor:
    """The orthonormal cosine transform (DCT-II) as a matrix `[size, size]`, a cosine a row."""
    place = (torch.arange(size) + 0.5) / size
    matrix = torch.cos(math.pi * torch.arange(size)[:, None] * place) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix


def _waves(time: Tensor, width: int) -> Tensor:
    """Times `[batch]` from 0 to 1 as sines and cosines of many rates `[batch, width]`."""
    rates = torch.exp(torch.linspace(0.0, math.log(1000.0), width // 2, device=time.device))
    angles = time[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
