import numpy as np
import pytest
import torch

from musicgen_cls.audio.mulaw import LEVELS, MU, decode, encode


def test_levels_survive_a_round_trip():
    levels = torch.arange(LEVELS)
    assert torch.equal(encode(decode(levels)), levels)


@pytest.mark.parametrize(("sample", "level"), [(-1.0, 0), (1.0, 255), (-7.0, 0), (7.0, 255), (1e-9, 128)])
def test_ends(sample, level):
    assert encode(torch.tensor(sample)) == level


def test_the_law_of_g711():
    """F(x) = sgn(x) ln(1 + mu |x|) / ln(1 + mu): half a level away at most."""
    x = np.linspace(-1, 1, 10_001)
    law = np.sign(x) * np.log(1 + 255 * np.abs(x)) / np.log(256)
    assert np.abs(encode(torch.from_numpy(x)).numpy() - (law + 1) * MU / 2).max() <= 0.5 + 1e-6
    assert MU == 255


def test_levels_rise_with_samples_and_lie_symmetrically():
    values = decode(torch.arange(LEVELS))
    assert values.dtype == torch.float32
    assert (values.diff() > 0).all()
    torch.testing.assert_close(values, -values.flip(0))
    assert (values[0], values[-1]) == (-1, 1)


@pytest.mark.parametrize("loudness_db", [-6.0, -20.0, -34.0])
def test_noise_follows_the_signal(loudness_db):
    """8-bit mu-law keeps about 38 dB between signal and noise over a wide range of loudness."""
    amplitude = 2**0.5 * 10 ** (loudness_db / 20)
    x = amplitude * torch.sin(torch.arange(80_000) * 0.1234)
    snr = 10 * torch.log10(x.square().mean() / (decode(encode(x)) - x).square().mean())
    assert 35 < snr < 41


def test_any_shape():
    assert encode(torch.zeros(2, 3, 4)).shape == (2, 3, 4)
    assert decode(torch.zeros(2, 0, dtype=torch.int64)).shape == (2, 0)
