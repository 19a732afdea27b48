"""Running mean and variance of spectrogram frames, for each genre."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from musicgen_cls.models.renamed_keys import load_old_names

_UNLIMITED = 1e6  # beyond every coefficient


class GenreStatistics(nn.Module):
    """Mean, standard deviation, minimum and maximum of each coefficient of a frame, for each genre.

    The statistics are over all training frames. They are updated batch by batch:

    1. Let z be one coefficient of the frames of one genre. The N frames so far have the mean M and the mean square Q.
    2. A batch adds n frames, with the mean m and the mean square q. Its weight is w = n / (N + n).
    3. The new mean is M + w (m - M) and the new mean square is Q + w (q - Q). These are the exact means over all N + n
       frames, whatever the sizes of the batches.
    4. The variance is Q - M^2, since E[(z - M)^2] = E[z^2] - M^2. The standard deviation is its square root.
    5. The minimum and the maximum are those of all frames so far.

    Args:
        num_genres: number of genres.
        size: coefficients in a frame.
        min_std: lower bound of the standard deviation, so that a coefficient which hardly varies is not amplified.
    """

    def __init__(self, num_genres: int, size: int, min_std: float) -> None:
        super().__init__()
        self.min_std = min_std
        self.count: Tensor
        self.mean: Tensor
        self.mean_square: Tensor
        self.minimum: Tensor
        self.maximum: Tensor
        self.register_buffer("count", torch.zeros(num_genres))  # frames
        self.register_buffer("mean", torch.zeros(num_genres, size))
        self.register_buffer("mean_square", torch.ones(num_genres, size))
        self.register_buffer("minimum", torch.full((num_genres, size), _UNLIMITED))
        self.register_buffer("maximum", torch.full((num_genres, size), -_UNLIMITED))
        load_old_names(self, square="mean_square", lowest="minimum", highest="maximum")

    def update(self, frames: Tensor, genre: Tensor) -> None:
        """Add a batch: frames `[batch, size, frames]` and genre labels `[batch]`."""
        for label in sorted(set(genre.tolist())):
            own = frames[genre == label]
            count = own.shape[0] * own.shape[2]
            self.count[label] += count
            weight = count / self.count[label]
            self.mean[label] = self.mean[label].lerp(own.mean(dim=(0, 2)), weight)
            self.mean_square[label] = self.mean_square[label].lerp(own.square().mean(dim=(0, 2)), weight)
            self.minimum[label] = self.minimum[label].minimum(own.amin(dim=(0, 2)))
            self.maximum[label] = self.maximum[label].maximum(own.amax(dim=(0, 2)))

    def forward(self, genre: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of genres `[batch]`, each `[batch, size, 1]`.

        A genre without a frame has mean 0 and standard deviation 1.
        """
        mean = self.mean[genre]
        std = (self.mean_square[genre] - mean.square()).clamp_min(0).sqrt().clamp_min(self.min_std)
        return mean[:, :, None], std[:, :, None]

    def limits(self, genre: Tensor) -> tuple[Tensor, Tensor]:
        """Minimum and maximum of genres `[batch]`, each `[batch, size, 1]`; without a frame, -1e6 and 1e6."""
        both = torch.stack([self.minimum[genre], self.maximum[genre]]).sort(dim=0).values
        return both[0, :, :, None], both[1, :, :, None]
