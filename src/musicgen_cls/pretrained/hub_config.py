"""The config of a hub model as text in a checkpoint, which is enough to build the network again without the hub."""

from __future__ import annotations

import json
from typing import Any

from musicgen_cls.errors import UsageError, one_line
from musicgen_cls.models.backbones.base import FACTS
from musicgen_cls.models.backbones.hugging_face import HiddenLayer, HuggingFace
from musicgen_cls.sources.hub_files import needed


def described(backbone: HuggingFace) -> str | None:
    """The config of model and processor, and what its card says, as JSON; None if the model needs code of the hub."""
    model = backbone.model.config.to_dict()  # type: ignore[union-attr, operator]
    if not type(backbone.model).__module__.startswith("transformers."):
        return None
    card = {name: getattr(backbone, name) for name in FACTS}
    return json.dumps({"model": model, "processor": backbone.processor.to_dict(), "card": card}, default=str)


def from_config(text: str, layer: HiddenLayer | None) -> HuggingFace:
    """A backbone without weights from what `described` returned; nothing is fetched, and no other code runs.

    Raises:
        UsageError: the text is damaged, or the model needs code of the hub.
    """
    transformers = needed("transformers", "this checkpoint")
    try:
        facts = json.loads(text)
        config = transformers.AutoConfig.for_model(**_harmless(facts["model"]))
        kind = facts["processor"]["feature_extractor_type"]
        if not kind.endswith("FeatureExtractor"):
            raise TypeError(f"{kind!r:.40} is no processor of audio")
        processor = getattr(transformers, kind)(**facts["processor"])
        model = transformers.AutoModel.from_config(config, trust_remote_code=False)
        card = dict(facts["card"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"the backbone's config cannot be read ({one_line(error)[:100]}); use another checkpoint"
        ) from error
    backbone = HuggingFace(model, processor, layer)
    for fact in FACTS:
        setattr(backbone, fact, printable(card.get(fact, getattr(backbone, fact))))
    return backbone


def _harmless(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a model without those that name code or files elsewhere."""
    names = ("auto_map", "attn_implementation", "quantization_config", "name_or_path")
    return {name: value for name, value in settings.items() if not name.startswith("_") and name not in names}


def printable(text: object) -> str:
    """What a card says as one line without control characters, which could command a terminal."""
    return "".join(c for c in one_line(text) if c.isprintable())
