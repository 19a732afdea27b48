"""Measures of generated scores at several temperatures and values of top-p, beside those of the validation pieces.

    python benchmarks/sampling.py CHECKPOINT [--takes 8] [--temperatures 0.8 0.9 1.0] [--top_p 0.8 0.9 1.0]

The pieces are as long as those of `predict`. The validation pieces are read from the source that the checkpoint names,
so that the choice of a setting sees no test piece. Means over genres, with 95 % intervals over pieces.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import numpy as np
import torch
from tqdm import tqdm

from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.commands.judge.note_measures import score_values
from musicgen_cls.datamodules.notes import NoteWindows
from musicgen_cls.metrics.excerpts import excerpt
from musicgen_cls.metrics.intervals import stratified_bootstrap
from musicgen_cls.models.notes.sample import Settings
from musicgen_cls.notes.score import NOTE, Notes
from musicgen_cls.recogniser import load_parts
from musicgen_cls.tables import as_markdown
from musicgen_cls.tasks.notes import NoteGenerator

MEASURES = ("notes in scale", "bars that return", "onsets return after a beat", "notes a beat", "most notes at once",
            "instruments")  # fmt: skip

Pieces = dict[str, list[Notes]]


def generated(task: NoteGenerator, data: NoteWindows, takes: int) -> Pieces:
    """Pieces of each genre, as `predict --takes` generates them."""
    found: Pieces = {}
    for number, genre in enumerate(data.genres):
        positions = range(number * takes, (number + 1) * takes)
        wanted = [data.wanted(genre, np.zeros(0, NOTE), position)[0] for position in positions]
        found[genre] = task.pieces(wanted, list(positions))
    return found


def validation_pieces(data: NoteWindows, seconds: float) -> Pieces:
    """The start of each validation piece."""
    data.prepare_data()
    data.setup("validate")
    assert data.collection is not None
    found: Pieces = {genre: [] for genre in data.genres}
    for row in np.unique(data.windows["validation"].track):
        found[data.collection.tracks[row].genre].append(excerpt(data.piece(int(row)), seconds, None))
    return found


def measures(pieces: Pieces) -> dict[str, str]:
    """Each measure, as text."""
    values = [[score_values(notes, None) for notes in own] for own in pieces.values()]
    cells = {}
    for name in MEASURES:
        strata = [np.array([[piece[name]] for piece in own if np.isfinite(piece[name])]) for own in values]
        found = stratified_bootstrap([rows for rows in strata if len(rows)])
        cells[name] = f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
    return cells


def rows(path: str, takes: int, temperatures: Iterable[float], top_ps: Iterable[float]) -> list[dict[str, str]]:
    """The rows of the table, the first one of validation pieces."""
    task, data = load_parts(read_checkpoint(path, "CHECKPOINT"), torch.device("cpu"))
    if not isinstance(task, NoteGenerator) or not isinstance(data, NoteWindows):
        raise SystemExit(f"{path}: not a generator of notes; name a checkpoint of one")
    found = [{"temperature": "validation", "top-p": "", **measures(validation_pieces(data, task.seconds))}]
    for temperature, top_p in tqdm([(one, share) for one in temperatures for share in top_ps], unit="setting"):
        task.sampling = Settings(temperature, top_p)
        found.append(
            {"temperature": f"{temperature:g}", "top-p": f"{top_p:g}", **measures(generated(task, data, takes))}
        )
    return found


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--takes", type=int, default=8, help="pieces of each genre")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.8, 0.9, 1.0])
    parser.add_argument("--top_p", type=float, nargs="+", default=[0.8, 0.9, 1.0])
    given = parser.parse_args()
    print(as_markdown(rows(given.checkpoint, given.takes, given.temperatures, given.top_p)))


if __name__ == "__main__":
    main()
