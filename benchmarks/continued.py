"""Tempo and key of recordings and of their continuations.

    python benchmarks/continued.py FOLDER

FOLDER is what `predict` wrote with a generator of notes and recordings as prompts. Tempos are librosa's, beats per
minute: of the original recording (its first 60 s), of the whole result and of the continuation alone. Keys are those
that fit the pitches of prompt and continuation best.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from musicgen_cls.audio.compiled import compiled_librosa
from musicgen_cls.audio.io import Waveform, read
from musicgen_cls.formats.generations import Piece, read_lines
from musicgen_cls.notes.key import find_key, in_scale, key_name
from musicgen_cls.notes.midi import read_midi
from musicgen_cls.notes.score import Notes, onset_seconds
from musicgen_cls.tables import as_markdown

RATE = 22050


def tempo(waveform: Waveform) -> str:
    """The tempo of a sound; with frames of 128 samples, tempos are about 1 % apart."""
    found, _ = compiled_librosa().beat.beat_track(y=waveform, sr=RATE, hop_length=128)
    return f"{float(np.atleast_1d(found)[0]):.1f}"


def row(folder: Path, line: Piece) -> dict[str, str]:
    """The facts of one continuation."""
    original, whole = read(Path(line.prompt), RATE)[: 60 * RATE], read(folder / line.file, RATE)
    notes = read_midi((folder / line.file).with_suffix(".mid"))
    begin = notes[onset_seconds(notes) < line.context_seconds]
    after = notes[len(begin) :]
    keys = [find_key(part) for part in (begin, after)]
    return {
        "recording": "/".join(Path(line.prompt).parts[-2:]),
        "tempo": tempo(original),
        "score": str(line.tempo),
        "result": tempo(whole),
        "continuation": tempo(whole[round(line.context_seconds * RATE) :]),
        "key of the prompt": key_name(keys[0]),
        "of the continuation": key_name(keys[1]),
        "notes in the prompt's scale": f"{100 * share(after, keys[0]):.0f} %",
    }


def share(notes: Notes, key: int) -> float:
    """Share of the pitched notes in the scale of a key."""
    moved = notes.copy()
    moved["key"] = key
    return float(in_scale(moved).sum() / max(1, np.sum(notes["family"] != 0)))


def main() -> None:
    """Run the command line."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    print(as_markdown([row(folder, line) for line in read_lines(folder, Piece) if line.prompt]))


if __name__ == "__main__":
    main()
