"""Backbones by name, and their digests."""

from pathlib import Path

import pytest
import torch

from musicgen_cls.errors import UsageError
from musicgen_cls.models.backbones import MusiCNN
from musicgen_cls.pretrained import load
from musicgen_cls.pretrained.embedder import Embedder, resampled, tags_of
from musicgen_cls.pretrained.load import digest_of

OWN = """
import torch
from musicgen_cls.models.backbones import Backbone


class Loudness(Backbone):
    sample_rate, dim, hop_seconds = 8000, 2, 1.0

    def embed(self, waveform):
        seconds = self.filled(waveform).unfold(1, 8000, 8000)
        return torch.stack([seconds.square().mean(2), seconds.abs().amax(2)], dim=2)
"""


def test_names_layers_and_random_weights(invented):
    assert load("msd_musicnn").dim == 200
    assert load("msd_musicnn:mean_pool").dim == 753
    assert load("random_yamnet").dim == 1024
    assert digest_of(load("random_yamnet")) == digest_of(load("random_yamnet")) != digest_of(load("yamnet"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("yamnat", "no pretrained network of this name; did you mean 'yamnet'"),
        ("random_x", "no pretrained network"),
        ("yamnet:last", "yamnet has one layer only"),
        ("msd_musicnn:last", "MusiCNN has no layer 'last'"),
        ("torch.nn.Linear", "not a Backbone"),
        ("unknown_module.Net", "not of this package"),
    ],
)
def test_names_that_are_wrong(name: str, said: str):
    with pytest.raises(UsageError, match=said):
        load(name, weights=False)


def test_an_own_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "loudness_18.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MUSICGEN_CLS_TRUST", "loudness_18")
    found = load("loudness_18.Loudness")
    assert found.embed(torch.ones(1, 16000)).tolist() == [[[1.0, 1.0], [1.0, 1.0]]]
    embedder = Embedder([found, found], 16000)
    assert embedder(torch.full((3, 32000), 16384, dtype=torch.int16)).shape == (3, 4)


def test_the_digest_is_of_names_shapes_and_values():
    torch.manual_seed(0)
    one = MusiCNN()
    before = digest_of(one)
    with torch.no_grad():
        one.output.bias[3] += 1e-6
    assert digest_of(one) != before


def test_the_embedder_averages_over_time_and_keeps_the_order(invented):
    networks = [load("yamnet"), load("msd_musicnn")]
    pcm = (torch.randn(10, 48000) * 3000).to(torch.int16)
    rows = Embedder(networks, 16000)(pcm)
    assert rows.shape == (10, 1224)
    x = pcm[7:8].float() / 32768
    assert torch.allclose(rows[7, :1024], networks[0].embed(x).mean(1)[0], atol=1e-4)
    assert torch.allclose(rows[7, 1024:], networks[1].embed(x).mean(1)[0], atol=1e-4)
    tags = tags_of(networks, rows)
    assert torch.allclose(tags[7, :521], networks[0].tags(x).mean(1)[0], atol=1e-4)
    assert torch.allclose(tags[7, 521:], networks[1].tags(x).mean(1)[0], atol=1e-4)


def test_resampling_leaves_nothing_above_the_lower_limit():
    seconds = torch.arange(32000, dtype=torch.float64) / 16000
    kept, gone = (torch.sin(2 * torch.pi * hz * seconds).float()[None] for hz in (1000.0, 4500.0))
    middle = slice(2000, 14000)
    assert resampled(gone, 16000, 8000)[0, middle].abs().max() < 1e-4  # -80 dB
    expected = kept[0, ::2]
    assert (resampled(kept, 16000, 8000)[0] - expected)[middle].abs().max() < 1e-3
    assert resampled(kept, 16000, 16000) is kept
