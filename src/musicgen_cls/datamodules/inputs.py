"""From windows of audio to the input of a network, as a checkpoint describes it, without Lightning and a datamodule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from musicgen_cls.datamodules.front_end import (
    FrontEnd,
    MelFrontEnd,
    RowFrontEnd,
    check_frames,
    check_window,
    full_scale,
)
from musicgen_cls.errors import check_positive, check_rate
from musicgen_cls.pretrained.embedder import embedded, tags_of
from musicgen_cls.pretrained.load import check_digests, digests_of, load

Settings = dict[str, Any]
"""The arguments of a datamodule, or its state, as a checkpoint has them."""


@dataclass(frozen=True)
class AudioInput:
    """What a datamodule on audio does in prediction; the names are those of `AudioDataModule`."""

    genres: list[str]
    sample_rate: int
    """Sample rate of the windows, Hz."""
    window_samples: int
    """Length of a window, samples."""
    batch_size: int
    network_input: Callable[[Tensor], Tensor]
    """Windows, int16 `[batch, samples]`, to the input of the network."""


def audio_input(datamodule: str, arguments: Settings, state: Settings, device: torch.device) -> AudioInput | None:
    """The input of a network; None if the datamodule is not one of this package that reads audio for classifiers.

    Args:
        datamodule: path of its class.
        arguments: its arguments.
        state: its state in the checkpoint.
        device: where to compute.

    Raises:
        KeyError: the checkpoint has not all settings, as one of an older version.
        UsageError: a setting is one that the datamodule refuses.
        CheckpointError: the weights of a backbone differ from those in training.
        SourceError: the weights of a backbone cannot be fetched.
    """
    make = _INPUTS.get(datamodule)
    return None if make is None else make(arguments, state, device)


def _of_mel(arguments: Settings, state: Settings, device: torch.device) -> AudioInput:
    names = ("sample_rate", "n_fft", "hop_length", "n_mels", "logarithm")
    check_positive("--data.", hop_length=arguments["hop_length"], n_mels=arguments["n_mels"])
    check_frames(arguments["n_fft"], arguments["n_mels"], _samples(arguments, arguments["sample_rate"]))
    return _of_windows(MelFrontEnd(**{name: arguments[name] for name in names}), arguments, state, device)


def _of_waveforms(arguments: Settings, state: Settings, device: torch.device) -> AudioInput:
    return _of_windows(FrontEnd(full_scale), arguments, state, device)


def _of_windows(front_end: FrontEnd, arguments: Settings, state: Settings, device: torch.device) -> AudioInput:
    rate = arguments["sample_rate"]
    samples = _samples(arguments, rate)
    return AudioInput(arguments["genres"], rate, samples, arguments["batch_size"], _loaded(front_end, state, device))


def _samples(arguments: Settings, rate: int) -> int:
    """The length of a window of `seconds`, once the settings are checked, samples."""
    seconds = arguments["seconds"]
    check_rate("--data.", rate)
    check_positive("--data.", seconds=seconds, batch_size=arguments["batch_size"])
    return check_window(seconds, rate)


def _of_embeddings(arguments: Settings, state: Settings, device: torch.device) -> AudioInput:
    names, rows, part = (arguments[name] for name in ("backbones", "rows", "part"))
    networks = [load(name).to(device) for name in names]
    check_digests(state["backbones"], digests_of(names, networks.__getitem__))
    rate = max(network.sample_rate for network in networks)
    head = RowFrontEnd(sum(network.dim for network in networks)) if part == "embeddings" else FrontEnd()
    front_end = _loaded(head, state, device)

    def network_input(pcm: Tensor) -> Tensor:
        found = embedded(networks, rate, pcm, rows)
        return front_end(tags_of(networks, found) if part == "tags" else found)

    check_positive("--data.", rows=rows)
    samples = rows * _samples(arguments, rate)
    return AudioInput(arguments["genres"], rate, samples, arguments["batch_size"], network_input)


def _loaded(front_end: FrontEnd, state: Settings, device: torch.device) -> Callable[[Tensor], Tensor]:
    front_end.standardise.load_state_dict(state["front_end"])
    return front_end.to(device).eval()


_INPUTS = {
    "musicgen_cls.datamodules.Embeddings": _of_embeddings,
    "musicgen_cls.datamodules.MelSlices": _of_mel,
    "musicgen_cls.datamodules.WaveformSlices": _of_waveforms,
}
