"""What the past of a piece of music tells of what follows, before anything is learned."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

_GRANTED = 24.0  # squares: about what one token tells of a group
_WIDEST = 4.0
_NOISE = 1e-3  # of the power, white: keeps what is measured from being taken for foretold to the last digit


class Past(NamedTuple):
    """What is kept of the tokens gone by, float32 `[batch, size]` each if nothing else is said.

    Attributes:
        recent: the last of them, oldest first, `[batch, size, at most order]`.
        pull: what they say of the part that stays, each say weighed by its sureness.
        sureness: how sure that is, an inverse variance.
        surprise: squares of how far they were from what was expected, in the spread of that, summed group by group,
            `[batch, groups]`.
        squares: how many that are, `[batch, groups]`.
    """

    recent: Tensor
    pull: Tensor
    sureness: Tensor
    surprise: Tensor
    squares: Tensor


class Persistence(nn.Module):
    """Tokens as what stays for a whole piece and what passes.

    Each part z of a token, of mean 0 and variance 1, is taken as z_t = m + a_t: m, of variance s, belongs to the piece;
    a, of variance 1 - s, is an autoregression, a_t = k_1 a_{t-1} + ... + k_n a_{t-n} + e_t. Tokens j apart are then
    correlated by s + (1 - s) r_j, r the autocorrelation of a, and tokens far apart by s. These correlations are
    measured, the latter from end to end of the windows trained on (but s is taken to be no more than what tokens n / 2
    to n apart are correlated by). The recursion of Levinson and Durbin (Durbin 1960, "The Fitting of Time-Series
    Models") makes of r the k of every order, and the variance of e: the t-th token is foretold from the t before it,
    as long as there are fewer than n. What is heard tells of m token by token: z_t - k_1 z_{t-1} - ... =
    (1 - k_1 - ...) m + e_t is an observation of m with the error e_t, and sums of such observations are all that need
    be remembered (a Kalman filter with one state that does not move).

    An order of more than 1 matters because frames of a spectrogram overlap, and go on as they went: without that no
    sound has the spectrogram that is drawn, and what is made of it is rough.

    Pieces differ, too, in how much surprise there is in them: beats are steep, strings are smooth. What was heard tells
    of it, group by group of parts: s^2 = (c + sum of squares) / (c + number of squares), the squares being those of
    how far tokens were from what was expected, in the spread of that, and c what is taken for granted before.

    Genres differ in how long things stay, and each has correlations of its own.

    Args:
        num_genres: genres.
        size: of a token.
        order: n, how many tokens before are looked at.
        groups: the group that each part belongs to, `[size]`, from 0; all to one if None.
    """

    def __init__(self, num_genres: int, size: int, order: int, groups: Tensor | None = None) -> None:
        super().__init__()
        self.order = order
        groups = torch.zeros(size, dtype=torch.long) if groups is None else groups
        self.members: Tensor
        self.register_buffer("members", nn.functional.one_hot(groups).float(), persistent=False)  # [size, groups]
        self.products: Tensor
        self.windows: Tensor
        # of tokens 0 to order apart, and of ends; means over windows
        self.register_buffer("products", torch.zeros(num_genres, order + 2, size))
        self.register_buffer("windows", torch.zeros(num_genres))

    def measure(self, tokens: Tensor, genre: Tensor) -> None:
        """Take windows of tokens `[batch, size, tokens]`, more than `order`, of genres `[batch]` into account."""
        end = max(tokens.shape[2] // 8, 1)
        count = tokens.shape[2]
        pairs = [(tokens[:, :, lag:], tokens[:, :, : count - lag]) for lag in range(self.order + 1)]
        pairs += [(tokens[:, :, -end:], tokens[:, :, :end])]
        products = torch.stack([(late * early).mean(dim=2) for late, early in pairs], dim=1)
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
        predictors, variances, stays = self._predictors(genre)
        nothing = torch.zeros_like(white[:, :, 0])
        none = torch.zeros_like(nothing @ self.members)
        start = Past(white[:, :, :0], nothing, nothing + 1 / stays, none, none)
        recent, pull, sureness, surprise, squares = past or start
        astray, expected, noise, squared = torch.zeros_like(recent), [], [], []
        for i in range(heard.shape[2]):
            known, token = mask[:, :, i], heard[:, :, i]
            keep, variance = predictors[recent.shape[2]], variances[recent.shape[2]]
            share = 1 - keep.sum(dim=2)
            kept = (keep * recent).sum(dim=2)
            expected.append(kept + share * pull / sureness)
            wandered = (keep * astray).sum(dim=2) + share * white[:, :, -1] * sureness.rsqrt()
            noise.append(wandered + variance.sqrt() * white[:, :, i])
            squared.append((token - expected[-1]).square() / (variance + share.square() / sureness))
            pull = pull + known * share * (token - kept) / variance
            sureness = sureness + known * share.square() / variance
            recent = self._last(recent, torch.lerp(expected[-1], token, known))
            astray = self._last(astray, noise[-1] * (1 - known))
        surprise = surprise + (torch.stack(squared, dim=2) * mask).sum(dim=2) @ self.members
        squares = squares + mask.sum(dim=2) * self.members.sum(dim=0)
        wider = ((_GRANTED + surprise) / (_GRANTED + squares)).sqrt().clamp(1 / _WIDEST, _WIDEST) @ self.members.T
        after = Past(recent, pull, sureness, surprise, squares)
        return torch.stack(expected, dim=2), torch.stack(noise, dim=2), wider[:, :, None], after

    def remember(self, tokens: Tensor, genre: Tensor, past: Past | None = None) -> Past:
        """The past, when tokens `[batch, size, tokens]` have gone by too."""
        white = tokens.new_zeros(*tokens.shape[:2], tokens.shape[2] + 1)
        return self.follow(tokens, torch.ones_like(tokens[:, :1]), white, genre, past)[3]

    def _last(self, before: Tensor, token: Tensor) -> Tensor:
        """The tokens that the next is foretold from."""
        return torch.cat([before, token[:, :, None]], dim=2)[:, :, -self.order :]

    def _predictors(self, genre: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """By order, from 0: the k `[batch, size, order]`, oldest token first, and the variance of e; and that of m."""
        power, *near, far = self.products[genre].unbind(dim=1)
        power = power * (1 + _NOISE)
        met = torch.stack(near, dim=2) / power.clamp_min(1e-6)[:, :, None]
        later = met[:, :, self.order // 2 :].mean(dim=2)  # in few windows the ends may look more alike than these
        stays = torch.minimum(far / power.clamp_min(1e-6), later).clamp(0.01, 0.95)
        passes = 1 - stays
        correlated = (met - stays[:, :, None]) / passes[:, :, None]  # r_1 ..., [batch, size, order]
        keep, left = correlated[:, :, :0], torch.ones_like(stays)
        predictors, variances = [keep], [passes]
        for order in range(self.order):
            foretold = (keep * correlated[:, :, :order]).sum(dim=2)
            new = ((correlated[:, :, order] - foretold) / left).clamp(-0.98, 0.98)[:, :, None]
            keep = torch.cat([new, keep - new * keep.flip(2)], dim=2)
            left = left * (1 - new[:, :, 0].square())
            predictors.append(keep)
            variances.append(passes * left)
        return predictors, variances, stays
