"""From the published files of weights to the names and shapes of this package's modules."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from torch import Tensor

from musicgen_cls.errors import UsageError, one_line
from musicgen_cls.pretrained.bundle import read_bundle

State = dict[str, Tensor]


def from_wheel(path: Path, name: str) -> State:
    """The weights of a network in the wheel of musicnn, such as `MSD_musicnn`.

    Raises:
        UsageError: the file is not that wheel, or is damaged.
    """
    try:
        with ZipFile(path) as wheel:
            index = wheel.read(f"musicnn/{name}/.index")
            data = wheel.read(f"musicnn/{name}/.data-00000-of-00001")
    except (BadZipFile, KeyError, OSError) as error:
        raise UsageError(f"{path}: not the wheel of musicnn 0.1.0 ({one_line(error)}); fetch it again") from error
    places = _vgg_places() if name.endswith("vgg") else _musicnn_places()
    found = read_bundle(index, data, places.values(), f"{path}: {name}")
    return {own: _in_our_order(own, torch.from_numpy(found[theirs].copy())) for own, theirs in places.items()}


def member_of(wheel: Path, name: str) -> bytes:
    """The content of a file in a wheel.

    Raises:
        UsageError: the wheel is damaged, or has no such file.
    """
    try:
        with ZipFile(wheel) as opened:
            return opened.read(name)
    except (BadZipFile, KeyError, OSError) as error:
        raise UsageError(f"{wheel}: not a wheel with {name} ({one_line(error)}); fetch it again") from error


def from_tflite(path: Path) -> State:
    """The weights of YAMNet from TensorFlow Lite: integers of 8 bits, with a scale for each channel.

    Raises:
        UsageError: the file is not that of YAMNet, or is damaged.
    """
    try:
        convolutions = _quantised_layers(path.read_bytes())
    except Exception as error:  # the reader of the format does not check its input
        raise UsageError(f"{path}: not a readable file of TensorFlow Lite ({type(error).__name__})") from error
    names = ["first", *(f"{kind}.{n}" for n in range(13) for kind in ("depthwise", "pointwise")), "output"]
    if len(convolutions) != len(names):
        raise UsageError(f"{path}: has {len(convolutions)} layers, YAMNet has {len(names)}; this is another network")
    state: State = {}
    for name, (kernel, bias) in zip(names, convolutions, strict=True):
        # [out, height, width, in], and [1, height, width, channels] for one filter a channel
        order = (3, 0, 1, 2) if name.startswith("depthwise") else (0, 3, 1, 2)
        state[f"{name}.weight"] = kernel.permute(order).contiguous() if kernel.ndim == 4 else kernel
        state[f"{name}.bias"] = bias
    return state


def names_in_tflite(path: Path) -> list[str]:
    """The names of the tags in the metadata of a TensorFlow Lite file, which are a zip file behind the network.

    Raises:
        UsageError: there are none.
    """
    try:
        with ZipFile(path) as metadata:
            return metadata.read("yamnet_label_list.txt").decode().splitlines()
    except (BadZipFile, KeyError, OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: has no list of tags ({one_line(error)}); fetch it again") from error


def from_torch(path: Path, fcn: bool) -> State:
    """The weights of a network on MTG-Jamendo.

    Raises:
        UsageError: the file is not that of the network, or is damaged.
    """
    try:
        state: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        places = _fcn_places() if fcn else _jamendo_places()
        return {own: state[theirs].clone() for own, theirs in places.items()}
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, KeyError, AttributeError, TypeError) as error:
        raise UsageError(f"{path}: not the weights of a network on MTG-Jamendo ({type(error).__name__})") from error


def _layer(own: str, theirs: str) -> dict[str, str]:
    """Weight and bias of a layer."""
    return {f"{own}.weight": f"{theirs}/kernel", f"{own}.bias": f"{theirs}/bias"}


def _norm(own: str, theirs: str) -> dict[str, str]:
    """The four arrays of a batch norm."""
    parts = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    return {f"{own}.{part}": f"{theirs}/{name}" for part, name in parts.items()}


def _numbered(name: str, number: int) -> str:
    """TensorFlow's name of the layer with a number: the first has none."""
    return f"{name}" + (f"_{number}" if number else "")


def _musicnn_places() -> dict[str, str]:
    """The variables of MusiCNN by our names. TensorFlow numbers the layers in the order of their creation."""
    convolutions = [*(f"timbral.{n}" for n in range(2)), *(f"temporal.{n}" for n in range(3))]
    convolutions += [f"middle.{n}" for n in range(3)]
    norms = ["norm", *(f"{name}.norm" for name in convolutions), "pool_norm", "dense_norm"]
    places: dict[str, str] = {}
    for number, name in enumerate(convolutions):
        places |= _layer(f"{name}.convolution", _numbered("conv2d", number))
    for number, name in enumerate(norms):
        places |= _norm(name, _numbered("batch_normalization", number))
    return places | _layer("dense", "dense") | _layer("output", "dense_1")


def _vgg_places() -> dict[str, str]:
    """The variables of the VGG by our names."""
    places = _norm("norm", "batch_normalization")
    for number in range(5):
        places |= _layer(f"convolutions.{number}", f"{number + 1}CNN")
        places |= _norm(f"norms.{number}", _numbered("batch_normalization", number + 1))
    return places | _layer("output", "dense")


def _in_our_order(name: str, value: Tensor) -> Tensor:
    """From TensorFlow's order of axes to PyTorch's."""
    if value.ndim == 4 and name.startswith("middle"):  # [frames, channels, 1, filters]
        return value[:, :, 0].permute(2, 1, 0).contiguous()
    if value.ndim == 4:  # [frames, bands, channels, filters]
        return value.permute(3, 2, 0, 1).contiguous()
    return value.T.contiguous() if value.ndim == 2 else value


def _jamendo_places() -> dict[str, str]:
    """The weights of MusiCNN on MTG-Jamendo by our names."""
    layers = [*(f"timbral.{n}" for n in range(2)), *(f"temporal.{n}" for n in range(3))]
    theirs = [f"layers.{n}" for n in range(5)] + [f"layer{n}" for n in range(1, 4)]
    places = _torch_layer("norm", "spec_bn", norm=True)
    for own, their in zip([*layers, *(f"middle.{n}" for n in range(3))], theirs, strict=True):
        places |= _torch_layer(f"{own}.0", f"{their}.conv") | _torch_layer(f"{own}.1", f"{their}.bn", norm=True)
    places |= _torch_layer("dense", "dense1") | _torch_layer("dense_norm", "bn", norm=True)
    return places | _torch_layer("output", "dense2")


def _fcn_places() -> dict[str, str]:
    """The weights of the fully convolutional network on MTG-Jamendo by our names."""
    places = _torch_layer("norm", "spec_bn", norm=True)
    for n in range(5):
        places |= _torch_layer(f"layers.{n}.0", f"layer{n + 1}.conv")
        places |= _torch_layer(f"layers.{n}.1", f"layer{n + 1}.bn", norm=True)
    return places | _torch_layer("output", "dense")


def _torch_layer(own: str, theirs: str, norm: bool = False) -> dict[str, str]:
    parts = ("weight", "bias", "running_mean", "running_var") if norm else ("weight", "bias")
    return {f"{own}.{part}": f"{theirs}.{part}" for part in parts}


def _quantised_layers(content: bytes) -> list[tuple[Tensor, Tensor]]:
    """Kernel and bias of each layer with 8-bit weights, in the order of the network."""
    import tflite

    model = tflite.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)
    found = []
    for number in range(graph.OperatorsLength()):
        inputs = graph.Operators(number).InputsAsNumpy()
        if len(inputs) == 3 and graph.Tensors(inputs[1]).Type() == tflite.TensorType.INT8:
            found.append((_numbers(model, graph.Tensors(inputs[1])), _numbers(model, graph.Tensors(inputs[2]))))
    return found


def _numbers(model: Any, tensor: Any) -> Tensor:
    """The numbers for the integers q of a tensor: scale (q - zero point), with a scale for all or for each channel."""
    import tflite

    kind = {tflite.TensorType.INT8: "i1", tflite.TensorType.INT32: "<i4"}[tensor.Type()]
    integers = np.frombuffer(model.Buffers(tensor.Buffer()).DataAsNumpy(), kind).reshape(tensor.ShapeAsNumpy())
    rule = tensor.Quantization()
    shape = [1] * integers.ndim
    if rule.ScaleLength() > 1:
        shape[rule.QuantizedDimension()] = rule.ScaleLength()
    scale, zero = (
        np.asarray(part, np.float64).reshape(shape) for part in (rule.ScaleAsNumpy(), rule.ZeroPointAsNumpy())
    )
    return torch.from_numpy(((integers - zero) * scale).astype(np.float32))
