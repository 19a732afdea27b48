import math

import torch

from musicgen_cls.audio import mulaw


def test_every_level_comes_back():
    levels = torch.arange(mulaw.LEVELS)
    assert torch.equal(mulaw.encode(mulaw.decode(levels)), levels)


def test_companding_is_that_of_the_formula():
    for x in (-1.0, -0.3, -0.001, 0.0, 0.02, 0.7, 1.0):
        want = math.copysign(math.log1p(255 * abs(x)) / math.log1p(255), x)
        assert mulaw.encode(torch.tensor(x)) == math.floor((want + 1) / 2 * 255 + 0.5)


def test_error_is_small_beside_the_sample():
    x = torch.linspace(-1, 1, 10_001)
    error = (mulaw.decode(mulaw.encode(x)) - x).abs()
    assert (error <= 0.0225 * x.abs() + 1e-4).all()


def test_beyond_full_scale_is_full_scale():
    assert mulaw.encode(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]
