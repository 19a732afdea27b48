from itertools import islice

import pytest
import torch
from torch import nn

from musicgen_cls.errors import UsageError
from musicgen_cls.models.generators.continuation import Sampling
from musicgen_cls.models.generators.waveform_rnn import WaveformRNN

RATE, CONTEXT, TARGET = 1000, 180, 20
GENRE = torch.zeros(3, dtype=torch.int64)


def small(**options) -> WaveformRNN:
    torch.manual_seed(0)
    return WaveformRNN(1, RATE, TARGET, **{"channels": 8, "kernel": 20, "stride": 10, "hidden": 16} | options)


def seeded(batch: int = 3) -> Sampling:
    return Sampling([torch.Generator().manual_seed(seed) for seed in range(batch)])


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
def test_shapes_and_parameters(cell, bidirectional, layers):
    network = small(cell=cell, bidirectional=bidirectional, layers=layers)
    assert network(torch.randn(3, CONTEXT)).shape == (3, TARGET)
    gates, directions = {"gru": 3, "lstm": 4}[cell], 1 + bidirectional
    inputs = [8] + [16 * directions] * (layers - 1)
    recurrent = sum(directions * gates * 16 * (size + 16 + 2) for size in inputs)
    expected = 8 * (20 + 1) + recurrent + TARGET * (16 * directions + 1)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


def test_layers_of_the_study():
    network = WaveformRNN(1, 10_000, 1000)
    assert [type(part) for part in network.children()] == [nn.Conv1d, nn.GRU, nn.Linear]
    assert network.rnn.bidirectional
    assert network(torch.randn(2, 9000)).shape == (2, 1000)
    assert frozenset() == network.SAMPLING_OPTIONS


def test_loss_is_the_mean_squared_error():
    network = small()
    context, target = torch.randn(3, CONTEXT), torch.randn(3, TARGET)
    expected = (network(context) - target).square().mean()
    torch.testing.assert_close(network.loss(context, target, GENRE), expected)


def test_gradient_reaches_every_parameter():
    network = small()
    network.loss(torch.randn(3, CONTEXT), torch.randn(3, TARGET), GENRE).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_stream_slides_over_its_own_output():
    network, context = small(), torch.randn(3, CONTEXT)
    pieces = list(islice(network.stream(context, GENRE, seeded()), 12))
    audio = context
    for piece in pieces:
        torch.testing.assert_close(piece, network(audio[:, -CONTEXT:]))
        audio = torch.cat([audio, piece], dim=1)
    assert not any(piece.requires_grad for piece in pieces)


def test_a_recording_does_not_depend_on_its_neighbours():
    network, context = small(), torch.randn(3, CONTEXT)
    together = torch.cat(list(islice(network.stream(context, GENRE, seeded()), 5)), dim=1)
    alone = torch.cat(list(islice(network.stream(context[1:2], GENRE[:1], seeded(1)), 5)), dim=1)
    torch.testing.assert_close(together[1:2], alone, atol=1e-6, rtol=1e-5)


def test_learns_a_sine():
    """The mean squared error falls far below the power of the signal, 0.5, whatever the phase."""
    network = small(hidden=32)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    phase = 2 * torch.pi * torch.arange(32) / 32
    wave = torch.sin(phase[:, None] + 0.1 * torch.arange(CONTEXT + TARGET))
    genre = torch.zeros(32, dtype=torch.int64)
    for _ in range(80):
        loss = network.loss(wave[:, :CONTEXT], wave[:, CONTEXT:], genre)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.01


@pytest.mark.parametrize("size", ["channels", "kernel", "stride", "hidden", "layers"])
def test_bad_sizes(size):
    with pytest.raises(UsageError, match=f"{size} 0"):
        small(**{size: 0})


def test_bad_target():
    with pytest.raises(UsageError, match="target_samples 0"):
        WaveformRNN(1, RATE, 0)


def test_context_shorter_than_the_kernel():
    with pytest.raises(UsageError, match=r"network\.kernel 20: longer than the context of 19 samples"):
        small()(torch.randn(1, 19))
