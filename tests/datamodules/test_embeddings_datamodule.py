"""The datamodule of embeddings: batches, front end, checks of a checkpoint's networks."""

from pathlib import Path

import pytest
import torch

from musicgen_cls.datamodules import Embeddings, embeddings
from musicgen_cls.errors import CheckpointError, SplitError, UsageError
from musicgen_cls.pretrained import WEIGHTS, load
from musicgen_cls.pretrained.embedder import Embedder
from musicgen_cls.sources.folder import Folder

pytestmark = pytest.mark.usefixtures("invented")


def opened(songs: Path, stage: str = "fit", **options) -> Embeddings:
    options = {"backbones": "random_msd_musicnn", "fractions": (0.5, 0.25, 0.25), "split": "track"} | options
    data = Embeddings(Folder(str(songs)), **options)
    data.prepare_fit()
    data.setup(stage)
    return data


def test_batches_are_z_scores_of_rows(songs: Path):
    data = opened(songs, seconds=1.0, rows=2)
    batch = next(iter(data.train_dataloader()))
    assert batch["x"].shape[1:] == (2, 200)
    x = torch.cat([data.network_input(batch["x"]) for batch in data.train_dataloader()])
    std = x.flatten(0, 1).std(0)
    assert x.flatten(0, 1).mean(0).abs().max() < 0.1
    assert ((std - 1).abs() < 0.1)[std > 1e-3].all()  # some numbers of a random network are constant
    assert (std > 1e-3).float().mean() > 0.5
    assert data.window_seconds == 2.0
    assert data.window_samples == 32000
    assert data.blank_window().shape == (1, 2, 200)


def test_audio_gives_what_the_store_holds(songs: Path):
    data = opened(songs, seconds=1.0, rows=2)
    row = int(data.windows["test"].track[0])
    start = int(data.collection.offset[row])
    pcm = data.audio.items[int(data.audio.offset[row]) :][:32000]
    stored = torch.from_numpy(data.collection.items[start : start + 2].copy())[None]
    from_audio = data.network_input(torch.from_numpy(pcm.copy())[None])
    assert torch.allclose(from_audio, data.network_input(stored), atol=2e-3)
    assert data.first_seconds(row, 1.0).shape == (16000,)


def test_an_impossible_split_is_an_error_before_anything_is_embedded(songs: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embeddings, "embed_collection", lambda *args: pytest.fail("embedded"))
    with pytest.raises(SplitError, match="split 'official'"):
        opened(songs, split="official")


def test_side_by_side_and_layers(songs: Path):
    data = opened(songs, backbones=["random_yamnet", "random_msd_musicnn:max_pool"], windows_per_track=1)
    assert data.dim == 1024 + 753
    assert next(iter(data.val_dataloader()))["x"].shape[1:] == (1, 1777)
    assert data.columns("random_msd_musicnn:max_pool").tolist() == list(range(1024, 1777))
    assert [facts["name"] for facts in data.pretrained] == ["random_yamnet", "random_msd_musicnn:max_pool"]
    assert data.pretrained[0]["trained_on"] == "nothing"


def test_tags_are_not_standardised(songs: Path):
    data = opened(songs, backbones=["yamnet"], part="tags")
    items = next(iter(data.test_dataloader()))["x"]
    expected = load("yamnet").tags_of(items)
    assert torch.allclose(data.network_input(items), expected, atol=1e-4)
    assert data.network_input(items).shape[-1] == 521


def test_other_weights_than_in_training_are_refused(songs: Path, monkeypatch: pytest.MonkeyPatch):
    from dataclasses import replace

    data = opened(songs, backbones=["msd_musicnn"], windows_per_track=1)
    state = data.state_dict()
    assert state["backbones"] == {"msd_musicnn": WEIGHTS["msd_musicnn"].digest}
    Embeddings(backbones=["msd_musicnn"], genres=["a", "b"]).load_state_dict(state)
    monkeypatch.setitem(WEIGHTS, "msd_musicnn", replace(WEIGHTS["msd_musicnn"], digest="0123456789abcdef"))
    with pytest.raises(CheckpointError, match=r"trained on embeddings of msd_musicnn .* have 0123456789abcdef"):
        Embeddings(backbones=["msd_musicnn"], genres=["a", "b"]).load_state_dict(state)


def test_a_shape_that_is_none():
    class Flat(type(load("msd_musicnn"))):
        def embed(self, waveform):
            return super().embed(waveform)[:, 0]

    with pytest.raises(UsageError, match=r"Flat gives the shape \[2, 200\] for 2 windows; it must be"):
        Embedder([Flat()], 16000)(torch.zeros(2, 48000, dtype=torch.int16))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backbones": []}, "--data.backbones: empty"),
        ({"rows": 0}, "--data.rows 0"),
        ({"seconds": 0.0}, "--data.seconds 0"),
        ({"backbones": ["yamnat"]}, "did you mean 'yamnet'"),
        ({"backbones": ["msd_musicnn:max_pool"], "part": "tags"}, "tags come from the layer penultimate"),
        ({"backbones": ["random_yamnet"], "part": "tags"}, "has no tags"),
    ],
)
def test_arguments_that_are_wrong(options, said: str):
    def use() -> None:
        data = Embeddings(genres=["a", "b"], **options)
        data.network_input(data.blank_window())

    with pytest.raises(UsageError, match=said):
        use()
