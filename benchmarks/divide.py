"""Links the tracks that a network was trained on, and the others, into two folders.

`python benchmarks/divide.py CHECKPOINT MUSIC OUT` makes `OUT/heard/<genre>/` and `OUT/held_out/<genre>/`.

A judge of what a generator makes has to be trained on tracks that the generator may know, and tested on those that
neither knows.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from musicgen_cls.checkpoints import read_checkpoint
from musicgen_cls.collection import collect
from musicgen_cls.errors import MusicClsError
from musicgen_cls.sources.folder import Folder


def divide(checkpoint: str, music: str, out: Path) -> None:
    """Link every track of `music`, by the digest of its samples at the checkpoint's rate."""
    data = read_checkpoint(checkpoint).data
    kind, rate = data["class_path"].rpartition(".")[2], data["init_args"]["sample_rate"]
    heard = frozenset(torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)[kind]["heard"])
    collection = collect(Folder(music), rate)
    counts = {"heard": 0, "held_out": 0}
    for track, digest in zip(collection.tracks, collection.digests, strict=True):
        side = "heard" if digest in heard else "held_out"
        link = out / side / track.genre / track.path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(track.path.resolve())
        counts[side] += 1
    print(f"{out}: {counts['heard']} tracks heard, {counts['held_out']} held out, linked")


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
