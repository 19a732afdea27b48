"""The untrained reading as a task and a datamodule, and its accuracy beside a trained classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor

from musicgen_cls.checkpoints import untrained_content
from musicgen_cls.collection.collection import Collection
from musicgen_cls.datamodules.base import GenreDataModule
from musicgen_cls.datamodules.embeddings import Embeddings
from musicgen_cls.errors import SourceError
from musicgen_cls.metrics.intervals import Interval, wilson
from musicgen_cls.metrics.scores import Scores
from musicgen_cls.models.heads.linear_probe import LinearProbe
from musicgen_cls.models.heads.tag_reading import TagReading
from musicgen_cls.pretrained.embedder import tags_of
from musicgen_cls.tasks.classification import GenreClassifier
from musicgen_cls.untrained import DATA, NETWORKS, Tags, shipped

SECONDS = 3.0  # of a window
FEW_TRACKS = 40
"""With fewer training tracks of a genre, the report of a trained head shows the untrained reading too."""
MUSIC, MUSIC_AT = "Music", -1.0
"""The tag that says that a sound is music, and the logit at which that is as likely as not."""


@dataclass(frozen=True)
class Calibrated:
    """Temperature and biases of genres, fitted on labelled music."""

    temperature: float = 1.0
    bias: Mapping[str, float] | None = None


def content(tags: Tags, networks: Sequence[str], with_biases: bool) -> bytes:
    """The content of a checkpoint of the reading.

    Args:
        tags: tags of each genre.
        networks: those that can be had.
        with_biases: whether the tags are those of the package, which have biases of genres.
    """
    task, data = reading(tags, networks, _calibrated(with_biases))
    standardise = data.front_end.standardise.state_dict()
    return untrained_content(task, data, {"front_end": standardise, "trained_on": [], "backbones": data.digests})


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
    genres, tags = datamodule.genres, shipped()["genres"]
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


def _calibrated(with_biases: bool) -> Calibrated:
    """The calibration of the package; with other tags, its temperature only."""
    found = shipped()
    return Calibrated(found.get("temperature", 1.0), found.get("bias") if with_biases else None)


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
