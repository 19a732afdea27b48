"""The table of pretrained weights: name, addresses, checksum, licence, and the data that trained them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from musicgen_cls.models.backbones import Backbone, JamendoFCN, JamendoMusiCNN, MusiCNN, MusicVGG, YAMNet
from musicgen_cls.models.backbones.musicnn import MSD_TAGS, MTT_TAGS
from musicgen_cls.pretrained.convert import State, from_tflite, from_torch, from_wheel, names_in_tflite

GITHUB = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class Weights:
    """Published weights of a network.

    `build` makes the network without weights; it takes the layer of the embedding, if there are several. `convert`
    reads the published file. `licence_file` is the text of the licence, in the folder data/licences. `package` is a
    requirement of the Python package index whose wheel is the file; otherwise `addresses` are where the file can be
    fetched. `tag_names` reads the names of the tags in it, if the network does not know them. `digest` is the digest of
    the converted weights, see `musicgen_cls.pretrained.load.digest_of`.
    """

    build: Callable[..., Backbone]
    convert: Callable[[Path], State]
    file: str
    sha256: str
    megabytes: float
    licence: str
    licence_file: str
    source: str
    trained_on: str
    known_overlaps: str
    digest: str
    addresses: tuple[str, ...] = ()
    package: str | None = None
    tag_names: Callable[[Path], list[str]] | None = None


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


WEIGHTS: dict[str, Weights] = {
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
}
"""Every pretrained network by name."""
