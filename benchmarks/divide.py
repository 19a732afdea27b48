"""Divides music into the tracks that a network was trained on and the held-out tracks.

`python benchmarks/divide.py CHECKPOINT MUSIC OUT` creates `OUT/training/<genre>/` and `OUT/held_out/<genre>/` with
links to the tracks, or copies where links are not allowed. Of a folder of scores (.mid) and the checkpoint of a
generator of notes, the first 30 s of each score are rendered, of at most 150 scores of a genre.

Train the classifier that judges a generator on the training tracks of the generator, and judge with the held-out
tracks, which neither network was trained on.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from musicgen_cls.audio.io import write_wav
from musicgen_cls.checkpoints import Checkpoint, read_checkpoint
from musicgen_cls.collection.collection import collect
from musicgen_cls.collection.scores import collect_scores
from musicgen_cls.commands.judge.scores import score_files
from musicgen_cls.errors import MusicClsError
from musicgen_cls.metrics.excerpts import excerpt
from musicgen_cls.notes.render import render
from musicgen_cls.sources.folder import Folder
from musicgen_cls.sources.midi_folder import MidiFolder

RATE, SECONDS, MOST_SCORES = 22050, 30.0, 150


def divide(checkpoint: str, music: str, out: Path) -> None:
    """Divide the tracks of `music`, by the digests that the checkpoint lists."""
    trained = read_checkpoint(checkpoint, "CHECKPOINT")
    make = render_scores if score_files(Path(music)) else link_tracks
    counts = make(trained, music, out)
    print(f"{out}: {counts['training']} training tracks, {counts['held_out']} held out")


def link_tracks(trained: Checkpoint, music: str, out: Path) -> Counter[str]:
    """Link every track, by the digest of its samples at the checkpoint's rate; the number of tracks of each side."""
    collection = collect(Folder(music), trained.data["init_args"]["sample_rate"])
    counts: Counter[str] = Counter()
    for track, digest in zip(collection.tracks, collection.digests, strict=True):
        side = "training" if digest in trained.trained_on else "held_out"
        _link(out / side / track.id, track.path.resolve())
        counts[side] += 1
    return counts


def render_scores(trained: Checkpoint, music: str, out: Path) -> Counter[str]:
    """Render the start of scores; the number of recordings of each side."""
    collection = collect_scores(MidiFolder(music))
    counts: Counter[str] = Counter()
    of_genre: Counter[tuple[str, str]] = Counter()
    for row, track in enumerate(tqdm(collection.tracks, unit="score")):
        side = "training" if collection.digests[row] in trained.trained_on else "held_out"
        if of_genre[side, track.genre] == MOST_SCORES:
            continue
        path = (out / side / track.id).with_suffix(".wav")
        path.parent.mkdir(parents=True, exist_ok=True)
        start = int(collection.offset[row])
        notes = collection.items[start : start + int(collection.lengths[row])]
        write_wav(path, render(excerpt(notes, SECONDS, None), RATE, SECONDS), RATE)
        of_genre[side, track.genre] += 1
        counts[side] += 1
    return counts


def _link(link: Path, file: Path) -> None:
    """Link a file: a symbolic link, or else a hard link, or else a copy, as the system allows."""
    if link.exists():
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    for make in (link.symlink_to, link.hardlink_to):
        try:
            return make(file)
        except (OSError, NotImplementedError):  # no permission for links on Windows, or another disk
            continue
    shutil.copyfile(file, link)


def main() -> None:
    """Run the command line."""
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        divide(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    except MusicClsError as error:
        sys.exit(f"divide.py: {error}")


if __name__ == "__main__":
    main()
