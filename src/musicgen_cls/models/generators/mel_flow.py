"""Flow matching on log-mel spectrograms."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from musicgen_cls.audio.griffin_lim import GriffinLim
from musicgen_cls.audio.mel import LogMel
from musicgen_cls.errors import UsageError, check_not_negative
from musicgen_cls.models.classifiers.blocks import check_sizes
from musicgen_cls.models.generators.ar_prior import AutoregressivePrior, State
from musicgen_cls.models.generators.continuation import Continuation, Sampling
from musicgen_cls.models.generators.denoiser import Denoiser
from musicgen_cls.models.generators.genre_statistics import GenreStatistics
from musicgen_cls.models.processes import of_all_processes
from musicgen_cls.models.renamed_keys import load_old_names

_MIN_POWER = 1e-7  # -70 dB, about the noise of 16-bit audio


class MelFlow(Continuation):
    """Continues the spectrogram of a recording by flow matching, and makes a waveform of it.

    1. Cepstrum. Each frame of the log-mel spectrogram, in dB, is transformed by a DCT over its bands. Neighbouring
       bands are similar, and the coefficients of the DCT are nearly uncorrelated. Each coefficient is then standardised
       with its mean and standard deviation in the genre (`GenreStatistics`). The result is z.
    2. Prior. `AutoregressivePrior` predicts the frames after the known ones without a neural network. It gives their
       expected value mu, random noise n with the right covariance, and the scale c of the track's deviations. Noise
       that follows the data is that of Lee et al. 2022, "PriorGrad" (https://arxiv.org/abs/2106.06406). Even an
       untrained network therefore continues with the level, the spectrum and the tempo of the prompt.
    3. Residual. The network models what the prior does not predict, r = (z - mu) / c.
    4. Flow matching (Lipman et al. 2023, https://arxiv.org/abs/2210.02747). The path from noise to residual is
       x_t = (1 - t) n + t r, with t from 0 to 1. Its velocity is dx_t / dt = r - n. The network learns the velocity
       from x_t, t, the genre and the known frames.
    5. Sampling. Begin with x_0 = n, and integrate the velocity from t = 0 to 1 by the midpoint rule. The new frames are
       z = mu + c x_1, limited to the range of the coefficients in training.
    6. Waveform. The inverse DCT gives mel power, and Griffin-Lim a waveform.

    A long continuation is made in windows. Each window begins with the last half of the window before, and the state of
    the prior covers all earlier frames. An error in level or spectrum could grow from window to window. In training the
    known frames therefore have such an error, of standard deviation `noise`.

    Args:
        num_genres: number of genres.
        sample_rate: Hz.
        target_samples: length of the first window after the context, samples.
        n_fft: samples in a frame.
        hop_length: samples from frame to frame; a divisor of half of `n_fft`.
        n_mels: mel bands.
        order: order of the autoregressive prior, frames.
        patch: frames in a patch of the network's attention.
        width: channels; a multiple of 16.
        blocks: residual blocks with attention.
        noise: standard deviation of the error of the known frames in training, in standard deviations of the music.
        steps: steps of the midpoint rule; each evaluates the network twice.
        griffin_lim: iterations of Griffin-Lim.
    """

    SAMPLING_OPTIONS = frozenset({"temperature"})

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
        from torchaudio.functional import create_dct

        check_sizes(
            n_fft=n_fft, hop_length=hop_length, n_mels=n_mels, order=order, patch=patch, width=width, blocks=blocks
        )
        check_sizes(steps=steps, griffin_lim=griffin_lim)
        _check_fit(target_samples, n_fft, hop_length, order, patch, width, noise)
        self.patch, self.noise, self.steps = patch, noise, steps
        self.edge = n_fft // 2 // hop_length  # frames at each end that reach beyond the waveform
        self.new_frames = target_samples // (hop_length * patch) * patch
        self.log_mel = LogMel(sample_rate, n_fft, hop_length, n_mels)
        self.vocoder = GriffinLim(self.log_mel, griffin_lim)
        self.dct: Tensor
        self.register_buffer("dct", create_dct(n_mels, n_mels, norm="ortho").T, persistent=False)  # a cosine a row
        self.statistics = GenreStatistics(num_genres, n_mels, min_std=0.1)
        self.prior = AutoregressivePrior(num_genres, n_mels, order, torch.arange(n_mels) * 4 // n_mels)
        self.denoiser = Denoiser(n_mels, num_genres, patch, width, blocks)
        load_old_names(self, moments="statistics", persistence="prior", network="denoiser")  # words: ignore

    def loss(self, context: Tensor, target: Tensor, genre: Tensor) -> Tensor:
        """Mean squared error of the velocity in the unknown frames. Coefficients are weighted by their variance."""
        with torch.no_grad(), torch.autocast(context.device.type, enabled=False):  # the prior needs float32
            x, frames, mask, time, velocity, weight = self._training_batch(context, target, genre)
        error = (self._velocity(x, frames, mask, time, genre) - velocity).square() * weight
        loss: Tensor = error.sum() / weight.sum()
        return loss

    def _training_batch(self, context: Tensor, target: Tensor, genre: Tensor) -> tuple[Tensor, ...]:
        """The arguments of `_velocity` but the genre, the true velocity, and the weight of its error."""
        raw = self._whole_patches(self._cepstra(torch.cat([context, target], dim=1)))
        if self.training:
            self._update_statistics(raw, genre)
        mean, std = self.statistics(genre)
        cepstra = (raw - mean) / std  # [batch, n_mels, frames]
        batch, _, length = cepstra.shape
        prompt = cepstra
        known = torch.full((batch,), self._known_frames(context), device=cepstra.device)
        if self.training:  # another number of known frames half of the time: a window can follow any other
            other = torch.randint(0, length * 2 // 3, (batch,), device=cepstra.device)
            known = torch.where(torch.rand(batch, device=cepstra.device) < 0.5, known, other)
            # the error is constant over the frames; that of the first coefficient is an error in level
            prompt = cepstra + self.noise * torch.randn_like(cepstra[:, :, :1])
        mask = (torch.arange(length, device=cepstra.device) < known[:, None])[:, None].to(cepstra.dtype)
        # one time in each of `batch` equal parts of 0 to 1: the loss depends more on the time than on the window
        time = (torch.randperm(batch, device=cepstra.device) + torch.rand(batch, device=cepstra.device)) / batch
        white = torch.randn(*cepstra.shape[:2], length + 1, device=cepstra.device)
        expected, noise, scale, _ = self.prior.predict(prompt, mask, white, genre)
        residual = (cepstra - expected) / scale
        x = torch.lerp(noise, residual, time[:, None, None])
        return x, torch.lerp(expected, prompt, mask), mask, time, residual - noise, (1 - mask) * std.square()

    @torch.inference_mode()
    def stream(self, context: Tensor, genre: Tensor, sampling: Sampling) -> Iterator[Tensor]:
        """Sample the cepstra of each window, then make the waveform that continues the waveform before.

        Frame 0 is centred on the first sample. The last frames of a window overlap frames that do not exist yet; their
        samples are left to the next window.
        """
        hop, edge = self.log_mel.hop_length, self.edge
        raw = self._cepstra(context[:, context.shape[1] % hop :])
        skipped = raw.shape[2] - self._known_frames(context)
        mean, std = self.statistics(genre)
        cepstra = (raw[:, :, skipped:] - mean) / std
        waveform = context[:, context.shape[1] % hop + (edge + skipped) * hop :]
        window = cepstra.shape[2] + self.new_frames
        advance = window - window // 2 // self.patch * self.patch  # frames from window to window
        state: State | None = None
        while True:
            new = self._sample(cepstra, window - cepstra.shape[2], state, genre, sampling)
            cepstra = torch.cat([cepstra, new], dim=2)
            power = self._power(cepstra * std + mean)
            whole = self.vocoder(torch.cat([power, power[:, :, -1:].expand(-1, -1, edge)], dim=2), waveform)
            whole = whole[:, : (power.shape[2] - 1 - edge) * hop]
            yield whole[:, waveform.shape[1] :]
            state = self.prior.advance(cepstra[:, :, :advance], genre, state)
            cepstra, waveform = cepstra[:, :, advance:], whole[:, advance * hop :]

    def _sample(self, prompt: Tensor, count: int, state: State | None, genre: Tensor, sampling: Sampling) -> Tensor:
        """Sample `[batch, n_mels, count]` frames that follow the prompt `[batch, n_mels, known]`."""
        frames = functional.pad(prompt, (0, count))
        mask = functional.pad(torch.ones_like(prompt[:, :1]), (0, count))
        white = sampling.normal(frames.shape[1], frames.shape[2] + 1).to(prompt.device)
        expected, noise, scale, _ = self.prior.predict(frames, mask, white, genre, state)
        frames = torch.lerp(expected, frames, mask)
        x = sampling.temperature * noise
        step = 1.0 / self.steps
        for i in range(self.steps):
            time = x.new_full((len(x),), i * step)
            middle = x + step / 2 * self._velocity(x, frames, mask, time, genre)
            x = x + step * self._velocity(middle, frames, mask, time + step / 2, genre)
        mean, std = self.statistics(genre)
        low, high = ((limit - mean) / std for limit in self.statistics.limits(genre))
        sampled: Tensor = (expected + scale * x)[:, :, prompt.shape[2] :].clamp(low, high)
        return sampled

    def _velocity(self, x: Tensor, frames: Tensor, mask: Tensor, time: Tensor, genre: Tensor) -> Tensor:
        """The velocity at x_t: an analytic part plus the scaled output of the network.

        1. Suppose that residual r and noise n are independent and Gaussian, of mean 0 and the same variance V.
        2. x_t = (1 - t) n + t r then has the variance p V, with p = t^2 + (1 - t)^2.
        3. The covariance of r - n and x_t is t V - (1 - t) V = (2 t - 1) V.
        4. Therefore E[r - n | x_t] = (2 t - 1) / p * x_t. This is the analytic part.
        5. The network's input is x_t / sqrt(p), whose variance does not depend on t. Its output is divided by sqrt(p).

        Karras et al. 2022 (https://arxiv.org/abs/2206.00364) derive such a preconditioning for another path.
        """
        t = time[:, None, None]
        power = t.square() + (1 - t).square()
        seen = torch.cat([x * power.rsqrt() * (1 - mask), frames, mask], dim=1)
        velocity: Tensor = (2 * t - 1) / power * x + self.denoiser(seen, time, genre) * power.rsqrt()
        return velocity

    def _update_statistics(self, raw: Tensor, genre: Tensor) -> None:
        """Add training cepstra `[batch, n_mels, frames]` to the statistics and to the prior."""
        raw, genre = of_all_processes(raw), of_all_processes(genre)
        self.statistics.update(raw, genre)
        mean, std = self.statistics(genre)
        self.prior.update((raw - mean) / std, genre)

    def _known_frames(self, context: Tensor) -> int:
        """Number of frames that lie entirely in a context `[batch, samples]`, in whole patches."""
        mel = self.log_mel
        count = (context.shape[1] // mel.hop_length - 2 * self.edge + 1) // self.patch * self.patch
        if count < 1:
            needed = mel.n_fft + (self.patch - 1) * mel.hop_length
            raise UsageError(
                f"network.patch {self.patch}: longer than the context, {needed} samples against "
                f"{context.shape[1]}; reduce it, or n_fft or hop_length"
            )
        return count

    def _cepstra(self, waveform: Tensor) -> Tensor:
        """DCT of the log-mel spectrogram in dB, `[batch, n_mels, frames]`; only frames entirely in the waveform."""
        end = waveform.shape[1] // self.log_mel.hop_length - self.edge + 1
        power = self.log_mel.power(waveform)[:, :, self.edge : end]
        cepstra: Tensor = self.dct @ (10.0 * torch.log10(power.clamp_min(_MIN_POWER)))
        return cepstra

    def _whole_patches(self, frames: Tensor) -> Tensor:
        return frames[:, :, : frames.shape[2] // self.patch * self.patch]

    def _power(self, cepstra: Tensor) -> Tensor:
        """The inverse of `_cepstra`: mel power, `[batch, n_mels, frames]`."""
        power: Tensor = 10.0 ** (self.dct.T @ cepstra / 10.0)
        return power


def _check_fit(
    target_samples: int, n_fft: int, hop_length: int, order: int, patch: int, width: int, noise: float
) -> None:
    if target_samples < patch * hop_length:
        raise UsageError(
            f"network.patch {patch}: longer than the target, {patch * hop_length} samples against "
            f"{target_samples}; reduce it, or increase --data.target_seconds"
        )
    new_frames = target_samples // (hop_length * patch) * patch
    if order > new_frames:
        raise UsageError(f"network.order {order}: more than the {new_frames} frames of the target; reduce it")
    if width % 16:
        raise UsageError(f"network.width {width}: must be a multiple of 16")
    if n_fft // 2 % hop_length:
        raise UsageError(f"network.hop_length {hop_length}: must divide half of n_fft, {n_fft // 2}")
    check_not_negative("network.", noise=noise)
