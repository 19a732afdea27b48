"""Embeddings of pretrained networks, computed once for each track."""

from __future__ import annotations

from functools import cached_property, partial
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from musicgen_cls.audio.io import Pcm, Waveform
from musicgen_cls.audio.windows import to_samples
from musicgen_cls.collection.collection import Collection
from musicgen_cls.collection.embeddings import embed_collection
from musicgen_cls.datamodules.audio import AudioDataModule
from musicgen_cls.datamodules.division import match_genres
from musicgen_cls.datamodules.export import ExportedInput
from musicgen_cls.datamodules.front_end import FrontEnd, RowFrontEnd
from musicgen_cls.engines.local import in_turn
from musicgen_cls.errors import UsageError, check_positive
from musicgen_cls.models.backbones import Backbone
from musicgen_cls.pretrained.embedder import SHORTEST_S, Embedder, embedded, rows_of, tags_of
from musicgen_cls.pretrained.load import check_digests, digests_of, facts_of, load
from musicgen_cls.sources.base import Source

Part = Literal["embeddings", "tags"]


class Embeddings(AudioDataModule):
    """Rows of embeddings, one for each window of `seconds`, that pretrained networks computed once for each track.

    The rows are kept beside the decoded audio, under the name of each network with the digest of its weights. The
    networks stay as they are; a checkpoint keeps their names and digests, not their weights. A track shorter than
    a window is repeated until it fills one.

    Batches: `x` `[batch, rows, dim]`, as z-scores with mean and standard deviation of the training rows; `y`, `track`,
    `index` `[batch]` int64; `start_s` `[batch]` s.

    Further arguments are those of `AudioDataModule`, `GenreDataModule` and `TrackDataModule`.

    Args:
        source: the tracks: `Folder`, `GTZAN`, `FMA`, `HubDataset`, `Manifest`, `Shards` or `SyntheticGenres`.
            Not needed to predict files.
        backbones: names of pretrained networks, see `musiccli pretrained`, such as `yamnet` or `[yamnet, msd_musicnn]`,
            whose rows are then side by side; `random_yamnet` for the same network with random weights; `NAME:LAYER` for
            another layer; `organisation/name@revision` for an audio encoder of the Hugging Face hub; or the path of
            your own class, such as `my_file.MyBackbone`.
        seconds: length of the audio for one row, s.
        rows: number of consecutive rows in a window.
        windows_per_track: maximum number of windows of a track, evenly spaced, without overlap; all if not set.
        part: `embeddings`; or `tags`, the logits of the networks' tags instead, which are not standardised.
        batch_size: windows in a batch.
    """

    INPUT_ARGUMENTS: ClassVar[tuple[str, ...]] = ("backbones", "seconds", "rows", "part")

    def __init__(
        self,
        source: Source | None = None,
        backbones: list[str] | str = ("yamnet", "msd_musicnn"),  # type: ignore[assignment]
        seconds: float = 3.0,
        rows: int = 1,
        windows_per_track: int | None = None,
        part: Part = "embeddings",
        batch_size: int = 64,
        **kwargs: Any,
    ) -> None:
        check_positive("--data.", rows=rows)
        check_positive("--data.", windows_per_track=1 if windows_per_track is None else windows_per_track)
        self.backbones = [backbones] if isinstance(backbones, str) else list(backbones)
        if not self.backbones:
            raise UsageError("--data.backbones: empty; name one, such as yamnet")
        self.rows, self.windows_per_track, self.part = rows, windows_per_track, part
        self._shapes = [load(name, weights=False) for name in self.backbones]
        rate = max(shape.sample_rate for shape in self._shapes)
        self.audio: Collection | None = None
        """The tracks with their audio."""
        super().__init__(source=source, sample_rate=rate, seconds=seconds, batch_size=batch_size, **kwargs)
        self.front_end = RowFrontEnd(self.dim) if part == "embeddings" else FrontEnd()

    @property
    def window_samples(self) -> int:
        """Length of the audio of a window, samples."""
        return self.rows * to_samples(self.seconds, self.sample_rate)

    @property
    def window_length(self) -> int:
        """Length of a window, rows."""
        return self.rows

    @property
    def dim(self) -> int:
        """Numbers in a row."""
        return sum(shape.dim for shape in self._shapes)

    def columns(self, name: str) -> npt.NDArray[np.int64]:
        """The places of a backbone's numbers in a row."""
        dims = [shape.dim for shape in self._shapes]
        number = self.backbones.index(name)
        return np.arange(sum(dims[:number]), sum(dims[: number + 1]))

    @property
    def pretrained(self) -> list[dict[str, str]]:
        """Facts about the backbones, for reports."""
        pairs = zip(self.backbones, self._shapes, strict=True)
        return [facts_of(name, shape) | {"digest": self.digests[name]} for name, shape in pairs]

    @cached_property
    def networks(self) -> list[Backbone]:
        """The backbones with their weights."""
        return [load(name) for name in self.backbones]

    @cached_property
    def digests(self) -> dict[str, str]:
        """The digest of the weights of each backbone."""
        return digests_of(self.backbones, lambda number: self.networks[number])

    def network_input(self, items: Tensor, training: bool = False) -> Tensor:
        """The input of the network from rows `[batch, rows, dim]` or windows of audio, int16 `[batch, samples]`."""
        networks = self.networks_on(items.device)
        rows = embedded(networks, self.sample_rate, items, self.rows) if items.dtype == torch.int16 else items
        return super().network_input(tags_of(networks, rows) if self.part == "tags" else rows, training)

    def exported_input(self) -> ExportedInput:
        """A waveform, which is rounded to 16 bits and clipped, as in training; the file has the networks."""
        return self.waveform_input({"backbones": self.backbones})

    def exported_front_end(self) -> nn.Module:
        """The networks and the front end, for windows of audio."""
        return _WithNetworks(self.networks, self.sample_rate, self.rows, self.part, self.front_end.fixed())

    def networks_on(self, device: torch.device) -> list[Backbone]:
        """The backbones with their weights, moved to a device."""
        return [network.to(device) for network in self.networks]

    def first_seconds(self, row: int, seconds: float) -> Waveform:
        """The first seconds of a track of the collection, `[samples]`."""
        assert self.audio is not None
        return self.audio.waveform(row, to_samples(seconds, self.sample_rate))

    @property
    def size_remedy(self) -> str:
        """The remedy if a network cannot take rows of embeddings."""
        return "embeddings need a head: set --model.network to LinearProbe, AttentionPool or MLP"

    def blank_window(self) -> Tensor:
        """Rows of zeros, `[1, rows, dim]`."""
        return torch.zeros(1, self.rows, self.dim)

    def fit_front_end(self) -> None:
        """Fit mean and standard deviation on training rows."""
        self.front_end.fit(self.sample_windows(self.windows["train"], 8192))

    def read_tracks(self) -> Collection:
        """Decode and embed the files of the source that are not in the stores yet."""
        self.audio = self.collect_audio(SHORTEST_S)
        if self.split != "segment":  # an impossible split is an error now, and not after minutes of embedding
            self.sides_of(match_genres(self.audio, self.genres, self.location))
        window = to_samples(self.seconds, self.sample_rate)
        embedders = [
            (f"{name}-{self.digests[name]}", shape.dim, _Embed(self, number))
            for number, (name, shape) in enumerate(zip(self.backbones, self._shapes, strict=True))
        ]
        return embed_collection(self.audio, window, embedders, self.cluster or in_turn)

    def state_dict(self) -> dict[str, Any]:
        """The state of all datamodules, and the digests of the backbones."""
        return {**super().state_dict(), "backbones": self.digests}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state that `state_dict` returned.

        Raises:
            CheckpointError: the weights of a backbone differ from those in training.
        """
        check_digests(state_dict["backbones"], self.digests)
        super().load_state_dict(state_dict)


class _Embed:
    """A backbone as a function from windows of audio to rows; its weights are loaded when it is called, or pickled.

    Args:
        data: the datamodule with the backbones.
        number: the place of the backbone.
    """

    def __init__(self, data: Embeddings, number: int) -> None:
        self.data, self.number = data, number

    @property
    def embedder(self) -> Embedder:
        """The backbone for the audio of the datamodule."""
        return Embedder([self.data.networks[self.number]], self.data.sample_rate)

    def __call__(self, pcm: Pcm) -> npt.NDArray[np.float32]:
        return rows_of(self.embedder, pcm)

    def __reduce__(self) -> Any:  # a process of a cluster gets the weights, not the datamodule
        return partial, (rows_of, self.embedder)


class _WithNetworks(nn.Module):
    """Windows of audio `[batch, samples]`, in units of 16 bits, to the input of the head `[batch, rows, dim]`."""

    def __init__(self, networks: list[Backbone], sample_rate: int, rows: int, part: Part, front_end: FrontEnd) -> None:
        super().__init__()
        self.embedder, self.front_end = Embedder(networks, sample_rate).eval(), front_end
        self.networks, self.rows, self.part = networks, rows, part

    def forward(self, pcm: Tensor) -> Tensor:
        rows = self.embedder.at_once(pcm.reshape(-1, pcm.shape[1] // self.rows))
        rows = rows.reshape(-1, self.rows, rows.shape[1])
        x: Tensor = self.front_end(rows if self.part == "embeddings" else tags_of(self.networks, rows))
        return x
