"""The table of pretrained weights: name, addresses, checksum, licence, and the data that trained them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from musicgen_cls.models.backbones import Backbone, JamendoFCN, JamendoMusiCNN, MusiCNN, MusicVGG, YAMNet
from musicgen_cls.models.backbones.musicnn import MSD_TAGS, MTT_TAGS
from musicgen_cls.pretrained.convert import State, from_tflite, from_torch, from_wheel, member_of, names_in_tflite

GITHUB = "https://raw.githubusercontent.com"

TAGS = "tags"
"""Key of the names of tags in a file of the cache."""

TRANSCRIBER = "basic_pitch"
"""The network that transcribes recordings."""


@dataclass(frozen=True, kw_only=True)
class Published(ABC):
    """A published file with a network, and what the cache keeps of it.

    `licence_file` is the text of the licence, in the folder data/licences. `package` is a requirement of the Python
    package index whose wheel is the file; otherwise `addresses` are where the file can be fetched.
    """

    SUFFIX: ClassVar[str]
    """Suffix of the file in the cache."""

    file: str
    sha256: str
    megabytes: float
    licence: str
    licence_file: str
    source: str
    trained_on: str
    addresses: tuple[str, ...] = ()
    package: str | None = None

    @abstractmethod
    def kept(self, published: Path) -> bytes:
        """The content of the file in the cache; raises `UsageError` if the published file is damaged."""


@dataclass(frozen=True, kw_only=True)
class Weights(Published):
    """Published weights of a backbone.

    `build` makes the network without weights; it takes the layer of the embedding, if there are several. `convert`
    reads the published file. `tag_names` reads the names of the tags in it, if the network does not know them. `digest`
    is the digest of the converted weights, see `musicgen_cls.pretrained.load.digest_of`.
    """

    SUFFIX: ClassVar[str] = ".safetensors"

    build: Callable[..., Backbone]
    convert: Callable[[Path], State]
    known_overlaps: str
    digest: str
    tag_names: Callable[[Path], list[str]] | None = None

    def kept(self, published: Path) -> bytes:
        """The converted weights, with the names of the tags."""
        from safetensors.torch import save

        tags = {} if self.tag_names is None else {TAGS: json.dumps(self.tag_names(published))}
        return save(self.convert(published), tags)


@dataclass(frozen=True, kw_only=True)
class Onnx(Published):
    """A published network in the format ONNX: the file `member` of a wheel. It is no backbone."""

    SUFFIX: ClassVar[str] = ".onnx"

    member: str

    def kept(self, published: Path) -> bytes:
        """The network as it was published."""
        return member_of(published, self.member)


def _pons(build: type[Backbone], name: str, digest: str) -> Weights:
    """A network in the wheel of musicnn."""
    million = name.startswith("MSD")
    return Weights(
        build=partial(build, MSD_TAGS if million else MTT_TAGS),
        convert=partial(from_wheel, name=name),
        file="musicnn-0.1.0-py3-none-any.whl",
        sha256="f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
        megabytes=29.3,
        licence="ISC",
        licence_file="musicnn.txt",
        source="Pons and Serra 2019, https://arxiv.org/abs/1909.06654",
        trained_on="Million Song Dataset" if million else "MagnaTagATune",
        known_overlaps="the Million Song Dataset probably holds artists of GTZAN, which cannot be checked"
        if million
        else "MagnaTagATune shares at least 27 of Emotify's 102 artists: quote no figure of this network on Emotify",
        digest=digest,
        package="musicnn==0.1.0",
    )


def _jamendo(build: type[Backbone], name: str, sha256: str, megabytes: float, digest: str) -> Weights:
    """A network on MTG-Jamendo."""
    fork = f"{GITHUB}/jose-jvmas/sota-music-tagging-models/bbcae87e2a25f46cdb5132fca2f400263439a98c"
    return Weights(
        build=build,
        convert=partial(from_torch, fcn=name == "fcn"),
        file=f"jamendo_{name}.pth",
        sha256=sha256,
        megabytes=megabytes,
        licence="MIT",
        licence_file="jamendo.txt",
        source="Won, Ferraro, Bogdanov and Serra 2020, https://arxiv.org/abs/2006.00751",
        trained_on="MTG-Jamendo",
        known_overlaps="none is known; its music is least like that of GTZAN",
        digest=digest,
        addresses=(
            f"{fork}/models/jamendo/{name}/best_model.pth",
            f"{GITHUB}/minzwon/sota-music-tagging-models/master/models/jamendo/{name}/best_model.pth",
        ),
    )


WEIGHTS: dict[str, Published] = {
    "yamnet": Weights(
        build=YAMNet,
        convert=from_tflite,
        file="yamnet.tflite",
        sha256="10c95ea3eb9a7bb4cb8bddf6feb023250381008177ac162ce169694d05c317de",
        megabytes=4.1,
        licence="Apache-2.0",
        licence_file="yamnet.txt",
        source="Plakal and Ellis 2020, https://github.com/tensorflow/models/tree/master/research/audioset/yamnet",
        trained_on="AudioSet",
        known_overlaps="AudioSet probably holds artists of GTZAN, which cannot be checked",
        digest="e730038c81422ea5",
        tag_names=names_in_tflite,
        addresses=(
            "https://storage.googleapis.com/tfhub-lite-models/google/lite-model/yamnet/classification/tflite/1.tflite",
            f"{GITHUB}/DENGRENHAO/Yamnet_tflite/16838c377ad88ca5a9e9ecb98237e76864c09d1a/yamnet.tflite",
        ),
    ),
    "msd_musicnn": _pons(MusiCNN, "MSD_musicnn", "0a65acb21045fd8d"),
    "mtt_musicnn": _pons(MusiCNN, "MTT_musicnn", "9131b525311e805d"),
    "msd_vgg": _pons(MusicVGG, "MSD_vgg", "93536f673ff04692"),
    "mtt_vgg": _pons(MusicVGG, "MTT_vgg", "7a6292607f61e333"),
    "jamendo_musicnn": _jamendo(
        JamendoMusiCNN,
        "musicnn",
        "66280f4859376377c47f64313c7ac889a3201fdb06a01bf6e94ac6e619081bb5",
        3.3,
        "b56193318b97004b",
    ),
    "jamendo_fcn": _jamendo(
        JamendoFCN, "fcn", "7bce08a66dbc70d096b0a330f44b4cacd9aa25519b83489fbb98f2164a194e2b", 1.9, "511326f95697deec"
    ),
    TRANSCRIBER: Onnx(
        member="basic_pitch/saved_models/icassp_2022/nmp.onnx",
        file="basic_pitch-0.4.0-py2.py3-none-any.whl",
        sha256="738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
        megabytes=0.8,
        licence="Apache-2.0",
        licence_file="basic_pitch.txt",
        source="Bittner, Bosch, Rubinstein, Meseguer-Brocal and Ewert 2022, https://arxiv.org/abs/2203.09893",
        trained_on="GuitarSet, iKala, MAESTRO, MedleyDB-Pitch and Slakh",
        package="basic-pitch==0.4.0",
    ),
}
"""Every pretrained network by name."""
