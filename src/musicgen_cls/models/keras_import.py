"""Weights that were published for Keras."""

from __future__ import annotations

import json
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import nn

from musicgen_cls.errors import CheckpointError
from musicgen_cls.models.temporal_pooling import TemporalPooling


def temporal_pooling(path: str | PathLike[str]) -> TemporalPooling:
    """The network with global temporal pooling that a Keras 2 file (HDF5) holds, in its shapes, in eval mode.

    Such a file came with Titus, "Neural networks for music genre recognition" (8 genres of FMA; natural logarithms of
    128 mel bands, 647 frames, which `MelSlices` makes with `--data.logarithm natural`).

    Args:
        path: the file.

    Raises:
        CheckpointError: it cannot be read, or holds another kind of network.
    """
    try:
        import h5py
    except ImportError as error:
        raise CheckpointError(f"{path}: reading it takes h5py: python -m pip install h5py") from error
    try:
        with h5py.File(path, "r") as file:
            layers = [
                (layer["class_name"], layer["config"]) for layer in _layers(json.loads(file.attrs["model_config"]))
            ]
            weights = {name: _arrays(file["model_weights"][name]) for name in file["model_weights"]}
    except (OSError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: not a Keras 2 model in HDF5 ({error}); get it anew") from error
    convolutions = [config for kind, config in layers if kind == "Conv1D"]
    dense = [config for kind, config in layers if kind == "Dense"]
    pooling = {kind for kind, _ in layers if kind.startswith("Global")}
    like = pooling == {"GlobalAveragePooling1D", "GlobalMaxPooling1D"} and convolutions and len(dense) == 1
    shapes = {(c["filters"], *c["kernel_size"], *c["strides"], c["padding"]) for c in convolutions}
    if not like or len(shapes) > 1 or any(shape[-1] != "valid" for shape in shapes):
        raise CheckpointError(
            f"{path}: not the network with global temporal pooling, but {[kind for kind, _ in layers]}"
        )
    first = weights[convolutions[0]["name"]]["kernel"]  # [kernel, n_mels, filters]
    network = TemporalPooling(
        dense[0]["units"],
        n_mels=first.shape[1],
        filters=first.shape[2],
        kernel=first.shape[0],
        stride=convolutions[0]["strides"][0],
        convolutions=len(convolutions),
    )
    ours = [layer for layer in network.modules() if isinstance(layer, nn.Conv1d | nn.Linear)]
    for layer, config in zip(ours, [*convolutions, *dense], strict=True):
        arrays = weights[config["name"]]
        layer.weight.data = torch.from_numpy(np.ascontiguousarray(arrays["kernel"].T))
        layer.bias.data = torch.from_numpy(arrays["bias"])  # type: ignore[union-attr]
    return network.eval()


def _layers(model: dict[str, Any]) -> list[dict[str, Any]]:
    """The layers of a model, of either of the two kinds."""
    config = model["config"]
    layers: list[dict[str, Any]] = config["layers"] if isinstance(config, dict) else config
    return layers


def _arrays(group: Any) -> dict[str, Any]:
    """Weights of a layer by their last name: `kernel`, `bias`."""
    found: dict[str, Any] = {}
    group.visititems(
        lambda name, item: (
            found.__setitem__(name.rpartition("/")[2].partition(":")[0], item[()]) if hasattr(item, "shape") else None
        )
    )
    return found
