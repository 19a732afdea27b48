"""A causal network at two rates that draws one sample after another."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from musicgen_cls.audio import mulaw
from musicgen_cls.models.blocks import check_sizes
from musicgen_cls.models.continuation import Continuation, Draw


class SampleRNN(Continuation):
    """A GRU over frames tells a sample-level network what to expect; that one draws each sample from 256 levels.

    After Mehri et al. 2017, "SampleRNN: An Unconditional End-to-End Neural Audio Generation Model"
    (https://arxiv.org/abs/1612.07837), with two tiers. The distribution is over mu-law levels, and is drawn from: the
    mean of all that may follow, which fades to silence, is never taken. Genre is told to the slow tier. In training the
    samples that it hears are disturbed by some noise, so that it learns to go on from its own mistakes.

    Args:
        num_genres: genres.
        sample_rate: of no use to it.
        target_samples: of no use to it: it learns to foretell every sample from those before it.
        frame: samples in a frame.
        hidden: units of the GRU.
        layers: of the GRU.
        width: units of the sample-level network.
        memory: how many samples the sample-level network hears.
        noise: spread of what is added to the samples heard in training, in mu-law levels.
        share: of the frames of a window, so many are foretold in a training step; the GRU hears them all.
    """

    HEEDS = frozenset({"temperature", "top_p"})

    def __init__(
        self,
        num_genres: int,
        sample_rate: int,
        target_samples: int,
        frame: int = 32,
        hidden: int = 384,
        layers: int = 1,
        width: int = 256,
        memory: int = 16,
        noise: float = 1.5,
        share: float = 0.125,
    ) -> None:
        super().__init__()
        check_sizes(frame=frame, hidden=hidden, layers=layers, width=width, memory=memory)
        check_sizes(**{"frame (less than memory)": frame - memory + 1})
        self.frame, self.width, self.memory, self.noise, self.share = frame, width, memory, noise, share
        self.genre = nn.Embedding(num_genres, hidden)
        self.listen = nn.Linear(frame, hidden)
        self.gru = nn.GRU(hidden, hidden, layers, batch_first=True)
        self.expect = nn.Linear(hidden, frame * width)
        # Row p * LEVELS + level is what a sample of that level adds, p samples after the oldest that is remembered.
        self.heard = nn.EmbeddingBag(memory * mulaw.LEVELS, width, mode="sum")
        nn.init.normal_(self.heard.weight, std=memory**-0.5)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, mulaw.LEVELS)
        self.register_buffer("places", mulaw.LEVELS * torch.arange(memory), persistent=False)

    places: Tensor

    def loss(self, context: Tensor, target: Tensor, genre: Tensor) -> Tensor:
        """Cross-entropy, nats a sample, of frames of context and target, each sample foretold from those before it."""
        levels = mulaw.encode(torch.cat([context, target], dim=1))
        heard = levels
        if self.training and self.noise:
            disturbed = levels + torch.randint_like(levels, 2**16).float().sub(2**15).mul(self._scale()).round().long()
            heard = disturbed.clamp(0, mulaw.LEVELS - 1)
        frames = levels.shape[1] // self.frame
        expected = self._expect(heard[:, : frames * self.frame].contiguous(), genre)[:, :-1]  # of frame 1 and on
        which = torch.arange(frames - 1, device=levels.device)
        if self.training and self.share < 1:
            which = torch.randperm(frames - 1, device=levels.device)[: max(1, round(self.share * (frames - 1)))]
        starts = (which + 1) * self.frame
        at = starts[:, None] + torch.arange(self.frame, device=levels.device)  # [frames, frame]
        past = at[..., None] - self.memory + torch.arange(self.memory, device=levels.device)
        logits = self._foretell(self.expect(expected[:, which]).unflatten(2, (self.frame, self.width)), heard[:, past])
        return functional.cross_entropy(logits.flatten(0, 2), levels[:, at].flatten())

    def stream(self, context: Tensor, genre: Tensor, draw: Draw) -> Iterator[Tensor]:
        """Frame after frame, each sample drawn; the GRU's state is all that is kept."""
        levels = mulaw.encode(context)
        whole = levels[:, levels.shape[1] % self.frame :].contiguous()
        steps, state = self.gru(self._listen(whole, genre))
        expected = steps[:, -1:]
        while True:
            expectation = self.expect(expected).unflatten(2, (self.frame, self.width))[:, 0]
            drawn = self._draw_frame(expectation, whole[:, -self.memory :], draw)
            yield mulaw.decode(drawn)
            whole = drawn
            expected, state = self.gru(self._listen(drawn, genre), state)

    def _scale(self) -> float:
        """From a number of 16 bits, evenly spread, to noise of the spread asked for."""
        return self.noise * 12**0.5 / 2**16

    def _listen(self, levels: Tensor, genre: Tensor) -> Tensor:
        """Frames of levels `[batch, frames * frame]` as the GRU hears them `[batch, frames, hidden]`."""
        companded = (2.0 / (mulaw.LEVELS - 1)) * levels.float() - 1.0
        heard: Tensor = self.listen(4.0 * companded.view(len(levels), -1, self.frame)) + self.genre(genre)[:, None]
        return heard

    def _expect(self, levels: Tensor, genre: Tensor) -> Tensor:
        """What the GRU says after each frame `[batch, frames, hidden]`."""
        steps: Tensor = self.gru(self._listen(levels, genre))[0]
        return steps

    def _foretell(self, expectation: Tensor, past: Tensor) -> Tensor:
        """Logits `[..., LEVELS]` from what is expected `[..., width]` and the samples before `[..., memory]`."""
        bags = (past + self.places).flatten(0, -2)
        known = self.heard(bags).view(expectation.shape)
        inner = functional.relu(self.inner(functional.relu(known + expectation)))
        logits: Tensor = self.outer(inner)
        return logits

    def _draw_frame(self, expectation: Tensor, past: Tensor, draw: Draw) -> Tensor:
        """Draw `[batch, frame]` levels, given what is expected `[batch, frame, width]` and the last samples."""
        chance = draw.uniform(self.frame).to(past.device)
        levels = torch.cat([past, past.new_zeros(len(past), self.frame)], dim=1)
        table, inner, outer = self.heard.weight, self.inner, self.outer
        for i in range(self.frame):
            bags = levels[:, i : i + self.memory] + self.places
            known = functional.embedding_bag(bags, table, mode="sum")
            logits = outer(torch.relu_(inner(torch.relu_(known.add_(expectation[:, i])))))
            levels[:, self.memory + i] = _pick(logits, chance[:, i : i + 1], draw.temperature, draw.top_p)
        return levels[:, self.memory :]


def _pick(logits: Tensor, chance: Tensor, temperature: float, top_p: float) -> Tensor:
    """Draw one level a row by the inverse of its cumulative distribution.

    Args:
        logits: `[batch, LEVELS]`.
        chance: from 0 to 1, `[batch, 1]`.
        temperature: divides the logits.
        top_p: levels beyond this much of the probability, from the likeliest down, are left out (Holtzman et al. 2020,
            https://arxiv.org/abs/1904.09751).
    """
    probabilities = torch.softmax(logits / temperature, dim=1)
    if top_p < 1.0:
        ordered, order = probabilities.sort(dim=1, descending=True)
        ordered[ordered.cumsum(dim=1) - ordered > top_p] = 0.0
        probabilities = torch.zeros_like(ordered).scatter_(1, order, ordered)
    cumulative = probabilities.cumsum(dim=1)
    return torch.searchsorted(cumulative, chance * cumulative[:, -1:]).squeeze(1).clamp_(max=mulaw.LEVELS - 1)
