"""Divides music into the tracks that a network was trained on and the held-out tracks.

`python benchmarks/divide.py CHECKPOINT MUSIC OUT` creates `OUT/training/<genre>/` and `OUT/held_out/<genre>/` with
links to the tracks, or copies where links are not allowed.

Train the classifier that judges a generator on the training tracks of the generator, and judge with the held-out
tracks, which neither network was trained on.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.collection.collection import collect
from musicgen_cls.errors import MusicClsError
from musicgen_cls.sources.folder import Folder


def divide(checkpoint: str, music: str, out: Path) -> None:
    """Link every track of `music`, by the digest of its samples at the checkpoint's rate."""
    trained = read_checkpoint(checkpoint, "CHECKPOINT")
    collection = collect(Folder(music), trained.data["init_args"]["sample_rate"])
    counts = {"training": 0, "held_out": 0}
    for track, digest in zip(collection.tracks, collection.digests, strict=True):
        side = "training" if digest in trained.trained_on else "held_out"
        _link(out / side / track.id, track.path.resolve())
        counts[side] += 1
    print(f"{out}: {counts['training']} training tracks, {counts['held_out']} held out")


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
