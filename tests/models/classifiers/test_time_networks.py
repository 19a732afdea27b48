"""Networks over time with the bands as channels: Recurrent, ConvLSTM, TemporalPooling."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from musicgen_cls.errors import UsageError
from musicgen_cls.models.classifiers.conv_lstm import ConvLSTM
from musicgen_cls.models.classifiers.recurrent import Recurrent
from musicgen_cls.models.classifiers.temporal_pooling import TemporalPooling

SMALL = {
    "lstm": lambda: Recurrent(7, "lstm", n_mels=16, hidden=8),
    "gru": lambda: Recurrent(7, "gru", n_mels=16, hidden=8),
    "conv_lstm": lambda: ConvLSTM(7, n_mels=16, filters=8, hidden=8),
    "temporal_pooling": lambda: TemporalPooling(7, n_mels=16, filters=8),
}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(params=SMALL)
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return SMALL[request.param]()


@pytest.mark.parametrize(("batch", "frames"), [(1, 173), (3, 647), (2, 128)])
def test_spectrograms_of_any_length_give_logits(network, batch, frames):
    logits = network(torch.randn(batch, 16, frames))
    assert logits.shape == (batch, 7)
    assert torch.isfinite(logits).all()


def test_gradient_reaches_every_parameter(network):
    functional.cross_entropy(network(torch.randn(4, 16, 128)), torch.arange(4)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_a_window_does_not_depend_on_the_rest_of_the_batch(network):
    network.eval()
    x = torch.randn(6, 16, 128)
    torch.testing.assert_close(network(x)[2:4], network(x[2:4]), atol=1e-5, rtol=1e-4)


def test_learns_to_distinguish_two_tones(network):
    """Two genres that differ in the loud band."""
    torch.manual_seed(0)
    y = torch.arange(32) % 2
    x = torch.randn(32, 16, 128)
    x[y == 1, 3] += 2.0
    x[y == 0, 9] += 2.0
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(40):
        loss = functional.cross_entropy(network(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert (network.eval()(x).argmax(dim=1) == y).float().mean() > 0.95


def test_sizes_of_temporal_pooling_are_those_of_the_published_weights():
    network = TemporalPooling(8)
    assert count(network) == (4 * 128 * 256 + 256) + 2 * (4 * 256 * 256 + 256) + (512 * 8 + 8)
    steps = network.convolutions(torch.randn(1, 128, 647)).shape[2]
    assert steps == 9  # 647 -> 322 -> 161 -> 79 -> 39 -> 18 -> 9, as Keras counts without padding


def test_temporal_pooling_is_invariant_to_time_shifts():
    """A shift by a whole number of strides gives the same output, but for the edges."""
    torch.manual_seed(0)
    network = TemporalPooling(5, n_mels=16, filters=8).eval()
    early, late = torch.zeros(1, 16, 64 * 8), torch.zeros(1, 16, 64 * 8)
    sound = torch.randn(16, 64)
    early[0, :, 64:128], late[0, :, 256:320] = sound, sound
    torch.testing.assert_close(network(early), network(late), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("weights", ["linear", "uniform"])
def test_conv_lstm_gives_the_log_of_the_weighted_average(weights):
    torch.manual_seed(0)
    network = ConvLSTM(5, n_mels=16, filters=8, hidden=8, weights=weights).eval()
    x = torch.randn(3, 16, 200)
    with torch.inference_mode():
        steps, logits = network.step_probabilities(x), network(x)
    weight = torch.arange(1.0, steps.shape[1] + 1) if weights == "linear" else torch.ones(steps.shape[1])
    average = (steps * weight[:, None]).sum(dim=1) / weight.sum()
    torch.testing.assert_close(logits.exp(), average)
    torch.testing.assert_close(functional.softmax(logits, dim=1), average)
    torch.testing.assert_close(steps.sum(dim=2), torch.ones(steps.shape[:2]))


def test_conv_lstm_has_256_filters_of_length_4():
    convolutions = [layer for layer in ConvLSTM(10).modules() if isinstance(layer, nn.Conv1d)]
    assert {(layer.out_channels, layer.kernel_size) for layer in convolutions} == {(256, (4,))}


def test_temporal_pooling_has_probabilities_at_each_step():
    network = TemporalPooling(5, n_mels=16, filters=8).eval()
    steps = network.step_probabilities(torch.randn(2, 16, 200))
    assert steps.shape == (2, network.convolutions(torch.randn(2, 16, 200)).shape[2], 5) == (2, 2, 5)
    torch.testing.assert_close(steps.sum(dim=2), torch.ones(2, 2))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: TemporalPooling(8, filters=0), "filters 0"),
        (lambda: TemporalPooling(8, stride=0), "stride 0"),
        (lambda: ConvLSTM(8, kernel=-1), "kernel -1"),
        (lambda: Recurrent(8, layers=0), "layers 0"),
    ],
)
def test_sizes_below_1_are_refused(make, named):
    with pytest.raises(UsageError, match=named):
        make()


def test_no_weight_can_be_channels_last(network):
    """No weight has four axes."""
    assert all(parameter.ndim < 4 for parameter in network.parameters())
