"""MusicGen as a checkpoint like any other, without a training: it is made in the cache when `predict` names it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from musicgen_cls import __version__
from musicgen_cls.checkpoints import untrained_content
from musicgen_cls.errors import UsageError
from musicgen_cls.files import cache_root, writing
from musicgen_cls.pretrained.music_gen import MusicGen, hub_name, sample_rate_of
from musicgen_cls.specs import class_path

NAME = "musicgen"
"""What stands for the model in place of a checkpoint; `musicgen:NAME` for another model of the hub, or a folder."""

MODEL = "facebook/musicgen-small"
GUIDANCE = 3.0  # as in the paper
SECONDS = 20.0
PROMPT_SECONDS = 5.0


def is_meant(path: str) -> bool:
    """Whether a name stands for MusicGen, and not for a file of that name."""
    return (path == NAME or path.startswith(f"{NAME}:")) and not Path(path).exists()


def checkpoint(named: str, genres: Sequence[str]) -> Path:
    """The file of the model with some genres; it is made if there is none yet.

    Args:
        named: `musicgen`, or `musicgen:` and the name of a model.
        genres: any words, such as `jazz`.

    Raises:
        UsageError: no genre is named, there is no such model, it is no MusicGen, or its licence is not accepted.
        SourceError: the hub cannot be reached.
    """
    from musicgen_cls.datamodules.text_prompts import TextPrompts
    from musicgen_cls.tasks.generation import GenreGenerator

    if not genres or "" in genres:
        raise UsageError(f"{named}: needs a genre in words, as --genre jazz, or --genres jazz,metal")
    name = hub_name(named.partition(":")[2] or MODEL)
    rate = sample_rate_of(name)
    made_of = [class_path(cls) for cls in (GenreGenerator, MusicGen, TextPrompts)]
    identity = hashlib.sha256(json.dumps([__version__, made_of, name.text, rate, *genres]).encode()).hexdigest()[:12]
    path = cache_root() / NAME / f"{NAME}-{identity}.ckpt"
    if not path.is_file():
        data = TextPrompts(sample_rate=rate, context_seconds=PROMPT_SECONDS, genres=list(genres))
        task = GenreGenerator(
            partial(MusicGen, model=name.text, texts=[f"{genre} music" for genre in genres]),
            seconds=SECONDS,
            guidance=GUIDANCE,
            num_classes=len(genres),
            sample_rate=rate,
            target_samples=data.target_samples,
        )
        of_data = {"front_end": data.front_end.standardise.state_dict(), "trained_on": []}
        with writing(path) as temporary:
            temporary.write_bytes(untrained_content(task, data, of_data))
    return path
