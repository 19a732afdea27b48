"""Weights published for Keras, against a plain NumPy forward pass of the file's layers."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from scipy.special import softmax

from musicgen_cls.errors import CheckpointError
from musicgen_cls.models.classifiers.keras_import import temporal_pooling

POOL = {"pool_size": [2], "strides": [2], "padding": "valid"}
PLAIN = {"activation": "linear", "use_bias": True}


def forward(path: Path, x: np.ndarray) -> np.ndarray:
    """Output of the layers of a file for `[frames, n_mels]`, in float64."""
    with h5py.File(path) as file:
        pooled, layers = [], json.loads(file.attrs["model_config"])["config"]["layers"]
        for layer in layers:
            kind, config = layer["class_name"], layer["config"]
            if kind in ("Conv1D", "Dense"):
                group = file["model_weights"][config["name"]][config["name"]]
                kernel, bias = group["kernel:0"][()].astype(float), group["bias:0"][()].astype(float)
            if kind == "Conv1D":
                (size,), (stride,) = config["kernel_size"], config["strides"]
                starts = range(0, len(x) - size + 1, stride)
                x = np.stack([np.einsum("ki,kio->o", x[i : i + size], kernel) + bias for i in starts])
            elif kind == "Activation":
                x = np.maximum(x, 0) if config["activation"] == "relu" else softmax(x)
            elif kind == "MaxPooling1D":
                x = np.stack([x[i : i + 2].max(axis=0) for i in range(0, len(x) - 1, 2)])
            elif kind.startswith("Global"):
                pooled.append(x.mean(axis=0) if "Average" in kind else x.max(axis=0))
            elif kind == "Concatenate":
                x = np.concatenate(pooled)
            elif kind == "Dense":
                x = x @ kernel + bias
    return x


def write(path: Path, kinds: tuple[str, ...] = ("GlobalAveragePooling1D", "GlobalMaxPooling1D")) -> Path:
    """A small file like the published one: 3 genres, 6 bands, 5 filters."""
    rng = np.random.default_rng(0)
    layers: list[dict] = [{"class_name": "InputLayer", "config": {"name": "input"}}]
    with h5py.File(path, "w") as file:
        weights = file.create_group("model_weights")

        def add(name: str, kernel: tuple[int, ...]) -> None:
            group = weights.create_group(name).create_group(name)
            group["kernel:0"] = rng.normal(0, 1 / np.sqrt(np.prod(kernel[:-1])), size=kernel).astype("f4")
            group["bias:0"] = rng.normal(size=kernel[-1]).astype("f4")

        for i in range(3):
            config = {"name": f"conv_{i}", "filters": 5, "kernel_size": [4], "strides": [2], "padding": "valid"}
            config |= {"dilation_rate": [1], "activation": "linear", "use_bias": True}
            layers.append({"class_name": "Conv1D", "config": config})
            layers.append({"class_name": "Activation", "config": {"name": f"relu_{i}", "activation": "relu"}})
            layers.append({"class_name": "MaxPooling1D", "config": {"name": f"pool_{i}", **POOL}})
            add(f"conv_{i}", (4, 6 if i == 0 else 5, 5))
        layers += [{"class_name": kind, "config": {"name": kind}} for kind in kinds]
        layers.append({"class_name": "Concatenate", "config": {"name": "both"}})
        layers.append({"class_name": "Dense", "config": {"name": "dense", "units": 3, **PLAIN}})
        layers.append({"class_name": "Activation", "config": {"name": "softmax", "activation": "softmax"}})
        add("dense", (10, 3))
        file.attrs["model_config"] = json.dumps({"class_name": "Model", "config": {"layers": layers}})
    return path


def agrees(path: Path, n_mels: int, level: float) -> None:
    network = temporal_pooling(path)
    for seed in range(3):
        x = np.random.default_rng(seed).normal(level, 3.0, size=(647, n_mels))
        with torch.inference_mode():
            ours = torch.softmax(network(torch.from_numpy(x.T[None]).float()), dim=1)[0]
        np.testing.assert_allclose(ours, forward(path, x), atol=1e-5)


def test_equals_numpy(tmp_path):
    agrees(write(tmp_path / "small.h5"), 6, 0.0)


def test_the_published_weights(shared_data):
    path = shared_data / "titus_fma" / "weights_fma_model.h5"
    network = temporal_pooling(path)
    assert (network.convolutions[0].kernel_size, network.convolutions[0].stride) == ((4,), (2,))
    assert network.dense.out_features == 8
    agrees(path, 128, -4.0)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(CheckpointError, match=r"text\.h5: not a complete Keras 2 model"):
        temporal_pooling(tmp_path / "text.h5")
    with pytest.raises(CheckpointError, match=r"gone\.h5"):
        temporal_pooling(tmp_path / "gone.h5")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(CheckpointError, match=r"empty\.h5: not a complete Keras 2 model"):
        temporal_pooling(tmp_path / "empty.h5")
    other = write(tmp_path / "other.h5", ("GlobalMaxPooling1D",))
    with pytest.raises(CheckpointError, match=r"other\.h5: not a network with global temporal pooling"):
        temporal_pooling(other)


@pytest.mark.parametrize(
    ("layer", "setting", "message"),
    [
        ("pool_1", {"pool_size": [3]}, r"pool_size of MaxPooling1D pool_1 is \[3\], not \[2\]"),
        ("relu_0", {"activation": "tanh"}, "activation of Activation relu_0 is tanh, not relu"),
        ("conv_2", {"strides": [1]}, r"strides of Conv1D conv_2 is \[1\], not \[2\]"),
        ("conv_0", {"use_bias": False}, "use_bias of Conv1D conv_0 is False"),
        ("conv_1", {"name": "conv_9"}, "not a complete Keras 2 model in HDF5 .*conv_9"),
        ("dense", {"units": 4}, r"kernel:0 has the type float32 and the shape \[10, 3\]"),
        ("dense", {"units": "many"}, "units is 'many', not a number from 1 to 2048"),
        ("conv_0", {"filters": 10**13}, r"filters of Conv1D conv_1 is 5, not 10000000000000"),
    ],
)
def test_settings_that_would_change_the_result_are_refused(tmp_path, layer, setting, message):
    path = write(tmp_path / "model.h5")
    with h5py.File(path, "a") as file:
        model = json.loads(file.attrs["model_config"])
        (found,) = [each for each in model["config"]["layers"] if each["config"]["name"] == layer]
        found["config"] |= setting
        file.attrs["model_config"] = json.dumps(model)
    with pytest.raises(CheckpointError, match=rf"model\.h5: .*{message}"):
        temporal_pooling(path)


@pytest.mark.parametrize("shape", [(4, 1 << 40, 5), (4, 6), (0, 6, 5), (4, 6, 6)])
def test_shapes_are_checked_before_arrays_are_read(tmp_path, shape):
    """A file can declare a shape of 36 TiB at no cost; the import must not use memory for it."""
    path = write(tmp_path / "model.h5")
    with h5py.File(path, "a") as file:
        group = file["model_weights/conv_0/conv_0"]
        del group["kernel:0"]
        group.create_dataset("kernel:0", shape, "f4", chunks=True if 0 not in shape else None)
    with pytest.raises(CheckpointError, match=r"model\.h5: not"):
        temporal_pooling(path)


@pytest.mark.parametrize("kind", ["i4", "S3"])
def test_arrays_of_other_types_are_refused(tmp_path, kind):
    path = write(tmp_path / "model.h5")
    with h5py.File(path, "a") as file:
        group = file["model_weights/dense/dense"]
        del group["bias:0"]
        group.create_dataset("bias:0", (3,), kind)
    with pytest.raises(CheckpointError, match=r"bias:0 has the type .* and the shape \[3\]"):
        temporal_pooling(path)


def test_damaged_bytes_give_a_one_line_error_or_change_only_numbers(tmp_path):
    path, rng = write(tmp_path / "model.h5"), np.random.default_rng(0)
    whole = path.read_bytes()
    errors = 0
    for _ in range(100):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=4):
            damaged[place] = int(rng.integers(256))
        path.write_bytes(damaged)
        try:
            network = temporal_pooling(path)
        except CheckpointError:
            errors += 1
        else:
            assert all(torch.isfinite(weight).all() for weight in network.parameters())
    assert errors > 10
