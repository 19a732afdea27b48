"""What the past of a piece of music tells of what follows, before anything is learned."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

_GRANTED = 24.0  # squares: about what one token tells of a group
_WIDEST = 4.0


class Past(NamedTuple):
    """What is kept of the tokens gone by, float32 `[batch, size]` each.

    Attributes:
        last: the last of them.
        pull: what they say of the part that stays, each say weighed by its sureness.
        sureness: how sure that is, an inverse variance.
        surprise: squares of how far they were from what was expected, in the spread of that, summed group by group,
            `[batch, groups]`.
        squares: how many that are, `[batch, groups]`.
    """

    last: Tensor
    pull: Tensor
    sureness: Tensor
    surprise: Tensor
    squares: Tensor


class Persistence(nn.Module):
    """Tokens as what stays for a whole piece and what passes.

    Each part z of a token, of mean 0 and variance 1, is taken as z_t = m + a_t: m, of variance s, belongs to the piece;
    a, of variance 1 - s, is a first-order autoregression, a_t = k a_{t-1} + e_t. Neighbours are then correlated by
    s + (1 - s) k, tokens far apart by s; both correlations are measured, the latter from end to end of the windows
    trained on. What is heard tells of m token by token: z_t - k z_{t-1} = (1 - k) m + e_t, an observation of m with the
    error e_t of variance (1 - k^2)(1 - s), and sums of such observations are all that need be remembered
    (a Kalman filter with one state that does not move).

    Pieces differ, too, in how much surprise there is in them: beats are steep, strings are smooth. What was heard tells
    of it, group by group of parts: s^2 = (c + sum of squares) / (c + number of squares), the squares being those of
    how far tokens were from what was expected, in the spread of that, and c what is taken for granted before.

    Genres differ in how long things stay, and each has correlations of its own.

    Args:
        num_genres: genres.
        size: of a token.
        groups: the group that each part belongs to, `[size]`, from 0; all to one if None.
    """

    def __init__(self, num_genres: int, size: int, groups: Tensor | None = None) -> None:
        super().__init__()
        groups = torch.zeros(size, dtype=torch.long) if groups is None else groups
        self.members: Tensor
        self.register_buffer("members", nn.functional.one_hot(groups).float(), persistent=False)  # [size, groups]
        self.products: Tensor
        self.windows: Tensor
        self.register_buffer("products", torch.zeros(num_genres, 2, size))  # of neighbours, of ends; means over windows
        self.register_buffer("windows", torch.zeros(num_genres))

    def measure(self, tokens: Tensor, genre: Tensor) -> None:
        """Take windows of tokens `[batch, size, tokens]`, two tokens or more, of genres `[batch]` into account."""
        end = max(tokens.shape[2] // 8, 1)
        near = tokens[:, :, 1:] * tokens[:, :, :-1]
        far = tokens[:, :, -end:] * tokens[:, :, :end]
        products = torch.stack([near.mean(dim=2), far.mean(dim=2)], dim=1)
        for label in sorted(set(genre.tolist())):
            own = products[genre == label]
            self.windows[label] += len(own)
            self.products[label] = self.products[label].lerp(own.mean(dim=0), len(own) / self.windows[label])

    def follow(
        self, heard: Tensor, mask: Tensor, white: Tensor, genre: Tensor, past: Past | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Past]:
        """What is to be expected after what was heard, noise around it that has the right pace, and how wide it is.

        Args:
            heard: tokens, `[batch, size, tokens]`, of which those that `mask` has are known, the first so many.
            mask: 1 where known, else 0, `[batch, 1, tokens]`.
            white: independent normal numbers, `[batch, size, tokens + 1]`.
            genre: labels, `[batch]`.
            past: what went before.

        Returns:
            Expected tokens and noise, `[batch, size, tokens]`, to be used where the mask has 0; how many times wider
            than on average what follows is spread around the former, `[batch, size, 1]`; and the past of what would
            follow.
        """
        keep, stays = self._split(genre)
        carried, error = 1 - keep, (1 - keep.square()) * (1 - stays)
        nothing = torch.zeros_like(white[:, :, 0])
        none = torch.zeros_like(nothing @ self.members)
        last, pull, sureness, surprise, squares = past or Past(nothing, nothing, nothing + 1 / stays, none, none)
        astray, expected, noise, squared = nothing, [], [], []
        for i in range(heard.shape[2]):
            known, token = mask[:, :, i], heard[:, :, i]
            first = past is None and i == 0  # nothing passes on to it: it is m + a_0
            share, variance = (torch.ones_like(stays), 1 - stays) if first else (carried, error)
            expected.append(keep * last + share * pull / sureness)
            astray = keep * astray + share * white[:, :, -1] * sureness.rsqrt() + variance.sqrt() * white[:, :, i]
            noise.append(astray)
            squared.append((token - expected[-1]).square() / (variance + share.square() / sureness))
            pull = pull + known * share * (token - keep * last) / variance
            sureness = sureness + known * share.square() / variance
            last, astray = torch.lerp(expected[-1], token, known), astray * (1 - known)
        surprise = surprise + (torch.stack(squared, dim=2) * mask).sum(dim=2) @ self.members
        squares = squares + mask.sum(dim=2) * self.members.sum(dim=0)
        wider = ((_GRANTED + surprise) / (_GRANTED + squares)).sqrt().clamp(1 / _WIDEST, _WIDEST) @ self.members.T
        after = Past(last, pull, sureness, surprise, squares)
        return torch.stack(expected, dim=2), torch.stack(noise, dim=2), wider[:, :, None], after

    def remember(self, tokens: Tensor, genre: Tensor, past: Past | None = None) -> Past:
        """The past, when tokens `[batch, size, tokens]` have gone by too."""
        white = tokens.new_zeros(*tokens.shape[:2], tokens.shape[2] + 1)
        return self.follow(tokens, torch.ones_like(tokens[:, :1]), white, genre, past)[3]

    def _split(self, genre: Tensor) -> tuple[Tensor, Tensor]:
        """What of what passes is left a token later, and the variance of what stays, `[batch, size]` each."""
        near, far = self.products[genre].clamp(-0.98, 0.98).unbind(dim=1)
        stays = torch.minimum(far, near).clamp(0.01, 0.95)
        return ((near - stays) / (1 - stays)).clamp(-0.98, 0.98), stays
