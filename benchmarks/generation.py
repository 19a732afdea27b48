"""Prints how fast the generators play: `python benchmarks/generation.py [--quick]`.

Networks as the configs make them, with the weights they begin with (speed does not depend on what they have learned).
Ours and the rival run in turns in one process; a figure is the median of the turns with the least and the greatest, a
ratio the median of the turns' ratios.

- played: seconds of audio made per second, ten recordings of 5 s in one batch, all ten together, beside real time.
- batch: the same, beside one recording after the other.
- cached: pieces made per second once 20 s have been played, beside making each from all that was played.
- lasting: seconds made per second in the last of 60 s, beside the first: a ratio of 1 says that no second costs more.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice

import torch

from musicgen_cls.models.generators.continuation import Continuation, Sampling
from musicgen_cls.models.generators.mel_flow import MelFlow
from musicgen_cls.models.generators.sample_rnn import SampleRNN
from musicgen_cls.models.generators.waveform_rnn import WaveformRNN
from speed import machine, row

RATE = 10000
CONTEXT = 9000
GENRES = 10
NETWORKS: dict[str, tuple[Callable[[], Continuation], float]] = {  # with the times real time that are asked for
    "WaveformRNN": (lambda: WaveformRNN(GENRES, RATE, 1000), 20),
    "SampleRNN": (lambda: SampleRNN(GENRES, RATE, 1000), 1),
    "MelFlow": (lambda: MelFlow(GENRES, RATE, 41000), 1),
}


def played(network: Continuation, context: torch.Tensor) -> Iterator[torch.Tensor]:
    """What a network makes of contexts."""
    sampling = Sampling([torch.Generator().manual_seed(seed) for seed in range(len(context))])
    return network.stream(context, torch.zeros(len(context), dtype=torch.long), sampling)


def rate(pieces: Iterator[torch.Tensor], seconds: float) -> float:
    """Seconds of audio per second, all recordings of the batch together, until each has `seconds`."""
    begin, made, batch = time.perf_counter(), 0, 0
    while made < seconds * RATE:
        piece = next(pieces)
        made, batch = made + piece.shape[1], len(piece)
    return batch * made / RATE / (time.perf_counter() - begin)


def one_by_one(network: Continuation, context: torch.Tensor, seconds: float) -> float:
    """The same, one recording after the other."""
    return len(context) / sum(1 / rate(played(network, recording), seconds) for recording in context.split(1))


def from_the_start(network: Continuation, heard: torch.Tensor, count: int) -> float:
    """Pieces per second when each is made from all that was heard."""
    begin = time.perf_counter()
    for _ in range(count):
        heard = torch.cat([heard, next(played(network, heard))], dim=1)
    return count / (time.perf_counter() - begin)


def going_on(pieces: Iterator[torch.Tensor], count: int) -> float:
    """Pieces per second."""
    begin = time.perf_counter()
    for _ in islice(pieces, count):
        pass
    return count / (time.perf_counter() - begin)


def rows(name: str, turns: int) -> Iterator[tuple[str, ...]]:
    """The rows of one network."""
    make, times = NETWORKS[name]
    torch.manual_seed(0)
    network = make().eval()
    context = 0.1 * torch.randn(10, CONTEXT)
    rate(played(network, context), 1)
    together = [rate(played(network, context), 5) for _ in range(turns)]
    yield row(f"{name}: 10 recordings of 5 s, s/s", [(each, 1.0) for each in together], times)
    pairs = [(rate(played(network, context), 5), one_by_one(network, context, 5)) for _ in range(turns)]
    yield row(f"{name}: in a batch, s/s, beside one by one", pairs, 1)
    if name == "SampleRNN":
        pieces = played(network, context)
        heard = torch.cat([context, *islice(pieces, round(20 * RATE / next(pieces).shape[1]))], dim=1)
        pairs = [(going_on(pieces, 5), from_the_start(network, heard, 5)) for _ in range(turns)]
        yield row(f"{name}: pieces after 20 s, 1/s, beside from the start", pairs, 1)
    pieces = played(network, context[:2])
    made = 0
    firsts = [rate(played(network, context[:2]), 10) for _ in range(turns)]
    while made < 50 * RATE:
        made += next(pieces).shape[1]
    lasts = [rate(pieces, 10) for _ in range(turns)]
    yield row(f"{name}: s/s after a minute, beside the first 10 s", list(zip(lasts, firsts, strict=True)), 0.9)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three turns instead of seven")
    parser.add_argument("--only", choices=NETWORKS)
    options = parser.parse_args()
    print("| figure | ours | rival | ratio | target | |\n|---|---|---|---|---|---|", flush=True)
    for name in NETWORKS:
        if options.only in (None, name):
            for line in rows(name, 3 if options.quick else 7):
                print(f"| {' | '.join(line)} |", flush=True)
    print(f"\n{machine()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
