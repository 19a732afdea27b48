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
            layers = _layers(json.loads(file.attrs["model_config"]))
            weights = {name: _arrays(file["model_weights"][name]) for name in file["model_weights"]}
        first = next(config for kind, config in layers if kind == "Conv1D")
        network = TemporalPooling(
            next(config["units"] for kind, config in layers if kind == "Dense"),
            n_mels=weights[first["name"]]["kernel"].shape[1],
            filters=first["filters"],
            kernel=first["kernel_size"][0],
            stride=first["strides"][0],
            convolutions=sum(kind == "Conv1D" for kind, _ in layers),
        )
        _check(layers, first)
        _take(network, [weights[config["name"]] for kind, config in layers if kind in ("Conv1D", "Dense")])
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: not a whole Keras 2 model in HDF5 ({error}); get it anew") from error
    except (StopIteration, _OtherNetwork) as error:
        raise CheckpointError(
            f"{path}: not the network with global temporal pooling; {error or 'no such layers'}"
        ) from error
    return network.eval()


class _OtherNetwork(Exception):
    """What the layers are that they should not be."""


def _check(layers: list[tuple[str, dict[str, Any]]], first: dict[str, Any]) -> None:
    """Raise unless the layers are those of `TemporalPooling`, in their order; whatever only trains may lie between."""
    count = sum(kind == "Conv1D" for kind, _ in layers)
    like_first = {key: first[key] for key in ("filters", "kernel_size", "strides")}
    convolution = {**like_first, "padding": "valid", "dilation_rate": [1], "activation": "linear", "use_bias": True}
    pooling = {"pool_size": [2], "strides": [2], "padding": "valid"}
    wanted: list[tuple[str, dict[str, Any]]] = [
        *(("Conv1D", convolution), ("Activation", {"activation": "relu"}), ("MaxPooling1D", pooling)) * count,
        ("GlobalAveragePooling1D", {}),
        ("GlobalMaxPooling1D", {}),
        ("Concatenate", {}),
        ("Dense", {"activation": "linear", "use_bias": True}),
        ("Activation", {"activation": "softmax"}),
    ]
    found = [layer for layer in layers if layer[0] not in ("InputLayer", "Dropout")]
    if [kind for kind, _ in found] != [kind for kind, _ in wanted]:
        raise _OtherNetwork(f"its layers are {', '.join(kind for kind, _ in found)}")
    for (kind, config), (_, asked) in zip(found, wanted, strict=True):
        for key, value in asked.items():
            if config[key] != value:
                raise _OtherNetwork(f"{key} of {kind} {config['name']} is {config[key]}, not {value}")


def _take(network: TemporalPooling, weights: list[dict[str, Any]]) -> None:
    """Raises ValueError for arrays of other shapes."""
    ours = [layer for layer in network.modules() if isinstance(layer, nn.Conv1d | nn.Linear)]
    for layer, arrays in zip(ours, weights, strict=True):
        for parameter, array in ((layer.weight, arrays["kernel"].T), (layer.bias, arrays["bias"])):
            if parameter is None or parameter.shape != array.shape:
                raise ValueError(f"weights of shape {list(array.shape)}")
            parameter.data = torch.from_numpy(np.ascontiguousarray(array))


def _layers(model: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Kinds and settings of the layers of a model."""
    return [(layer["class_name"], layer["config"]) for layer in model["config"]["layers"]]


def _arrays(group: Any) -> dict[str, Any]:
    """Weights of a layer by their last name: `kernel`, `bias`."""
    found: dict[str, Any] = {}
    group.visititems(
        lambda name, item: (
            found.__setitem__(name.rpartition("/")[2].partition(":")[0], item[()]) if hasattr(item, "shape") else None
        )
    )
    return found
