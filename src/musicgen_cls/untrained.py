"""The untrained reading: genres from the tags of pretrained networks, as a checkpoint like any other.

It is made when it is first needed, in the cache: a `GenreClassifier` with the network `TagReading` on the tags of
YAMNet and MusiCNN. If the weights of one network cannot be fetched, the other one is used alone: YAMNet by its tags,
MusiCNN with a linear classifier that comes with the package.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from musicgen_cls import __version__
from musicgen_cls.errors import SourceError, UsageError, nearest, one_line
from musicgen_cls.files import as_path, cache_root, writing
from musicgen_cls.pretrained.fetch import fetch
from musicgen_cls.pretrained.load import load

NAME = "untrained"
"""What stands for this reading in place of a checkpoint."""

NETWORKS = ("yamnet", "msd_musicnn")
DATA = Path(__file__).parent / "data"

Tags = Mapping[str, Mapping[str, Sequence[str]]]
"""Tags for each genre and network."""


def is_meant(path: str | PathLike[str]) -> bool:
    """Whether a name stands for the untrained reading: `untrained`, if there is no such file."""
    return str(path) == NAME and not Path(path).exists()


def checkpoint(genres: Sequence[str] = (), tags: str | PathLike[str] | None = None) -> Path:
    """The file of the untrained reading; it is made if there is none yet.

    Args:
        genres: only these; all of the mapping if empty.
        tags: a YAML file with the tags of one's own genres, as `rock: {yamnet: [Rock music], msd_musicnn: [rock]}`.

    Raises:
        UsageError: the mapping has no such genre, or a network no such tag.
        SourceError: no network can be fetched.
    """
    available = _available()
    mapping = shipped()["genres"] if tags is None else _own_mapping(as_path(tags, "--genre_tags"), available)
    chosen = _restricted(mapping, genres)
    numbers = [_digest(DATA / name) for name in ("untrained.yaml", "untrained.npz")]
    settings = [__version__, list(available), chosen, numbers]
    identity = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]
    path = cache_root() / NAME / f"{NAME}-{identity}.ckpt"
    if not path.is_file():
        from musicgen_cls.untrained_parts import content

        with writing(path) as temporary:
            temporary.write_bytes(content(chosen, available, tags is None))
    return path


@cache
def shipped() -> dict[str, Any]:
    """The tags of the genres, the temperature and the biases that come with the package."""
    content: dict[str, Any] = yaml.safe_load((DATA / "untrained.yaml").read_text(encoding="utf-8"))
    return content


def _available() -> tuple[str, ...]:
    """The networks whose weights are in the cache or can be fetched."""
    failures = {}
    for name in NETWORKS:
        try:
            fetch(name)
        except SourceError as error:
            failures[name] = str(error)
    if len(failures) == len(NETWORKS):
        raise SourceError("; ".join(failures.values()))
    for name, reason in failures.items():
        rest = "YAMNet alone" if name != NETWORKS[0] else "MusiCNN alone, with a trained classifier"
        print(f"{reason}\nThe genres come from {rest}, which is less accurate", file=sys.stderr)
    return tuple(name for name in NETWORKS if name not in failures)


def _own_mapping(path: Path, available: Sequence[str]) -> Tags:
    """A user's tags for each genre; those of networks that are not available are not checked."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"--genre_tags {path}: cannot be read ({one_line(error)[:100]}); name a YAML file") from error
    example = "rock: {yamnet: [Rock music], msd_musicnn: [rock]}"
    if not isinstance(found, dict) or len(found) < 2:
        raise UsageError(f"--genre_tags {path}: needs two or more genres, each with tags, as {example}")
    known = {network: load(network).tag_names for network in available}
    for genre, own in found.items():
        if not isinstance(own, dict) or not all(isinstance(tags, list) for tags in own.values()) or not own:
            raise UsageError(f"--genre_tags {path}: genre '{genre}' needs tags of networks, as {example}")
        for network, tags in own.items():
            if network not in NETWORKS:
                raise UsageError(
                    f"--genre_tags {path}: genre '{genre}' names the network '{network}'; use {', '.join(NETWORKS)}"
                )
            for tag in tags if network in known else ():
                if tag not in known[network]:
                    near = nearest(str(tag), known[network])
                    raise UsageError(f"--genre_tags {path}: {network} has no tag '{tag}'{near}")
    return {str(genre): own for genre, own in found.items()}


def _restricted(mapping: Tags, genres: Sequence[str]) -> dict[str, Any]:
    if list(genres) == [""]:
        raise UsageError(f"--genres: empty; name two or more of {', '.join(mapping)}")
    for genre in genres:
        if genre not in mapping:
            raise UsageError(
                f"--genres {genre}: the mapping has {', '.join(mapping)}; name some of these, or give --genre_tags"
            )
    if len(genres) == 1:
        raise UsageError(f"--genres {genres[0]}: only one genre; name two or more")
    return {genre: mapping[genre] for genre in (genres or mapping)}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
