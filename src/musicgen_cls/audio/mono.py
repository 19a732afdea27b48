"""Mixing the channels of a file to one, block by block, with one decision for the whole file."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Waveform = npt.NDArray[np.float32]

log = logging.getLogger(__name__)

_HALF_POWER = 0.5**0.5
# The share of each speaker in a stereo mix by ITU-R BS.775 (left plus right): the centre is in both sides at -3 dB, a
# surround channel is in one at -3 dB, the low-frequency channel in none. Names are FFmpeg's.
_WEIGHTS = {
    **dict.fromkeys(("FL", "FR", "DL", "DR", "FLC", "FRC", "WL", "WR", "BC"), 1.0),
    "FC": 2 * _HALF_POWER,
    **dict.fromkeys(("BL", "BR", "SL", "SR"), _HALF_POWER),
    **dict.fromkeys(("LFE", "LFE2"), 0.0),
}
# Share of the power that unrelated channels would have in the mix: -13 dB. Inverted pairs have -20 dB after a strong
# lossy compression and -100 dB without; music has about 0 dB or more.
_CANCELLED = 0.05


class Block(NamedTuple):
    """Consecutive samples of a file, `[frames, channels]`, at `rate` Hz; FFmpeg's names of its speakers, if known."""

    rate: int
    samples: npt.NDArray[np.generic]
    speakers: tuple[str, ...] = ()


class MonoMix:
    """Mixes the blocks of one file to mono.

    One and two channels are averaged. More channels are weighted by their speakers, as ITU-R BS.775 mixes them to
    stereo: the centre counts 1.41, a surround channel 0.71, the low-frequency channel nothing; then they are divided by
    the sum of the weights. Channels of unknown speakers are averaged.

    Channels that cancel each other, such as a stereo pair with one side inverted, are not mixed: the loudest channel is
    taken, with a warning. The first block with sound decides this for the whole file. The blocks before it are silent
    in every channel, so that no sample depends on a later one, and memory stays constant.

    Args:
        path: the file, for the warning.
        silence: maximum minus minimum of a silent channel.
    """

    def __init__(self, path: Path, silence: float) -> None:
        self._path, self._silence = path, silence
        self._decided = False
        self._loudest: int | None = None

    def __call__(self, block: Block) -> Waveform:
        """The mix of a block, float32 `[frames]`."""
        samples: Waveform = block.samples.astype(np.float32, copy=False)
        channels = samples.shape[1]
        if channels == 1:
            return samples[:, 0]
        weights = mix_weights(channels, block.speakers)
        mixed = _mixed(samples, weights)
        if not self._decided:
            apart = np.ascontiguousarray(samples.T)  # reductions along frames are ten times as fast then
            if (np.ptp(apart, axis=1) > self._silence).any():
                self._decided, self._loudest = True, self._loudest_if_cancelled(apart, mixed, weights)
        if self._loudest is not None and self._loudest < channels:
            return samples[:, self._loudest]
        return mixed

    def _loudest_if_cancelled(self, apart: Waveform, mixed: Waveform, weights: Waveform) -> int | None:
        """The number of the loudest channel if the channels, `[channels, frames]`, cancel each other in the mix."""
        powers = np.var(apart, axis=1, dtype=np.float64)
        if not np.var(mixed, dtype=np.float64) < _CANCELLED * float(powers @ np.square(weights)):
            return None
        loudest = int(np.argmax(powers * (weights > 0)))
        log.warning("%s: its channels cancel each other in a mix; read from channel %d", self._path, loudest + 1)
        return loudest


def _mixed(samples: Waveform, weights: Waveform) -> Waveform:
    """The weighted sum of channels, `[frames]`.

    A mean over two channels takes ten times as long. A product of matrices starts threads that wait for each other
    where several files are decoded at once, and its last digits depend on the processor.
    """
    mixed: Waveform = samples[:, 0] * weights[0]
    for channel in range(1, len(weights)):
        mixed += samples[:, channel] * weights[channel]
    return mixed


def mix_weights(channels: int, speakers: tuple[str, ...] = ()) -> Waveform:
    """The weight of each channel in the mono mix, float32 `[channels]`; their sum is 1."""
    known = len(speakers) == channels and all(name in _WEIGHTS for name in speakers)
    weights = np.array([_WEIGHTS[name] for name in speakers] if known else np.ones(channels))
    if not weights.any():
        weights = np.ones(channels)
    mixed: Waveform = (weights / weights.sum()).astype(np.float32)
    return mixed
