"""Links the tracks that a network was trained on, and the others, into two folders; copies where links are not allowed.

`python benchmarks/divide.py CHECKPOINT MUSIC OUT` makes `OUT/heard/<genre>/` and `OUT/held_out/<genre>/`.

A judge of what a generator makes has to be trained on tracks that the generator may know, and tested on those that
neither knows.
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
    counts = {"heard": 0, "held_out": 0}
    for track, digest in zip(collection.tracks, collection.digests, strict=True):
        side = "heard" if digest in trained.trained_on else "held_out"
        _link(out / side / track.id, track.path.resolve())
        counts[side] += 1
    print(f"{out}: {counts['heard']} tracks seen in training, {counts['held_out']} held out")


def _link(link: Path, file: Path) -> None:
    """Put a file under a second name: a symbolic link, else a hard link, else a copy, as the system allows."""
    if link.exists():
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    for make in (link.symlink_to, link.hardlink_to):
        try:
            return make(file)
        except (OSError, NotImplementedError):  # Windows without the right to make links; another disk
            continue
    shutil.copyfile(file, link)


def main() -> None:
    """Run what the command line says."""
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        divide(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    except MusicClsError as error:
        sys.exit(f"divide.py: {error}")


if __name__ == "__main__":
    main()
