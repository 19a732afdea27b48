"""Backbones with their weights, by name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from musicgen_cls.errors import CheckpointError, UsageError, nearest
from musicgen_cls.models.backbones import Backbone, RandomBackbone
from musicgen_cls.models.backbones.base import FACTS
from musicgen_cls.pretrained import hub
from musicgen_cls.pretrained.fetch import cached, fetch
from musicgen_cls.pretrained.table import TAGS, WEIGHTS, Weights
from musicgen_cls.specs import DOTTED
from musicgen_cls.trust import find_class

RANDOM = "random_"


def load(name: str, weights: bool = True) -> Backbone:
    """A backbone, in evaluation mode and with frozen weights.

    Args:
        name: of a network in `WEIGHTS`, as `yamnet`, or `msd_musicnn:mean_pool` with the layer of the embedding;
            `random_` and such a name for random weights; `organisation/name@revision` for an audio encoder of the
            Hugging Face hub, or the path of its folder, also with a layer, as `:7` or `:mean`; or the path of a class
            of your own, as `my_file.MyBackbone`.
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
    if (hub_name := hub.parse(name)) is not None:
        return _frozen(hub.load_from_hub(hub_name, weights))
    if DOTTED.fullmatch(base) and not layer:
        return _frozen(_own(base))
    near = nearest(base, WEIGHTS) or "; see musiccli pretrained"
    raise UsageError(f"--data.backbones '{name}': no pretrained network of this name{near}")


def is_published(name: str) -> bool:
    """Whether a name that `load` takes is that of a network in `WEIGHTS`, also with random weights."""
    return name.removeprefix(RANDOM).partition(":")[0] in WEIGHTS


def facts_of(name: str, backbone: Backbone) -> dict[str, str]:
    """The facts about a pretrained network in reports."""
    return {"name": name, **{key: str(getattr(backbone, key)) for key in FACTS}}


def digest_of(backbone: Backbone) -> str:
    """The digest of all weights of a network, by name; 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, value in sorted(backbone.state_dict().items()):
        if not name.endswith("num_batches_tracked"):
            digest.update(name.encode() + bytes(str(tuple(value.shape)), "ascii"))
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def digests_of(names: Sequence[str], networks: Callable[[int], Backbone]) -> dict[str, str]:
    """The digest of the weights of each backbone by name; those of published weights are known without a network.

    Args:
        names: as `load` takes them.
        networks: the backbone of a position, with its weights.
    """
    published = {name: WEIGHTS.get(name.partition(":")[0]) for name in names}
    return {
        name: facts.digest if isinstance(facts, Weights) else digest_of(networks(number))
        for number, (name, facts) in enumerate(published.items())
    }


def check_digests(trained: Mapping[str, str], own: Mapping[str, str]) -> None:
    """Raise `CheckpointError` if the weights of a backbone differ from those in training.

    Args:
        trained: digest by name in the checkpoint.
        own: digest by name of the present networks.
    """
    for name, digest in trained.items():
        if own.get(name) != digest:
            raise CheckpointError(
                f"--ckpt_path: trained on embeddings of {name} with the digest {digest}, but its weights here have "
                f"{own.get(name)}; use those weights, or train again"
            )


def _published(name: str, layer: str, with_weights: bool) -> Backbone:
    facts = backbone_weights(name)
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
        _load_weights(backbone, name, facts)
    return backbone


def backbone_weights(name: str) -> Weights:
    """The published weights of a backbone; raises `UsageError` if the network of this name in `WEIGHTS` is none."""
    facts = WEIGHTS[name]
    if not isinstance(facts, Weights):
        known = ", ".join(other for other, of in WEIGHTS.items() if isinstance(of, Weights))
        raise UsageError(f"--data.backbones '{name}': not a network with embeddings; name one of {known}")
    return facts


def _load_weights(backbone: Backbone, name: str, facts: Weights) -> None:
    """Load the weights from the cache; a damaged file is fetched again."""
    from safetensors import SafetensorError, safe_open

    for last in (False, True):
        try:
            with safe_open(fetch(name), "pt") as file:
                backbone.load_state_dict({key: file.get_tensor(key) for key in file.keys()}, strict=False)  # noqa: SIM118
                if facts.tag_names is not None:
                    backbone.tag_names = tuple(json.loads((file.metadata() or {})[TAGS]))
        except (SafetensorError, RuntimeError, OSError, KeyError, ValueError):
            found = "damaged"
        else:
            found = digest_of(backbone)
        if found == facts.digest:
            return
        if last:
            raise UsageError(f"{cached(name)}: its weights are damaged ({found}); delete the file and fetch it again")
        cached(name).unlink(missing_ok=True)


def _own(path: str) -> Backbone:
    """A backbone of a class outside of this package, if its module is trusted."""
    where = f"--data.backbones '{path}'"
    try:
        cls = find_class(path)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    if not issubclass(cls, Backbone):
        raise UsageError(f"{where}: not a Backbone; extend musicgen_cls.models.backbones.Backbone")
    try:
        backbone = cls()
    except TypeError as error:  # a missing method, or an argument without a default
        raise UsageError(f"{where}: cannot be made ({error}); define embed, and give arguments defaults") from error
    for name in ("sample_rate", "dim", "hop_seconds"):
        value = getattr(backbone, name, None)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            given = "is missing" if value is None else f"is {value!r:.40}"
            raise UsageError(f"{where}: its attribute {name} {given}; set it to a number above 0")
    return backbone


def _frozen(backbone: Backbone) -> Backbone:
    return backbone.eval().requires_grad_(False)
