"""Measures the speed of the generators: `python benchmarks/generation.py [--quick]`.

The networks are those of the configs, without training, since their speed does not depend on the weights. Each figure
compares two measurements that run in turns in one process. It is the median of the turns, with minimum and maximum; a
ratio is the median of the turns' ratios.

- generated: seconds of audio per second, for ten recordings of 5 s in one batch, compared with real time.
- batch: the same, compared with one recording after the other.
- cached: pieces per second after 20 s of audio, compared with computing each piece from all earlier audio.
- long: seconds of audio per second after 50 s of audio, compared with the first 10 s; a ratio of 1 means that the time
  per second does not grow.
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
NETWORKS: dict[str, tuple[Callable[[], Continuation], float]] = {  # with the target, times real time
    "WaveformRNN": (lambda: WaveformRNN(GENRES, RATE, 1000), 20),
    "SampleRNN": (lambda: SampleRNN(GENRES, RATE, 1000), 1),
    "MelFlow": (lambda: MelFlow(GENRES, RATE, 41000), 1),
}


def generated(network: Continuation, context: torch.Tensor) -> Iterator[torch.Tensor]:
    """The continuations of contexts, in pieces."""
    sampling = Sampling([torch.Generator().manual_seed(seed) for seed in range(len(context))])
    return network.stream(context, torch.zeros(len(context), dtype=torch.long), sampling)


def rate(pieces: Iterator[torch.Tensor], seconds: float) -> float:
    """Seconds of audio per second, summed over the batch, until each recording has `seconds`."""
    begin, made, batch = time.perf_counter(), 0, 0
    while made < seconds * RATE:
        piece = next(pieces)
        made, batch = made + piece.shape[1], len(piece)
    return batch * made / RATE / (time.perf_counter() - begin)


def one_by_one(network: Continuation, context: torch.Tensor, seconds: float) -> float:
    """Seconds of audio per second, one recording after the other."""
    return len(context) / sum(1 / rate(generated(network, recording), seconds) for recording in context.split(1))


def from_the_start(network: Continuation, audio: torch.Tensor, count: int) -> float:
    """Pieces per second, when each is computed from all earlier audio."""
    begin = time.perf_counter()
    for _ in range(count):
        audio = torch.cat([audio, next(generated(network, audio))], dim=1)
    return count / (time.perf_counter() - begin)


def continued(pieces: Iterator[torch.Tensor], count: int) -> float:
    """Pieces per second, when each is computed from the state after the piece before it."""
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
    rate(generated(network, context), 1)
    together = [rate(generated(network, context), 5) for _ in range(turns)]
    yield row(f"{name}: 10 recordings of 5 s, s/s", [(each, 1.0) for each in together], times)
    pairs = [(rate(generated(network, context), 5), one_by_one(network, context, 5)) for _ in range(turns)]
    yield row(f"{name}: in a batch, s/s; compared with one by one", pairs, 1)
    if name == "SampleRNN":
        pieces = generated(network, context)
        audio = torch.cat([context, *islice(pieces, round(20 * RATE / next(pieces).shape[1]))], dim=1)
        pairs = [(continued(pieces, 5), from_the_start(network, audio, 5)) for _ in range(turns)]
        yield row(f"{name}: pieces after 20 s, 1/s; compared with pieces from the start", pairs, 1)
    pieces = generated(network, context[:2])
    made = 0
    firsts = [rate(generated(network, context[:2]), 10) for _ in range(turns)]
    while made < 50 * RATE:
        made += next(pieces).shape[1]
    lasts = [rate(pieces, 10) for _ in range(turns)]
    yield row(f"{name}: s/s after a minute; compared with the first 10 s", list(zip(lasts, firsts, strict=True)), 0.9)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three turns instead of seven")
    parser.add_argument("--only", choices=NETWORKS)
    options = parser.parse_args()
    print("| figure | ours | reference | ratio | target | |\n|---|---|---|---|---|---|", flush=True)
    for name in NETWORKS:
        if options.only in (None, name):
            for line in rows(name, 3 if options.quick else 7):
                print(f"| {' | '.join(line)} |", flush=True)
    print(f"\n{machine()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
