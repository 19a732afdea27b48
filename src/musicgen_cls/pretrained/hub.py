"""Audio encoders of the Hugging Face hub by name: files, licence, trust, and the backbone."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from musicgen_cls.errors import UsageError, one_line
from musicgen_cls.models.backbones.hugging_face import HiddenLayer, HuggingFace, is_audio_processor
from musicgen_cls.pretrained.hub_config import printable
from musicgen_cls.sources.hub_files import PINNED, files_of, needed
from musicgen_cls.trust import ACCEPT_VARIABLE, is_trusted

NON_COMMERCIAL = {
    **{f"m-a-p/{name}": "cc-by-nc-4.0" for name in ("MERT-v0", "MERT-v0-public", "MERT-v1-95M", "MERT-v1-330M")},
    **{
        f"facebook/musicgen-{kind}{size}": "cc-by-nc-4.0"
        for kind in ("", "stereo-")
        for size in ("small", "medium", "large")
    },
}
"""Licences of well-known models, for folders and caches without a model card."""

FACTS = ["*.json", "README.md"]
"""The small files of a model."""
_LAYER = re.compile(r"mean|\d+")


@dataclass(frozen=True)
class HubName:
    """A model by name: `organisation/name@revision:layer`, or a folder in the place of name and revision."""

    text: str
    """The name without the layer, as the user wrote it."""
    repo: str
    revision: str
    layer: HiddenLayer | None
    folder: Path | None
    """The folder, for a model that is not on the hub."""


def parse(name: str) -> HubName | None:
    """The parts of a name; None if it is not the name of a model of the hub or of a folder."""
    base, _, layer = name.rpartition(":")
    if not base or not _LAYER.fullmatch(layer):
        base, layer = name, ""
    if "/" not in base and os.sep not in base:
        return None
    repo, _, revision = base.partition("@")
    folder = Path(base).expanduser()
    chosen: Any = (layer if layer == "mean" else int(layer)) if layer else None
    return HubName(base, repo, revision or "main", chosen, folder if folder.is_dir() else None)


def load_from_hub(name: HubName, with_weights: bool) -> HuggingFace:
    """The backbone of a model.

    Args:
        name: the model.
        with_weights: whether to load its weights; random ones otherwise, and no large file is fetched.

    Raises:
        UsageError: there is no such model, revision or layer; it is no audio encoder; its weights are not safetensors;
            it needs code that is not trusted; or its licence is not accepted.
        SourceError: the hub cannot be reached.
    """
    needed("transformers", name.text)
    folder = files(name, FACTS, has_config)
    config = config_of(name, folder)
    remote = _trusted_code(name, folder, config)
    licence, card = read_card(name, folder)
    if with_weights:
        check_licence(name.text, licence)
        folder = files(name, [*FACTS, "*.safetensors", *["*.py"] * remote], has_weights)
    elif remote:
        folder = files(name, [*FACTS, "*.py"], has_config)
    backbone = _built(name, folder, remote, with_weights)
    backbone.licence = printable(licence or "unknown")
    backbone.source = name.text if name.folder else f"https://huggingface.co/{name.repo} ({name.revision})"
    backbone.trained_on = printable(", ".join(_texts(card.get("datasets")))) or "unknown; see the model card"
    backbone.known_overlaps = "the overlap of its training data with this music is not known"
    return backbone


def check_licence(name: str, licence: str | None) -> None:
    """Raise `UsageError` if a licence forbids commercial use and the user has not accepted it."""
    if licence and re.search(r"(^|-)nc(-|$)", licence) and os.environ.get(ACCEPT_VARIABLE, "") not in ("1", "true"):
        raise UsageError(
            f"{name}: its weights are for non-commercial use only (licence {licence}); if you accept that, add "
            f"--accept_licence, or set {ACCEPT_VARIABLE}=1"
        )


def files(name: HubName, patterns: list[str], complete: Any) -> Path:
    """The folder of the files, checked."""
    folder = name.folder or files_of(name.repo, name.revision, patterns, complete)
    if not has_config(folder):
        raise UsageError(f"{name.text}: has no config.json with a model_type; name a model of transformers")
    if "*.safetensors" in patterns and not has_weights(folder):
        raise UsageError(
            f"{name.text}: has no weights as safetensors, and other formats can run code; name a revision that has "
            "them, such as refs/pr/N of a conversion"
        )
    return folder


def has_config(folder: Path) -> bool:
    """Whether the settings are there."""
    return (folder / "config.json").is_file()


def has_weights(folder: Path) -> bool:
    """Whether the weights are there; all parts of them, if they have an index."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return has_config(folder) and (folder / "model.safetensors").is_file()
    try:
        parts = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError, OSError):
        return False
    return all((folder / str(part)).is_file() for part in parts)


def config_of(name: HubName, folder: Path) -> dict[str, Any]:
    """The settings of a model; raises `UsageError` if they are damaged or name code of others."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UsageError(f"{folder / 'config.json'}: not JSON ({one_line(error)[:80]}); fetch it again") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise UsageError(f"{name.text}: has no config.json with a model_type; name a model of transformers")
    if any("/" in str(config.get(key)) for key in ("attn_implementation", "_attn_implementation")):
        raise UsageError(f"{name.text}: its config.json names code of another repository, which is not run")
    if (folder / "adapter_config.json").is_file():
        raise UsageError(f"{name.text}: has an adapter of another model; name a model with all its weights")
    return config


def _trusted_code(name: HubName, folder: Path, config: dict[str, Any]) -> bool:
    """Whether the model needs code from its files, which the user trusts.

    The code runs only if the user names the model and its pinned revision; nothing in the files can change that.

    Raises:
        UsageError: it needs code that is not trusted, or that lies elsewhere.
    """
    from transformers import CONFIG_MAPPING

    if config["model_type"] in CONFIG_MAPPING:
        return False
    places = config.get("auto_map")
    if not isinstance(places, dict) or "AutoModel" not in places:  # no code could help
        raise UsageError(f"{name.text}: transformers does not know its model_type {config['model_type']!r:.60}")
    if any("--" in place for place in _code_places(folder)):
        raise UsageError(f"{name.text}: its code lies in another repository, whose revision is not pinned; not run")
    if name.folder is None and not PINNED.fullmatch(name.revision):
        raise UsageError(
            f"{name.text}: needs code of its authors, which runs on this machine; name a revision that cannot change, "
            f"as {name.repo}@COMMIT with 40 hexadecimal digits, read its code, and add --trust {name.repo}@COMMIT"
        )
    if not is_trusted(name.text):
        raise UsageError(
            f"{name.text}: needs code of its authors, which runs on this machine; if you have read and trust it, add "
            f"--trust {name.text}"
        )
    return True


def _code_places(folder: Path) -> Iterator[str]:
    """Where the settings in a folder say that code is; `other/name--file.Class` is in another repository."""
    for file in folder.glob("*.json"):
        with suppress(ValueError, OSError, AttributeError):
            for places in (json.loads(file.read_text(encoding="utf-8")).get("auto_map") or {}).values():
                yield from _texts(places)


def read_card(name: HubName, folder: Path) -> tuple[str | None, dict[str, Any]]:
    """The licence of a model, and the metadata of its card."""
    import yaml

    card: Any = {}
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
        if found := re.match(r"\s*---\r?\n(.*?)\n---", text, re.DOTALL):
            card = yaml.safe_load(found[1])
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        card = {}
    card = card if isinstance(card, dict) else {}
    named = [text for key in ("license", "license_name") for text in _texts(card.get(key)) if text != "other"]
    known = NON_COMMERCIAL.get(name.repo)
    return (known or ", ".join(named).lower() or None), card


def _texts(value: Any) -> list[str]:
    """The texts in a value of a card: one, or a list."""
    if isinstance(value, str):
        return [value]
    return [part for part in value if isinstance(part, str)] if hasattr(value, "__iter__") else []


def _built(name: HubName, folder: Path, remote: bool, with_weights: bool) -> HuggingFace:
    """The backbone from the files in a folder."""
    transformers = needed("transformers", name.text)
    options: dict[str, Any] = {"trust_remote_code": remote, "local_files_only": True}
    try:
        processor = transformers.AutoFeatureExtractor.from_pretrained(str(folder), **options)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _no_encoder(name, one_line(error)[:100]) from error
    if not is_audio_processor(processor):
        raise _no_encoder(name, f"its processor is {type(processor).__name__}")
    with quiet(transformers):
        try:
            config = transformers.AutoConfig.from_pretrained(str(folder), **options)
            model = _model(transformers, folder, config, options, with_weights)
        except Exception as error:  # damaged settings, damaged weights, code of others
            raise UsageError(f"{name.text}: cannot be loaded ({one_line(error)[:200]}); name another model") from error
    try:
        return HuggingFace(model.float(), processor, name.layer)
    except UsageError as error:
        raise UsageError(f"{name.text}: {error}") from error
    except (AttributeError, TypeError) as error:
        raise _no_encoder(name, one_line(error)[:100]) from error


def _model(transformers: Any, folder: Path, config: Any, options: dict[str, Any], with_weights: bool) -> Any:
    if not with_weights:
        return transformers.AutoModel.from_config(config, trust_remote_code=options["trust_remote_code"])
    model, found = transformers.AutoModel.from_pretrained(
        str(folder), config=config, use_safetensors=True, output_loading_info=True, dtype=torch.float32, **options
    )
    if missing := sorted(found["missing_keys"]):
        logging.getLogger(__name__).warning(
            "%s: %d weights are not in its file, the first: %s", folder, len(missing), missing[0]
        )
    return model


def _no_encoder(name: HubName, why: str) -> UsageError:
    return UsageError(f"{name.text}: no audio encoder ({why}); name a model on audio, such as ntu-spml/distilhubert")


class quiet:
    """Turn the progress bars and reports of transformers off."""

    def __init__(self, transformers: Any) -> None:
        self.logging = transformers.utils.logging

    def __enter__(self) -> None:
        self.level = self.logging.get_verbosity()
        self.bars = self.logging.is_progress_bar_enabled()
        self.logging.set_verbosity_error()
        self.logging.disable_progress_bar()

    def __exit__(self, *error: object) -> None:
        self.logging.set_verbosity(self.level)
        if self.bars:
            self.logging.enable_progress_bar()
