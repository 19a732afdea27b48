"""An autoregressive prior: what the frames before a frame predict of it, without a neural network."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from musicgen_cls.models.renamed_keys import load_old_names

_PSEUDO_COUNT = 24.0  # C in step 8
_MAX_SCALE = 4.0
_WHITE_NOISE = 1e-3  # added to the variance, relative to it: keeps the recursion of step 4 well-conditioned
_MIN_POWER = 1e-6


class State(NamedTuple):
    """What the prior keeps of earlier frames; float32.

    Attributes:
        recent: the last frames, oldest first, `[batch, size, at most order]`.
        information: b in step 6, `[batch, size]`.
        precision: q in step 6, `[batch, size]`.
        squared_innovations: sum of u^2 in step 8 over each group of coefficients, `[batch, groups]`.
        innovations: N in step 8, the number of terms in that sum, `[batch, groups]`.
    """

    recent: Tensor
    information: Tensor
    precision: Tensor
    squared_innovations: Tensor
    innovations: Tensor


class Prediction(NamedTuple):
    """Distribution of the unknown frames, given the known ones.

    Attributes:
        mean: expected frames, `[batch, size, frames]`; valid where the mask is 0.
        noise: a random deviation from the mean, with the covariance of step 7, `[batch, size, frames]`; valid where
            the mask is 0.
        scale: the factor of step 8, `[batch, size, 1]`.
        state: the state after the last frame.
    """

    mean: Tensor
    noise: Tensor
    scale: Tensor
    state: State


class AutoregressivePrior(nn.Module):
    """A Gaussian model of a sequence of frames: an offset of the track plus an autoregressive process.

    Each coefficient of a frame is modelled by itself. It has mean 0 and variance 1 over the genre (`GenreStatistics`).
    Each genre has its own parameters.

    1. The model. Let z_t be one coefficient of frame t, and n the order:

           z_t = m + a_t
           a_t = k_1 a_{t-1} + ... + k_n a_{t-n} + e_t

       The offset m is constant over a track; its variance is s. The autoregressive process a_t has variance 1 - s. The
       innovation e_t is white Gaussian noise.

    2. Covariances. Let r_j be the autocorrelation of a_t at lag j, with r_0 = 1. Since m and a_t are independent,

           c_j = E[z_t z_{t-j}] = s + (1 - s) r_j

       `update` measures c_0 to c_n in the training windows.

    3. The variance of the offset. At a large lag r_j is near 0, so that c_j is near s. `update` therefore measures the
       covariance between the first and the last eighth of the training windows. s is that covariance, but at most the
       mean of c_j over the lags n / 2 + 1 to n. Then step 2 gives r_j = (c_j - s) / (1 - s).

    4. The coefficients. The recursion of Levinson and Durbin (Durbin 1960, "The Fitting of Time-Series Models") gives
       the coefficients of every order. Begin at order p = 0 with the error variance v = 1. From order p to p + 1:

           g = (r_{p+1} - k_1 r_p - ... - k_p r_1) / v
           k_i <- k_i - g k_{p+1-i}    for i = 1 ... p
           k_{p+1} <- g
           v <- v (1 - g^2)

       The variance of e_t is (1 - s) v. The first frames of a track have fewer than n frames before them: frame t is
       predicted with order min(t, n).

    5. The prediction if m were known. From step 1, with w = 1 - k_1 - ... - k_n:

           E[z_t | m, earlier frames] = k_1 z_{t-1} + ... + k_n z_{t-n} + w m

    6. The estimate of m. A known frame gives y_t = z_t - k_1 z_{t-1} - ... - k_n z_{t-n}. From step 1, y_t = w m + e_t:
       an observation of m with the error variance V = (1 - s) v. Observations of a Gaussian variable add up in its
       precision q and its information b. Begin with q = 1 / s and b = 0. Each known frame adds

           q <- q + w^2 / V
           b <- b + w y_t / V

       Then m has mean b / q and variance 1 / q. (This is a Kalman filter whose state does not move.)

    7. The distribution of the unknown frames. Their mean is step 5 with m = b / q, where the means of unknown frames
       stand in for z. A random deviation d_t from the mean follows from independent standard normal numbers x_t and x:

           d_t = k_1 d_{t-1} + ... + k_n d_{t-n} + w x / sqrt(q) + sqrt(V) x_t

       with d = 0 for known frames. The variance of one step ahead is V + w^2 / q.

    8. The scale. Tracks differ in how far they deviate from the prediction: music with drums more than music with
       strings. Let u be (z_t - its mean) / its standard deviation one step ahead, for each known frame. The deviations
       of a track are larger than on average by the factor

           scale = sqrt((C + sum of u^2) / (C + N))

       over the N values of u of one group of coefficients. C = 24 keeps the factor near 1 as long as few frames are
       known. The factor is limited to 1/4 to 4.

    An order above 1 is needed because the frames of a spectrogram overlap. Frames that do not fit together are not the
    spectrogram of any waveform, and the waveform that is made from them is rough.

    Args:
        num_genres: number of genres.
        size: coefficients in a frame.
        order: n.
        groups: the group of each coefficient, from 0, `[size]`; None for one group of all.
    """

    def __init__(self, num_genres: int, size: int, order: int, groups: Tensor | None = None) -> None:
        super().__init__()
        self.order = order
        groups = torch.zeros(size, dtype=torch.long) if groups is None else groups
        self.members: Tensor
        self.register_buffer("members", nn.functional.one_hot(groups).float(), persistent=False)  # [size, groups]
        self.covariances: Tensor
        self.windows: Tensor
        # c_0 to c_n, then the covariance of the two ends of a window; means over windows
        self.register_buffer("covariances", torch.zeros(num_genres, order + 2, size))
        self.register_buffer("windows", torch.zeros(num_genres))
        load_old_names(self, products="covariances")

    def update(self, frames: Tensor, genre: Tensor) -> None:
        """Add training windows: `[batch, size, frames]`, more frames than `order`, and genre labels `[batch]`."""
        count = frames.shape[2]
        end = max(count // 8, 1)
        pairs = [(frames[:, :, lag:], frames[:, :, : count - lag]) for lag in range(self.order + 1)]
        pairs += [(frames[:, :, -end:], frames[:, :, :end])]
        covariances = torch.stack([(late * early).mean(dim=2) for late, early in pairs], dim=1)
        for label in sorted(set(genre.tolist())):
            own = covariances[genre == label]
            self.windows[label] += len(own)
            self.covariances[label] = self.covariances[label].lerp(own.mean(dim=0), len(own) / self.windows[label])

    def predict(
        self, frames: Tensor, mask: Tensor, white: Tensor, genre: Tensor, state: State | None = None
    ) -> Prediction:
        """Predict the unknown frames of windows.

        Args:
            frames: `[batch, size, frames]`; the known ones come first.
            mask: 1 for known frames, 0 for unknown ones, `[batch, 1, frames]`.
            white: x_t and, last, x of step 7, `[batch, size, frames + 1]`.
            genre: labels, `[batch]`.
            state: the state after the frames before these; None at the start of a track.
        """
        coefficients, variances, offset_variance = self._estimate(genre)
        recent, information, precision, squared, innovations = state or self._start(white, offset_variance)
        deviations, mean, noise, squares = torch.zeros_like(recent), [], [], []
        for i in range(frames.shape[2]):
            known, frame = mask[:, :, i], frames[:, :, i]
            k, variance = coefficients[recent.shape[2]], variances[recent.shape[2]]
            weight = 1 - k.sum(dim=2)
            from_recent = (k * recent).sum(dim=2)
            mean.append(from_recent + weight * information / precision)
            carried = (k * deviations).sum(dim=2) + weight * white[:, :, -1] * precision.rsqrt()
            noise.append(carried + variance.sqrt() * white[:, :, i])
            squares.append((frame - mean[-1]).square() / (variance + weight.square() / precision))
            information = information + known * weight * (frame - from_recent) / variance
            precision = precision + known * weight.square() / variance
            recent = self._append(recent, torch.lerp(mean[-1], frame, known))
            deviations = self._append(deviations, noise[-1] * (1 - known))
        squared = squared + (torch.stack(squares, dim=2) * mask).sum(dim=2) @ self.members
        innovations = innovations + mask.sum(dim=2) * self.members.sum(dim=0)
        scale = ((_PSEUDO_COUNT + squared) / (_PSEUDO_COUNT + innovations)).sqrt()
        scale = scale.clamp(1 / _MAX_SCALE, _MAX_SCALE) @ self.members.T
        after = State(recent, information, precision, squared, innovations)
        return Prediction(torch.stack(mean, dim=2), torch.stack(noise, dim=2), scale[:, :, None], after)

    def advance(self, frames: Tensor, genre: Tensor, state: State | None = None) -> State:
        """The state after known frames `[batch, size, frames]`."""
        white = frames.new_zeros(*frames.shape[:2], frames.shape[2] + 1)
        return self.predict(frames, torch.ones_like(frames[:, :1]), white, genre, state).state

    def _start(self, like: Tensor, offset_variance: Tensor) -> State:
        """The state at the start of a track; `like` has the batch, the size and the type."""
        zero = torch.zeros_like(like[:, :, 0])
        none = torch.zeros_like(zero @ self.members)
        return State(like[:, :, :0], zero, zero + 1 / offset_variance, none, none)

    def _append(self, recent: Tensor, frame: Tensor) -> Tensor:
        """The last `order` frames, the newest included."""
        return torch.cat([recent, frame[:, :, None]], dim=2)[:, :, -self.order :]

    def _estimate(self, genre: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Steps 3 and 4, for genres `[batch]`.

        Returns:
            For each order from 0 to n, the coefficients `[batch, size, order]`, that of the oldest frame first. For
            each order, the variance V `[batch, size]`. The variance s `[batch, size]`.
        """
        power, *near, far = self.covariances[genre].unbind(dim=1)
        power = power * (1 + _WHITE_NOISE)
        c = torch.stack(near, dim=2) / power.clamp_min(_MIN_POWER)[:, :, None]  # c_1 to c_n, [batch, size, order]
        upper = c[:, :, self.order // 2 :].mean(dim=2)  # in few windows the two ends can be too similar by accident
        s = torch.minimum(far / power.clamp_min(_MIN_POWER), upper).clamp(0.01, 0.95)
        r = (c - s[:, :, None]) / (1 - s)[:, :, None]
        k, v = r[:, :, :0], torch.ones_like(s)
        coefficients, variances = [k], [1 - s]
        for order in range(self.order):
            predicted = (k * r[:, :, :order]).sum(dim=2)
            g = ((r[:, :, order] - predicted) / v).clamp(-0.98, 0.98)[:, :, None]
            k = torch.cat([g, k - g * k.flip(2)], dim=2)
            v = v * (1 - g[:, :, 0].square())
            coefficients.append(k)
            variances.append((1 - s) * v)
        return coefficients, variances, s
