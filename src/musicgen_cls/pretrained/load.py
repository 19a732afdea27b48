"""Backbones with their weights, by name."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch

from musicgen_cls.errors import UsageError, nearest
from musicgen_cls.models.backbones import Backbone, RandomBackbone
from musicgen_cls.pretrained.fetch import TAGS, cached, fetch
from musicgen_cls.pretrained.table import WEIGHTS
from musicgen_cls.specs import DOTTED
from musicgen_cls.trust import find_class

RANDOM = "random_"


def load(name: str, weights: bool = True) -> Backbone:
    """A backbone, in evaluation mode and with frozen weights.

    Args:
        name: of a network in `WEIGHTS`, as `yamnet`, or `msd_musicnn:mean_pool` with the layer of the embedding;
            `random_` and such a name for random weights; or the path of a class of your own, as `my_file.MyBackbone`.
        weights: whether to load the weights, which are fetched if they are not in the cache.

    Raises:
        UsageError: there is no network of this name, or it has no such layer.
        SourceError: the weights cannot be fetched.
    """
    if name.startswith(RANDOM):
        return _frozen(RandomBackbone(load(name.removeprefix(RANDOM), weights=False)))
    base, _, layer = name.partition(":")
    if base in WEIGHTS:
        return _frozen(_published(base, layer, weights))
    if DOTTED.fullmatch(base) and not layer:
        return _frozen(_own(base))
    raise UsageError(
        f"--data.backbones '{name}': no pretrained network{nearest(base, WEIGHTS) or '; see musiccli pretrained'}"
    )


def facts_of(name: str, backbone: Backbone) -> dict[str, str]:
    """The facts about a pretrained network in reports."""
    keys = ("trained_on", "licence", "source", "known_overlaps")
    return {"name": name, **{key: str(getattr(backbone, key)) for key in keys}}


def digest_of(backbone: Backbone) -> str:
    """The digest of all weights of a network, by name; 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, value in sorted(backbone.state_dict().items()):
        if not name.endswith("num_batches_tracked"):
            digest.update(name.encode() + bytes(str(tuple(value.shape)), "ascii"))
            digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _published(name: str, layer: str, with_weights: bool) -> Backbone:
    facts = WEIGHTS[name]
    settings: dict[str, Any] = {"layer": layer} if layer else {}
    try:
        backbone = facts.build(**settings)
    except TypeError as error:
        raise UsageError(
            f"--data.backbones '{name}:{layer}': {name} has one layer only; leave ':{layer}' out"
        ) from error
    backbone.licence, backbone.source = facts.licence, facts.source
    backbone.trained_on, backbone.known_overlaps = facts.trained_on, facts.known_overlaps
    if with_weights:
        _load_weights(backbone, name)
    return backbone


def _load_weights(backbone: Backbone, name: str) -> None:
    """Load the weights from the cache; a damaged file is fetched again."""
    from safetensors import SafetensorError, safe_open

    for last in (False, True):
        try:
            with safe_open(fetch(name), "pt") as file:
                backbone.load_state_dict({key: file.get_tensor(key) for key in file.keys()}, strict=False)  # noqa: SIM118
                if TAGS in (facts := file.metadata() or {}):
                    backbone.tag_names = tuple(json.loads(facts[TAGS]))
        except (SafetensorError, RuntimeError, OSError):
            found = "damaged"
        else:
            found = digest_of(backbone)
        if found == WEIGHTS[name].digest:
            return
        if last:
            raise UsageError(f"{cached(name)}: its weights are damaged ({found}); delete the file and fetch it again")
        cached(name).unlink(missing_ok=True)


def _own(path: str) -> Backbone:
    """A backbone of a class outside of this package, if its module is trusted."""
    cls = find_class(path)
    if not issubclass(cls, Backbone):
        raise UsageError(f"--data.backbones '{path}': not a Backbone; extend musicgen_cls.models.backbones.Backbone")
    backbone = cls()
    if missing := [name for name in ("sample_rate", "dim", "hop_seconds") if not hasattr(backbone, name)]:
        raise UsageError(f"--data.backbones '{path}': has no attribute {missing[0]}; set it, see Backbone")
    return backbone


def _frozen(backbone: Backbone) -> Backbone:
    return backbone.eval().requires_grad_(False)
