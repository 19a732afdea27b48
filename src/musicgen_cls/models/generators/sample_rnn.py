"""A recurrent network that draws audio sample by sample."""

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
from musicgen_cls.models.generators.continuation import Continuation, Draw

PIECE_SECONDS = 0.1
LOWEST_HZ = 30.0  # what lies below is not predicted: a drift of the mean would be kept up for ever
PEAK = 8.0  # the outermost mu-law level, in standard deviations of the context's excitation
BASIS = 48  # cosines that the logits of the levels are made of: neighbours among the levels learn from each other


class SampleRNN(Continuation):
    """Two rates: a GRU hears the spectrum frame by frame, a perceptron draws samples one by one as it is told.

    After Mehri et al. 2017, "SampleRNN: An Unconditional End-to-End Neural Audio Generation Model"
    (https://arxiv.org/abs/1612.07837), whose frame tier conditions a sample tier with a choice among mu-law levels.
    What is drawn is what a linear predictor leaves over, as in Valin and Skoglund 2019, "LPCNet"
    (https://arxiv.org/abs/1810.11846): the signal is the sum of the predictor's guess from its own past and of an
    excitation, close to white, so that even a net trained for minutes makes sound of the right colour. Three things
    keep it steady for as long as it plays. The predictor is made anew for each frame from what was last heard, mixed
    with a little of the context's autocorrelation: tones are held, but the colour is drawn back to the context's. It
    is made for a signal of the context's loudness, whatever the loudness of the last frame. And in training the net
    hears itself louder or quieter than it is, and noisily, so that it learns to go back to where it should be.

    Args:
        num_genres: genres, which the frame tier is told.
        sample_rate: Hz.
        target_samples: not used; any length is learned from.
        frame: samples drawn with one state of the GRU.
        look_back: samples whose spectrum a frame is made from.
        order: of the linear predictor.
        anchor: the context's share in it.
        taps: samples of past excitation that the sample tier hears.
        hidden: size of the GRU.
        width: of the sample tier's layers.
        noise: standard deviation of the noise on the excitation heard in training, in those of the excitation.
        loudness_noise: standard deviation of the error of the loudness heard in training, dB, one draw a window.
        share: of the frames whose samples are learned from in a training step; the GRU hears all.
    """

    HEEDS: ClassVar[frozenset[str]] = frozenset({"temperature", "top_p"})

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
        self.forget = frame / sample_rate
        self.piece_frames = max(1, round(PIECE_SECONDS * sample_rate / frame))
        self.front = nn.Linear(2 * (look_back // 2 + 1) + 1, hidden)
        self.genre = nn.Embedding(num_genres, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.told = nn.Linear(hidden, width)
        self.heard = nn.Linear(taps, width, bias=False)
        self.inner = nn.Linear(width, width)
        self.out = nn.Linear(width, BASIS)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.window: Tensor
        self.register_buffer("window", _late_window(look_back), persistent=False)
        hz = torch.arange(look_back + 1) * sample_rate / (2 * look_back)
        self.audible: Tensor
        self.register_buffer("audible", (hz >= LOWEST_HZ).double(), persistent=False)
        levels = torch.arange(LEVELS)
        cosines = 2 * torch.cos(math.pi * torch.arange(BASIS) * levels[:, None] / MU)
        values = PEAK * decode(levels)
        width_of = (values.abs() + PEAK / MU).log()  # levels far out are wider, hence likelier
        self.basis: Tensor
        self.prior: Tensor
        self.register_buffer("basis", cosines, persistent=False)  # [LEVELS, BASIS]
        self.register_buffer("prior", width_of - values.square().log1p(), persistent=False)  # a bell with long tails

    def loss(self, context: Tensor, target: Tensor, genre: Tensor) -> Tensor:
        """Cross-entropy of the levels of the excitation, nats a sample, over context and target.

        Frames of the context are learned from too: there alone the anchor knows a little of what comes.
        """
        frames = (context.shape[1] - self.look_back) // self.frame + target.shape[1] // self.frame
        chosen = torch.arange(frames, device=context.device)
        if self.training:
            chosen = torch.randperm(frames, device=context.device)[: max(1, round(self.share * frames))]
        logits, levels = self(context, target, genre, chosen)
        return functional.cross_entropy(logits.flatten(0, 2), levels.flatten())

    def forward(self, context: Tensor, target: Tensor, genre: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """What it expects of each sample, told all before it.

        Args:
            context: waveforms, full scale 1, `[batch, context_samples]`.
            target: what follows, `[batch, target_samples]`.
            genre: labels, `[batch]`.
            chosen: the frames to answer for, `[chosen]`. Frames follow `look_back` samples, and one begins where the
                context ends.

        Returns:
            Logits `[batch, chosen, frame, LEVELS]`, and the levels of the excitation `[batch, chosen, frame]`.
        """
        if self.training:  # which way up a wave is says nothing
            up = torch.randint(2, (len(context), 1), device=context.device) * 2 - 1
            context, target = up * context, up * target
        gain, home = self._listen(context)
        x = torch.cat([context, target], dim=1)[:, (context.shape[1] - self.look_back) % self.frame :] / gain
        power = self._power(x.unfold(1, self.look_back, self.frame)[:, : (x.shape[1] - self.look_back) // self.frame])
        with torch.no_grad():
            filters = self._filters(power[:, chosen], home[:, None])
            reach = self.order + self.taps
            near = x[:, self.look_back - reach :].unfold(1, reach + self.frame, self.frame)[:, chosen]
            excitation = (near.unfold(2, self.order + 1, 1) @ filters[..., None]).squeeze(-1).float()
            levels = encode(excitation[..., self.taps :] / PEAK)
            heard = excitation[..., :-1].clamp(-PEAK, PEAK)  # [batch, chosen, taps + frame - 1]
            louder = torch.zeros(len(x), 1, 1, device=x.device)  # dB
            if self.training:
                louder = self.loudness_noise * torch.randn_like(louder)
                heard = (heard + self.noise * torch.randn_like(heard)) * 10 ** (louder / 20)
        states, _ = self.gru(self._features(power, home[:, None], genre[:, None], louder))
        hidden = self.told(states[:, chosen]).unsqueeze(2) + self.heard(heard.unfold(2, self.taps, 1))
        hidden = self.out(self.inner(hidden.relu()).relu())
        return functional.linear(hidden, self.basis, self.prior), levels

    @torch.inference_mode()
    def stream(self, context: Tensor, genre: Tensor, draw: Draw) -> Iterator[Tensor]:
        """Draws by the inverse of the distribution function, a uniform number a sample, in pieces of about 0.1 s."""
        gain, home = self._listen(context)
        x = context[:, (context.shape[1] - self.look_back) % self.frame :] / gain
        state = None
        if x.shape[1] > self.look_back:
            power = self._power(x.unfold(1, self.look_back, self.frame)[:, :-1])
            _, state = self.gru(self._features(power, home[:, None], genre[:, None]))
        x = x[:, -self.look_back :]
        values = PEAK * decode(torch.arange(LEVELS, device=x.device))
        values = torch.cat([values, values[-1:]])  # rounding may leave the sum of all probabilities below a draw
        heard, inner = self.heard.weight.T.contiguous(), self.inner.weight.T.contiguous()
        out = (self.basis @ self.out.weight / draw.temperature).T.contiguous()
        bias = (self.basis @ self.out.bias + self.prior) / draw.temperature
        excitation = torch.zeros(len(x), self.taps + self.frame, device=x.device)
        average = torch.ones(len(x), 1, dtype=x.dtype, device=x.device)
        while True:
            chance = draw.uniform(self.piece_frames * self.frame).to(x.device).T.unsqueeze(2).contiguous()
            piece = []
            for uniform in torch.split(chance, self.frame):
                power = self._power(x)
                filters = self._filters(power, home)
                average = average.lerp(power.mean(1, keepdim=True), self.forget)
                louder = -10 * average.log10().float()
                _, state = self.gru(self._features(power, home, genre, louder).unsqueeze(1), state)
                told = self.told(state[0])
                past = x[:, -self.order - self.taps :].unfold(1, self.order + 1, 1) @ filters[..., None]
                excitation[:, : self.taps] = past.squeeze(-1).clamp(-PEAK, PEAK)
                quieter = 10 ** (louder / 20)
                for step in range(self.frame):
                    end = self.taps + step
                    hidden = torch.addmm(told, quieter * excitation[:, step:end], heard).relu_()
                    hidden = torch.addmm(self.inner.bias, hidden, inner).relu_()
                    probabilities = torch.addmm(bias, hidden, out).softmax(1)
                    level = _level(probabilities, uniform[step], draw.top_p)
                    excitation[:, end : end + 1] = values.take(level)
                new = self._synthesise(x[:, -self.order :], excitation[:, self.taps :], filters)
                piece.append(new)
                x = torch.cat([x[:, self.frame :], new], dim=1)[:, -self.look_back :]
            yield (torch.cat(piece, dim=1) * gain).float()

    def _listen(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """The root mean square of contexts `[batch, 1]`, and their power spectra at that scale `[batch, bins]`."""
        if context.shape[1] < self.look_back:
            raise UsageError(f"network.look_back {self.look_back}: longer than the context, {context.shape[1]} samples")
        gain = context.double().square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-3)
        return gain, self._power((context / gain).unfold(1, self.look_back, self.look_back // 4)).mean(dim=1)

    def _power(self, x: Tensor) -> Tensor:
        """Power spectra of waveforms `[..., look_back]`, in `look_back + 1` bins; 1 on average for a power of 1."""
        spectrum = torch.view_as_real(torch.fft.rfft(x * self.window, 2 * self.look_back))
        power: Tensor = spectrum.square().sum(-1) / self.look_back * self.audible
        return power

    def _filters(self, power: Tensor, home: Tensor) -> Tensor:
        """From spectra `[..., bins]` to filters `[..., order + 1]`, oldest sample first, that leave the excitation.

        The predictors of least squares error (autocorrelation method), divided by the error that they expect.
        """
        recent, usual = (torch.fft.irfft(p)[..., : self.order + 1] for p in (power, home))
        mixed = (1 - self.anchor) * recent / (recent[..., :1] + 1e-6) + self.anchor * usual / (usual[..., :1] + 1e-6)
        mixed = torch.cat([mixed[..., :1] * (1 + 1e-6) + 1e-6, mixed[..., 1:]], dim=-1)  # silence counts as white
        lags = torch.arange(self.order, device=power.device)
        guess = torch.linalg.solve(mixed[..., (lags[:, None] - lags).abs()], mixed[..., 1:])
        error = (mixed[..., :1] - (guess * mixed[..., 1:]).sum(-1, keepdim=True)).clamp(min=1e-9).sqrt()
        filters: Tensor = torch.cat([-guess.flip(-1), torch.ones_like(error)], dim=-1) / error
        return filters

    def _features(self, power: Tensor, home: Tensor, genre: Tensor, louder: Tensor | float = 0.0) -> Tensor:
        """What the GRU hears of frames: spectra against the context's, that of the context, loudness, genre."""
        now, usual = ((p[..., ::2].float() + 1e-6).log10() for p in (power, home))  # bels
        loudness = (power.mean(-1, keepdim=True).float() + 1e-6).log10() + louder / 10
        heard = torch.cat([now - usual + louder / 10, (usual + 3).expand_as(now) / 2, loudness], dim=-1)
        features: Tensor = (self.front(heard) + self.genre(genre)).relu()
        return features

    def _synthesise(self, past: Tensor, excitation: Tensor, filters: Tensor) -> Tensor:
        """The samples `[batch, frame]` that `filters` would turn into `excitation`, `past` going before them."""
        frame, order = self.frame, self.order
        rows = functional.pad(filters.unsqueeze(1).expand(-1, frame, -1), (0, frame))  # [batch, frame, order+1+frame]
        band = rows.flatten(1)[:, :-frame].view(-1, frame, order + frame)  # each row one sample later than the last
        wanted = excitation.double().unsqueeze(2) - band[..., :order] @ past.unsqueeze(2)
        new: Tensor = torch.linalg.solve_triangular(band[..., order:], wanted, upper=False).squeeze(2)
        return new


def _late_window(length: int) -> Tensor:
    """A window whose peak lies at nine tenths of its length, float64, with a mean square of 1."""
    fall = length // 10
    rise = length - fall
    half = math.pi / 2
    up = torch.sin(half * (torch.arange(rise, dtype=torch.float64) + 0.5) / rise)
    down = torch.cos(half * (torch.arange(fall, dtype=torch.float64) + 0.5) / max(1, fall))
    window = torch.cat([up, down])
    return window / window.square().mean().sqrt()


def _level(probabilities: Tensor, uniform: Tensor, top_p: float) -> Tensor:
    """The level `[batch, 1]` at which `probabilities` `[batch, LEVELS]` have summed up to `uniform` `[batch, 1]`."""
    if top_p >= 1:
        return torch.searchsorted(probabilities.cumsum(1), uniform)
    likeliest, levels = probabilities.sort(dim=1, descending=True)
    total = likeliest.cumsum(1)
    kept = total.gather(1, (total < top_p).sum(1, keepdim=True).clamp(max=LEVELS - 1))
    return levels.gather(1, torch.searchsorted(total, uniform * kept).clamp(max=LEVELS - 1))
