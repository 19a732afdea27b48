"""A recurrent network that generates audio sample by sample."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from musicgen_cls.audio.mulaw import LEVELS, MU, decode, encode
from musicgen_cls.errors import UsageError, check_not_negative
from musicgen_cls.models.classifiers.blocks import check_sizes
from musicgen_cls.models.generators.continuation import Continuation, Sampling
from musicgen_cls.models.renamed_keys import load_old_names

PIECE_SECONDS = 0.1
LOWEST_HZ = 30.0  # lower frequencies are not predicted: a drift of the mean would never decay
PEAK = 8.0  # the outermost mu-law level, in standard deviations of the context's excitation
BASIS = 48  # cosines that the logits are a sum of: neighbouring levels share what is learned


class SampleRNN(Continuation):
    """Generates audio sample by sample: a GRU over frames, a multilayer perceptron over samples, a linear predictor.

    After Mehri et al. 2017, "SampleRNN: An Unconditional End-to-End Neural Audio Generation Model"
    (https://arxiv.org/abs/1612.07837): a frame tier conditions a sample tier, which samples mu-law levels. The linear
    predictor follows Valin and Skoglund 2019, "LPCNet" (https://arxiv.org/abs/1810.11846):

    1. Scale. The waveform x is divided by the root mean square of the context.
    2. Prediction error. For each frame, `order` coefficients p_i predict a sample from the samples before it. The
       excitation u_t = (x_t - p_1 x_{t-1} - ... - p_n x_{t-n}) / g is nearly white. g is its expected standard
       deviation. So even a network trained for minutes gives audio with the right spectrum.
    3. The coefficients minimise the mean squared error given the autocorrelation of the last `look_back` samples,
       mixed with the autocorrelation of the context by the weight `anchor`. The last samples sustain tones; the
       context keeps the spectrum from drifting.
    4. Frame tier. A GRU reads the spectrum of the last `look_back` samples, that of the context, and the genre.
    5. Sample tier. The perceptron reads the GRU's state and the last `taps` values of the excitation. It gives logits
       of the mu-law levels of u_t.
    6. Synthesis. A level is sampled, and x_t = g u_t + p_1 x_{t-1} + ... + p_n x_{t-n}.

    In training the excitation has noise and an error in loudness, so that the network learns to correct its own errors.

    Args:
        num_genres: number of genres.
        sample_rate: Hz.
        target_samples: not used; the network is trained on any length.
        frame: samples in a frame of the GRU.
        look_back: length of the waveform whose spectrum a frame has, samples.
        order: order of the linear predictor.
        anchor: weight of the context in the predictor's autocorrelation, more than 0 and at most 1.
        taps: past samples of the excitation in the input of the sample tier.
        hidden: size of the GRU.
        width: size of the sample tier's layers.
        noise: standard deviation of the noise on the excitation in training, in standard deviations of the excitation.
        loudness_noise: standard deviation of the loudness error in training, dB, one value for each window.
        share: fraction of the frames whose samples enter the loss of a training step; the GRU reads all frames.
    """

    SAMPLING_OPTIONS: ClassVar[frozenset[str]] = frozenset({"temperature", "top_p"})

    def __init__(
        self,
        num_genres: int,
        sample_rate: int,
        target_samples: int,
        frame: int = 64,
        look_back: int = 512,
        order: int = 64,
        anchor: float = 0.05,
        taps: int = 64,
        hidden: int = 256,
        width: int = 128,
        noise: float = 0.1,
        loudness_noise: float = 6.0,
        share: float = 0.25,
    ) -> None:
        super().__init__()
        check_sizes(num_genres=num_genres, sample_rate=sample_rate, target_samples=target_samples, frame=frame)
        check_sizes(look_back=look_back, order=order, taps=taps, hidden=hidden, width=width)
        if look_back % 2 or order + taps > look_back:
            raise UsageError(f"network.look_back {look_back}: must be even, and at least order + taps {order + taps}")
        if not (0 < anchor <= 1 and 0 < share <= 1):
            raise UsageError(f"network.anchor {anchor}, network.share {share}: must be more than 0 and at most 1")
        check_not_negative("network.", noise=noise, loudness_noise=loudness_noise)
        self.frame, self.look_back, self.order, self.taps = frame, look_back, order, taps
        self.anchor, self.noise, self.loudness_noise, self.share = anchor, noise, loudness_noise, share
        self.loudness_rate = frame / sample_rate
        self.piece_frames = max(1, round(PIECE_SECONDS * sample_rate / frame))
        self.front = nn.Linear(2 * (look_back // 2 + 1) + 1, hidden)
        self.genre = nn.Embedding(num_genres, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.from_state = nn.Linear(hidden, width)
        self.from_excitation = nn.Linear(taps, width, bias=False)
        self.inner = nn.Linear(width, width)
        self.out = nn.Linear(width, BASIS)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        load_old_names(self, told="from_state", heard="from_excitation")  # words: ignore
        self.window: Tensor
        self.register_buffer("window", _asymmetric_window(look_back), persistent=False)
        hz = torch.arange(look_back + 1) * sample_rate / (2 * look_back)
        self.passband: Tensor
        self.register_buffer("passband", (hz >= LOWEST_HZ).double(), persistent=False)
        self.basis: Tensor
        self.prior: Tensor
        basis, prior = _basis_and_prior()
        self.register_buffer("basis", basis, persistent=False)
        self.register_buffer("prior", prior, persistent=False)

    def loss(self, context: Tensor, target: Tensor, genre: Tensor) -> Tensor:
        """Cross-entropy of the excitation's levels in context and target, nats per sample.

        In the context, the predictor also depends on later samples, with the weight `anchor`.
        """
        frames = (context.shape[1] - self.look_back) // self.frame + target.shape[1] // self.frame
        chosen = torch.arange(frames, device=context.device)
        if self.training:
            chosen = torch.randperm(frames, device=context.device)[: max(1, round(self.share * frames))]
        logits, levels = self(context, target, genre, chosen)
        return functional.cross_entropy(logits.flatten(0, 2), levels.flatten())

    def forward(self, context: Tensor, target: Tensor, genre: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of each sample, given all samples before it.

        Args:
            context: waveforms, full scale 1, `[batch, context_samples]`.
            target: the audio that follows, `[batch, target_samples]`.
            genre: labels, `[batch]`.
            chosen: frames whose logits are wanted, `[chosen]`. Frames begin `look_back` samples after the start, and
                a frame begins where the context ends.

        Returns:
            Logits `[batch, chosen, frame, LEVELS]`, and the levels of the excitation `[batch, chosen, frame]`.
        """
        if self.training:  # the sign of a waveform has no meaning
            sign = torch.randint(2, (len(context), 1), device=context.device) * 2 - 1
            context, target = sign * context, sign * target
        gain, reference = self._analyse(context)
        x = torch.cat([context, target], dim=1)[:, (context.shape[1] - self.look_back) % self.frame :] / gain
        power = self._power(x.unfold(1, self.look_back, self.frame)[:, : (x.shape[1] - self.look_back) // self.frame])
        with torch.no_grad():
            filters = self._filters(power[:, chosen], reference[:, None])
            reach = self.order + self.taps
            near = x[:, self.look_back - reach :].unfold(1, reach + self.frame, self.frame)[:, chosen]
            excitation = (near.unfold(2, self.order + 1, 1) @ filters[..., None]).squeeze(-1).float()
            levels = encode(excitation[..., self.taps :] / PEAK)
            past = excitation[..., :-1].clamp(-PEAK, PEAK)  # [batch, chosen, taps + frame - 1]
            gain_db = torch.zeros(len(x), 1, 1, device=x.device)
            if self.training:
                gain_db = self.loudness_noise * torch.randn_like(gain_db)
                past = (past + self.noise * torch.randn_like(past)) * 10 ** (gain_db / 20)
        states, _ = self.gru(self._features(power, reference[:, None], genre[:, None], gain_db))
        hidden = self.from_state(states[:, chosen]).unsqueeze(2) + self.from_excitation(past.unfold(2, self.taps, 1))
        hidden = self.out(self.inner(hidden.relu()).relu())
        return functional.linear(hidden, self.basis, self.prior), levels

    @torch.inference_mode()
    def stream(self, context: Tensor, genre: Tensor, sampling: Sampling) -> Iterator[Tensor]:
        """Sample by inversion of the cumulative distribution, one uniform number a sample, in pieces of about 0.1 s."""
        gain, reference = self._analyse(context)
        x = context[:, (context.shape[1] - self.look_back) % self.frame :] / gain
        state = None
        if x.shape[1] > self.look_back:
            power = self._power(x.unfold(1, self.look_back, self.frame)[:, :-1])
            _, state = self.gru(self._features(power, reference[:, None], genre[:, None]))
        x = x[:, -self.look_back :]
        values = PEAK * decode(torch.arange(LEVELS, device=x.device))
        values = torch.cat([values, values[-1:]])  # by rounding, a uniform number can exceed the sum of probabilities
        taps, inner = self.from_excitation.weight.T.contiguous(), self.inner.weight.T.contiguous()
        out = (self.basis @ self.out.weight / sampling.temperature).T.contiguous()
        bias = (self.basis @ self.out.bias + self.prior) / sampling.temperature
        excitation = torch.zeros(len(x), self.taps + self.frame, device=x.device)
        average = torch.ones(len(x), 1, dtype=x.dtype, device=x.device)  # running mean of the power
        while True:
            random = sampling.uniform(self.piece_frames * self.frame).to(x.device).T.unsqueeze(2).contiguous()
            piece = []
            for uniform in torch.split(random, self.frame):
                power = self._power(x)
                filters = self._filters(power, reference)
                average = average.lerp(power.mean(1, keepdim=True), self.loudness_rate)
                gain_db = -10 * average.log10().float()  # from the running mean to the context's loudness
                _, state = self.gru(self._features(power, reference, genre, gain_db).unsqueeze(1), state)
                from_state = self.from_state(state[0])
                past = x[:, -self.order - self.taps :].unfold(1, self.order + 1, 1) @ filters[..., None]
                excitation[:, : self.taps] = past.squeeze(-1).clamp(-PEAK, PEAK)
                factor = 10 ** (gain_db / 20)
                for step in range(self.frame):
                    end = self.taps + step
                    hidden = torch.addmm(from_state, factor * excitation[:, step:end], taps).relu_()
                    hidden = torch.addmm(self.inner.bias, hidden, inner).relu_()
                    probabilities = torch.addmm(bias, hidden, out).softmax(1)
                    level = _level(probabilities, uniform[step], sampling.top_p)
                    excitation[:, end : end + 1] = values.take(level)
                new = self._synthesise(x[:, -self.order :], excitation[:, self.taps :], filters)
                piece.append(new)
                x = torch.cat([x[:, self.frame :], new], dim=1)[:, -self.look_back :]
            yield (torch.cat(piece, dim=1) * gain).float()

    def _analyse(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Root mean square of contexts, `[batch, 1]`, and their mean power spectra at that scale, `[batch, bins]`."""
        if context.shape[1] < self.look_back:
            raise UsageError(f"network.look_back {self.look_back}: longer than the context, {context.shape[1]} samples")
        gain = context.double().square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-3)
        return gain, self._power((context / gain).unfold(1, self.look_back, self.look_back // 4)).mean(dim=1)

    def _power(self, x: Tensor) -> Tensor:
        """Power spectra `[..., look_back + 1]` of waveforms `[..., look_back]`; their mean is 1 for a power of 1."""
        spectrum = torch.view_as_real(torch.fft.rfft(x * self.window, 2 * self.look_back))
        power: Tensor = spectrum.square().sum(-1) / self.look_back * self.passband
        return power

    def _filters(self, power: Tensor, reference: Tensor) -> Tensor:
        """Prediction error filters from power spectra: the autocorrelation method of linear prediction.

        1. The autocorrelation R is the inverse Fourier transform of the power spectrum, divided by R_0. That of the
           frame and that of the context are mixed: (1 - anchor) frame + anchor context.
        2. The coefficients p that minimise the mean squared error solve the normal equations
           sum_j R_|i-j| p_j = R_i, with i and j from 1 to `order`.
        3. The mean squared error is g^2 = R_0 - sum_i p_i R_i.
        4. The filter that turns the waveform into the excitation is (1, -p_1, ..., -p_order) / g.

        Args:
            power: of frames, `[..., bins]`.
            reference: of the context, `[..., bins]`.

        Returns:
            `[..., order + 1]`, that of the oldest sample first.
        """
        frame, context = (torch.fft.irfft(p)[..., : self.order + 1] for p in (power, reference))
        mixed = (1 - self.anchor) * frame / (frame[..., :1] + 1e-6) + self.anchor * context / (context[..., :1] + 1e-6)
        mixed = torch.cat([mixed[..., :1] * (1 + 1e-6) + 1e-6, mixed[..., 1:]], dim=-1)  # for silence: a white spectrum
        lags = torch.arange(self.order, device=power.device)
        coefficients = torch.linalg.solve(mixed[..., (lags[:, None] - lags).abs()], mixed[..., 1:])
        error = (mixed[..., :1] - (coefficients * mixed[..., 1:]).sum(-1, keepdim=True)).clamp(min=1e-9).sqrt()
        filters: Tensor = torch.cat([-coefficients.flip(-1), torch.ones_like(error)], dim=-1) / error
        return filters

    def _features(self, power: Tensor, reference: Tensor, genre: Tensor, gain_db: Tensor | float = 0.0) -> Tensor:
        """Input of the GRU for frames: spectrum relative to the context's, spectrum of the context, loudness, genre."""
        now, context = ((p[..., ::2].float() + 1e-6).log10() for p in (power, reference))  # log10 of the power: bels
        loudness = (power.mean(-1, keepdim=True).float() + 1e-6).log10() + gain_db / 10
        spectra = torch.cat([now - context + gain_db / 10, (context + 3).expand_as(now) / 2, loudness], dim=-1)
        features: Tensor = (self.front(spectra) + self.genre(genre)).relu()
        return features

    def _synthesise(self, past: Tensor, excitation: Tensor, filters: Tensor) -> Tensor:
        """Samples `[batch, frame]` whose excitation, after the samples `past`, is the given one.

        The filter applied to past and new samples is a band matrix. Its part for the new samples is triangular, so that
        they follow one from the other.
        """
        frame, order = self.frame, self.order
        rows = functional.pad(filters.unsqueeze(1).expand(-1, frame, -1), (0, frame))  # [batch, frame, order+1+frame]
        band = rows.flatten(1)[:, :-frame].view(-1, frame, order + frame)  # each row is shifted by one sample
        wanted = excitation.double().unsqueeze(2) - band[..., :order] @ past.unsqueeze(2)
        new: Tensor = torch.linalg.solve_triangular(band[..., order:], wanted, upper=False).squeeze(2)
        return new


def _asymmetric_window(length: int) -> Tensor:
    """A window with its peak at nine tenths of its length, near the newest samples; float64, mean square 1."""
    fall = length // 10
    rise = length - fall
    half = math.pi / 2
    up = torch.sin(half * (torch.arange(rise, dtype=torch.float64) + 0.5) / rise)
    down = torch.cos(half * (torch.arange(fall, dtype=torch.float64) + 0.5) / max(1, fall))
    window = torch.cat([up, down])
    return window / window.square().mean().sqrt()


def _basis_and_prior() -> tuple[Tensor, Tensor]:
    """Cosines over the levels, `[LEVELS, BASIS]`, and the levels' logits in a Cauchy distribution, `[LEVELS]`."""
    levels = torch.arange(LEVELS)
    basis = 2 * torch.cos(math.pi * torch.arange(BASIS) * levels[:, None] / MU)
    values = PEAK * decode(levels)
    log_widths = (values.abs() + PEAK / MU).log()  # a mu-law level far from 0 covers a wider range of values
    return basis, log_widths - values.square().log1p()


def _level(probabilities: Tensor, uniform: Tensor, top_p: float) -> Tensor:
    """The level `[batch, 1]` at which the cumulative sum of `probabilities` `[batch, LEVELS]` reaches `uniform`."""
    if top_p >= 1:
        return torch.searchsorted(probabilities.cumsum(1), uniform)
    descending, levels = probabilities.sort(dim=1, descending=True)
    total = descending.cumsum(1)
    kept = total.gather(1, (total < top_p).sum(1, keepdim=True).clamp(max=LEVELS - 1))
    return levels.gather(1, torch.searchsorted(total, uniform * kept).clamp(max=LEVELS - 1))
