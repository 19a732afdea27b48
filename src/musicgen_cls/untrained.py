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
from dataclasses import dataclass
from functools import cache, partial
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import yaml
from torch import Tensor

from musicgen_cls import __version__
from musicgen_cls.checkpoints import untrained_content
from musicgen_cls.collection.collection import Collection
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.datamodules.embeddings import Embeddings
from musicgen_cls.errors import SourceError, UsageError, nearest, one_line
from musicgen_cls.files import as_path, cache_root, writing
from musicgen_cls.metrics.intervals import Interval, wilson
from musicgen_cls.metrics.scores import Scores
from musicgen_cls.models.heads.linear_probe import LinearProbe
from musicgen_cls.models.heads.tag_reading import TagReading
from musicgen_cls.pretrained.embedder import tags_of
from musicgen_cls.pretrained.fetch import fetch
from musicgen_cls.pretrained.load import load
from musicgen_cls.specs import class_path
from musicgen_cls.tasks.classification import GenreClassifier

NAME = "untrained"
"""What stands for this reading in place of a checkpoint."""

NETWORKS = ("yamnet", "msd_musicnn")
SECONDS = 3.0  # of a window
FEW_TRACKS = 40
"""With fewer training tracks of a genre, the report of a trained head shows the untrained reading too."""
MUSIC, MUSIC_AT = "Music", -1.0
"""The tag that says that a sound is music, and the logit at which that is as likely as not."""

DATA = Path(__file__).parent / "data"

Tags = Mapping[str, Mapping[str, Sequence[str]]]
"""Tags for each genre and network."""


@dataclass(frozen=True)
class Calibrated:
    """Temperature and biases of genres, fitted on labelled music."""

    temperature: float = 1.0
    bias: Mapping[str, float] | None = None


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
    mapping = _shipped()["genres"] if tags is None else _own_mapping(as_path(tags, "--genre_tags"), available)
    chosen = _restricted(mapping, genres)
    made_of = [class_path(cls) for cls in (GenreClassifier, TagReading, LinearProbe, Embeddings)]
    numbers = [_digest(DATA / name) for name in ("untrained.yaml", "untrained.npz")]
    settings = [__version__, made_of, list(available), chosen, numbers]
    identity = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]
    path = cache_root() / NAME / f"{NAME}-{identity}.ckpt"
    if not path.is_file():
        task, data = reading(chosen, available, _calibrated(tags is None))
        path.parent.mkdir(parents=True, exist_ok=True)
        standardise = data.front_end.standardise.state_dict()
        of_data = {"front_end": standardise, "trained_on": [], "backbones": data.digests}
        with writing(path) as temporary:
            temporary.write_bytes(untrained_content(task, data, of_data))
    return path


def reading(tags: Tags, networks: Sequence[str], calibrated: Calibrated) -> tuple[GenreClassifier, Embeddings]:
    """Task and datamodule that read genres from tags."""
    by_tags = NETWORKS[0] in networks
    data = Embeddings(
        backbones=list(networks), seconds=SECONDS, part="tags" if by_tags else "embeddings", genres=list(tags)
    )
    if not by_tags:
        return _with_head(data, list(tags)), data
    names = [network.tag_names for network in data.networks]
    network = partial(TagReading, networks=len(networks), tags=sum(map(len, names)))
    task = GenreClassifier(network, num_classes=len(tags))
    assert isinstance(task.network, TagReading)
    by_number = [{number: own.get(name, ()) for number, name in enumerate(networks)} for own in tags.values()]
    task.network.set_tags(names, by_number, reference(networks))
    task.network.music.fill_(names[0].index(MUSIC))
    task.network.music_at.fill_(MUSIC_AT)
    bias = calibrated.bias or {}
    task.calibration.temperature.fill_(calibrated.temperature)
    task.calibration.bias.copy_(torch.tensor([bias.get(genre, 0.0) for genre in tags]))
    return task, data


def untrained_beside(datamodule: GenreDataModule) -> Interval | None:
    """Track accuracy of the untrained reading on the test tracks of a datamodule, with its interval.

    None if every genre has `FEW_TRACKS` or more training tracks, if all tracks are test tracks, if a genre has no tags,
    or if the datamodule lacks the embeddings of one of the networks.
    """
    genres, tags = datamodule.genres, _shipped()["genres"]
    if not isinstance(datamodule, Embeddings) or datamodule.part == "tags" or datamodule.seconds != SECONDS:
        return None
    training = datamodule.windows["train"]
    counts = np.bincount(training.genre[np.unique(training.track, return_index=True)[1]], minlength=len(genres))
    if (
        not len(training)
        or counts.min() >= FEW_TRACKS
        or not set(genres) <= set(tags)
        or not set(NETWORKS) <= set(datamodule.backbones)
    ):
        return None
    task, own = reading({genre: tags[genre] for genre in genres}, NETWORKS, _calibrated(True))
    places = [datamodule.columns(name) for name in NETWORKS]
    test = datamodule.windows["test"]
    rows = datamodule.sample_windows(test, len(test))[..., np.concatenate(places)]
    with torch.inference_mode():
        log_probs = task.calibration(task(tags_of(own.networks, rows))).numpy()
    number, whole = np.arange(len(test)), cast(Collection, datamodule.collection).whole[test.track]
    scores = Scores(number, whole, test.start_s, test.genre, log_probs)
    return wilson(int((scores.track_pred == scores.track_y).sum()), len(scores.track_y))


def reference(networks: Sequence[str]) -> Tensor:
    """Logits of the tags of some hundred tracks of many genres, `[tracks, tags]`."""
    with np.load(DATA / "untrained.npz") as arrays:
        return torch.cat([torch.from_numpy(arrays[name].astype(np.float32)) for name in networks], dim=1)


@cache
def _shipped() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DATA / "untrained.yaml").read_text(encoding="utf-8"))
    return content


def _calibrated(shipped: bool) -> Calibrated:
    """The calibration of the package; with other tags, its temperature only."""
    found = _shipped()
    return Calibrated(found.get("temperature", 1.0), found.get("bias") if shipped else None)


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


def _with_head(data: Embeddings, genres: Sequence[str]) -> GenreClassifier:
    """MusiCNN with the linear classifier of the package."""
    with np.load(DATA / "untrained.npz") as arrays:
        known = [str(name) for name in arrays["head_genres"]]
        weight, bias = (torch.from_numpy(arrays[f"head_{part}"].astype(np.float32)) for part in ("weight", "bias"))
        mean, std = (torch.from_numpy(arrays[f"head_{part}"].astype(np.float32))[:, None] for part in ("mean", "std"))
    if missing := [genre for genre in genres if genre not in known]:
        raise SourceError(f"YAMNet is missing, and the classifier on MusiCNN knows no '{missing[0]}'; fetch yamnet")
    rows = [known.index(genre) for genre in genres]
    data.front_end.standardise.load_state_dict({"mean": mean, "std": std})
    task = GenreClassifier(partial(LinearProbe, decays=[0.0]), num_classes=len(genres))
    task(torch.zeros(1, 1, weight.shape[1]))  # gives the lazy layer its size
    task.network.load_state_dict({"chosen": torch.tensor(0), "linear.weight": weight[rows], "linear.bias": bias[rows]})
    return task


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
