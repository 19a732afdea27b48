"""Notes a second of the networks on notes: with and without a cache, one piece and sixteen at once; and of rendering.

    python benchmarks/notes.py [NOTES]

Random weights; a note takes the same time as with trained ones. The real-time factors are those of a piece with ten
notes a second. All figures of one run are comparable with each other only.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch

from musicgen_cls.models.notes.base import Conditions, NoteNetwork
from musicgen_cls.models.notes.markov import NoteMarkov
from musicgen_cls.models.notes.neural import NeuralReader
from musicgen_cls.models.notes.rnn import NoteRNN
from musicgen_cls.models.notes.sample import PieceWriter, Settings
from musicgen_cls.models.notes.transformer import NoteTransformer
from musicgen_cls.notes.composed import compose
from musicgen_cls.notes.render import render
from musicgen_cls.notes.score import NOTE, length_seconds
from musicgen_cls.synth.styles import GENRES
from musicgen_cls.tables import as_markdown
from results import add_option, row, write

NOTES_A_SECOND = 10


def notes_a_second(network: NoteNetwork, batch: int, notes: int, cache: bool = True) -> float:
    """Notes of all pieces a second; without a cache, the network reads all notes again for each note."""
    one = torch.ones(batch, dtype=torch.int64)
    conditions = Conditions(one * 0, one * 120, one * 48, one * 0, torch.ones(batch, 12), one * 4.0)
    with torch.inference_mode():
        writer = PieceWriter(
            network.eval(), [np.zeros(0, NOTE)] * batch, conditions, [1 << 30] * batch, range(batch), Settings()
        )
        start = time.perf_counter()
        for _ in range(notes):
            writer.write_note()
            for reader in writer.readers:
                if not cache and isinstance(reader, NeuralReader):
                    reader.restart(reader.past.part(slice(1, None)))
        return batch * notes / (time.perf_counter() - start)


def rendering() -> float:
    """Seconds of sound a second of rendering, for one composed song of each genre."""
    songs = [compose(genre, 0, seconds=60.0) for genre in GENRES]
    start = time.perf_counter()
    for song in songs:
        render(song)
    return sum(map(length_seconds, songs)) / (time.perf_counter() - start)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notes", metavar="NOTES", type=int, nargs="?", default=300)
    parser.add_argument("--turns", type=int, default=1)
    add_option(parser)
    options = parser.parse_args()
    notes, turns = options.notes, range(options.turns)
    torch.manual_seed(0)
    networks = {
        "NoteTransformer": NoteTransformer(5, dim=128, layers=4, heads=4),
        "NoteRNN": NoteRNN(5),
        "NoteMarkov": NoteMarkov(5),
    }
    rows, figures = [], []
    for name, network in networks.items():
        for batch, cache in ((1, True), (1, False), (16, True)):
            if cache or name == "NoteTransformer":
                speeds = [notes_a_second(network, batch, notes, cache) for _ in turns]
                speed = statistics.median(speeds)
                figures.append(row(f"{name}, {batch} at once{'' if cache else ', no cache'}", "notes/s", speeds))
                factor = speed / NOTES_A_SECOND
                rows.append([name, f"{batch}", "yes" if cache else "no", f"{speed:.0f}", f"{factor:.1f}"])
    head = ["network", "pieces at once", "cache", "notes a second", "times real time"]
    print(as_markdown([dict(zip(head, row, strict=True)) for row in rows]))
    rendered = [rendering() for _ in turns]
    print(f"\nRendering: {statistics.median(rendered):.0f} times real time.")
    print(f"{torch.get_num_threads()} threads, {notes} notes a piece.")
    write(options.json, "notes", [*figures, row("rendering", "s/s", rendered)], torch.get_num_threads())


if __name__ == "__main__":
    main()
