"""Loading of weights that an older version stored under other names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn


def load_old_names(module: nn.Module, **names: str) -> None:
    """Let `load_state_dict` accept state dicts that have older names for attributes of a module.

    Args:
        module: a module that was built.
        names: `old="new"` for each submodule, parameter or buffer that was renamed.
    """
    module.register_load_state_dict_pre_hook(partial(_rename, names))  # type: ignore[no-untyped-call]


def _rename(names: Mapping[str, str], module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Rename the keys of `module`, which all begin with `prefix`, in place."""
    for key in [key for key in state_dict if key.startswith(prefix)]:
        name, dot, rest = key.removeprefix(prefix).partition(".")
        if name in names:
            state_dict[f"{prefix}{names[name]}{dot}{rest}"] = state_dict.pop(key)
