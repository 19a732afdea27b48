"""Import of weights that were published for Keras."""

from __future__ import annotations

import json
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import nn

from musicgen_cls.errors import CheckpointError, one_line
from musicgen_cls.models.classifiers.temporal_pooling import TemporalPooling

_MAX_SIZE = 2048  # of a layer; the published network has 512 filters


def temporal_pooling(path: str | PathLike[str]) -> TemporalPooling:
    """Read a network with global temporal pooling from a Keras 2 file (HDF5); it is in eval mode.

    Titus, "Neural networks for music genre recognition", published such a file: 8 genres of FMA, natural logarithms of
    128 mel bands, 647 frames. `MelSlices` gives such spectrograms with `--data.logarithm natural`.

    Args:
        path: the file.

    Raises:
        CheckpointError: the file cannot be read, or has another network.
    """
    try:
        import h5py
    except ImportError as error:
        raise CheckpointError(f"{path}: h5py is needed to read it: python -m pip install h5py") from error
    try:
        with h5py.File(path, "r") as file:
            return _read(file).eval()
    except (StopIteration, _OtherNetwork) as error:
        raise CheckpointError(
            f"{path}: not a network with global temporal pooling: {str(error) or 'it has no such layers'}"
        ) from error
    except Exception as error:  # h5py has many classes of errors for a damaged file
        reason = one_line(error)[:200]
        raise CheckpointError(f"{path}: not a complete Keras 2 model in HDF5 ({reason}); download it again") from error


def _read(file: Any) -> TemporalPooling:
    """Build the network of an open file. Shapes are compared before memory of that size is used."""
    layers = _layers(json.loads(file.attrs["model_config"]))
    first = next(config for kind, config in layers if kind == "Conv1D")
    _check(layers, first)
    trained = [config["name"] for kind, config in layers if kind in ("Conv1D", "Dense")]
    weights = [_datasets(file["model_weights"][name]) for name in trained]
    sizes = {
        "units": next(config["units"] for kind, config in layers if kind == "Dense"),
        "n_mels": weights[0]["kernel"].shape[1],
        "filters": first["filters"],
        "kernel": first["kernel_size"][0],
        "stride": first["strides"][0],
        "convolutions": len(trained) - 1,
    }
    for name, size in sizes.items():
        if not isinstance(size, int) or not 1 <= size <= _MAX_SIZE:
            raise _OtherNetwork(f"{name} is {size!r:.50}, not a number from 1 to {_MAX_SIZE}")
    units = sizes.pop("units")
    with torch.device("meta"):  # shapes only, no memory
        _load_weights(TemporalPooling(units, **sizes), weights, fill=False)
    network = TemporalPooling(units, **sizes)
    _load_weights(network, weights, fill=True)
    return network


class _OtherNetwork(Exception):
    """The file has another network; the message has the difference."""


def _check(layers: list[tuple[str, dict[str, Any]]], first: dict[str, Any]) -> None:
    """Raise `_OtherNetwork` unless the layers are those of `TemporalPooling`, in order; dropout is ignored."""
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


def _load_weights(network: TemporalPooling, weights: list[dict[str, Any]], fill: bool) -> None:
    """Compare each array with a parameter of the network, and copy it if `fill`; raises `_OtherNetwork`."""
    ours = [layer for layer in network.modules() if isinstance(layer, nn.Conv1d | nn.Linear)]
    for layer, arrays in zip(ours, weights, strict=True):
        for name in ("kernel", "bias"):
            parameter, array = layer.weight if name == "kernel" else layer.bias, arrays[name]
            if parameter is None or tuple(parameter.shape) != array.shape[::-1] or array.dtype.kind != "f":
                raise _OtherNetwork(f"{array.name} has the type {array.dtype} and the shape {list(array.shape)}")
            if fill:
                values = np.ascontiguousarray(array[()].T, dtype=np.float32)
                if not np.isfinite(values).all():
                    raise _OtherNetwork(f"{array.name} has values that are not finite")
                parameter.data = torch.from_numpy(values)


def _layers(model: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Class and settings of each layer of a model."""
    return [(layer["class_name"], layer["config"]) for layer in model["config"]["layers"]]


def _datasets(group: Any) -> dict[str, Any]:
    """Arrays of a layer, not read yet, by the last part of their name: `kernel`, `bias`."""
    found: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if hasattr(item, "shape"):
            found[name.rpartition("/")[2].partition(":")[0]] = item

    group.visititems(visit)
    return found
