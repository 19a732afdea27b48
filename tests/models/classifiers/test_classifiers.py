from collections import Counter
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional

from musicgen_cls.models.classifiers.blocks import ConvBlock, GlobalAverage, apply_memory_format
from musicgen_cls.models.classifiers.cnn import CNN
from musicgen_cls.models.classifiers.cnn5 import CNN5
from musicgen_cls.models.classifiers.vgg import VGG

NETWORKS = [VGG, CNN5, CNN]
SMALL = {VGG: {"width": 4, "pairs": 3}, CNN5: {"width": 4}, CNN: {"width": 4, "hidden": 8}}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def conv_block(channels_in: int, channels_out: int) -> int:
    """Parameters of a 3x3 convolution without bias, and of batch norm."""
    return 9 * channels_in * channels_out + 2 * channels_out


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return request.param(7, **SMALL[request.param])


@pytest.mark.parametrize("size", [(64, 173), (128, 87), (128, 431), (128, 647), (32, 32), (96, 50)])
@pytest.mark.parametrize("batch", [1, 3])
def test_spectrograms_of_any_size_give_logits(network, size, batch):
    logits = network(torch.randn(batch, *size))
    assert logits.shape == (batch, 7)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("cls", NETWORKS)
@pytest.mark.parametrize("num_classes", [2, 10])
def test_number_of_classes(cls, num_classes):
    assert cls(num_classes)(torch.randn(2, 64, 64)).shape == (2, num_classes)


@pytest.mark.parametrize(("width", "pairs", "classes"), [(32, 4, 10), (8, 2, 3), (16, 5, 2)])
def test_parameters_of_vgg(width, pairs, classes):
    expected, channels = 0, 1
    for wider in (width * 2**pair for pair in range(pairs)):
        expected += conv_block(channels, wider) + conv_block(wider, wider)
        channels = wider
    assert count(VGG(classes, width, pairs)) == expected + channels * classes + classes


def test_vgg_of_the_defaults():
    layers = Counter(type(layer) for layer in VGG(10).modules())
    assert layers[nn.Conv2d] == 8
    assert layers[nn.MaxPool2d] == 4
    assert layers[nn.Linear] == 1


def test_vgg_pairs_double_in_width():
    widths = [layer.out_channels for layer in VGG(10).modules() if isinstance(layer, nn.Conv2d)]
    assert widths == [32, 32, 64, 64, 128, 128, 256, 256]


def test_cnn5_is_five_convolutions_each_followed_by_pooling():
    network = CNN5(10)
    order = [type(m) for m in network.modules() if isinstance(m, nn.Conv2d | nn.MaxPool2d | nn.Dropout | nn.Linear)]
    assert order == [nn.Conv2d, nn.MaxPool2d] * 5 + [nn.Dropout, nn.Linear]
    assert Counter(type(m) for m in network.modules())[nn.BatchNorm2d] == 5
    widths = [16, 32, 64, 128, 128]
    expected = sum(conv_block(a, b) for a, b in zip([1, *widths], widths, strict=False))
    assert count(network) == expected + 4 * 128 * 10 + 10
    assert network.head[1].p == 0.5


def test_cnn_is_plain():
    network = CNN(10)
    order = [type(m) for m in network.modules() if isinstance(m, nn.Conv2d | nn.MaxPool2d | nn.Dropout | nn.Linear)]
    assert order == [nn.Conv2d, nn.MaxPool2d] * 3 + [nn.Linear, nn.Dropout, nn.Linear]
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    convolutions = sum(9 * a * b + b for a, b in ((1, 32), (32, 64), (64, 128)))
    assert count(network) == convolutions + (16 * 128 * 64 + 64) + (64 * 10 + 10)


def test_gradient_reaches_every_parameter(network):
    network.train()
    nn.functional.cross_entropy(network(torch.randn(4, 64, 64)), torch.arange(4)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("cls", NETWORKS)
def test_evaluation_is_deterministic_and_training_is_not(cls):
    torch.manual_seed(0)
    network, x = cls(5, **SMALL[cls], dropout=0.5), torch.randn(4, 64, 64)
    network.eval()
    assert torch.equal(network(x), network(x))
    network.train()
    assert not torch.equal(network(x), network(x))


def test_a_window_does_not_depend_on_the_rest_of_the_batch(network):
    network.eval()
    x = torch.randn(6, 64, 64)
    torch.testing.assert_close(network(x)[2:4], network(x[2:4]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
def test_channels_last_changes_no_result(network, training):
    """Logits and the gradient of every weight are the same to rounding."""
    network.train(training)
    other = apply_memory_format(deepcopy(network))
    x, y = torch.randn(3, 64, 96), torch.arange(3)
    for net in (network, other):
        torch.manual_seed(1)  # for dropout
        functional.cross_entropy(net(x), y).backward()
    torch.manual_seed(1)
    want = network(x)
    torch.manual_seed(1)
    torch.testing.assert_close(other(x), want, atol=1e-5, rtol=1e-4)
    for (name, parameter), same in zip(network.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(same.grad, parameter.grad, atol=1e-5, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")


def test_only_classes_with_the_attribute_are_channels_last(network):
    """Weights with one channel are not checked, since both orders are the same for them."""
    plain = nn.Sequential(deepcopy(network))
    for net, asked in ((apply_memory_format(network), True), (apply_memory_format(plain), False)):
        weights = [module.weight for module in net.modules() if isinstance(module, nn.Conv2d)][1:]
        assert weights
        assert all(weight.is_contiguous() != asked for weight in weights)
        assert all(weight.is_contiguous(memory_format=torch.channels_last) == asked for weight in weights)


def test_weights_of_one_memory_order_load_in_the_other(network):
    network.eval()
    x = torch.randn(2, 64, 96)
    other = apply_memory_format(deepcopy(network))
    want = network(x)
    for source, target in ((other, network), (network, other)):
        target.load_state_dict(source.state_dict())
        torch.testing.assert_close(target(x), want, atol=1e-5, rtol=1e-4)
    assert not next(m.weight for m in other.features[1:].modules() if isinstance(m, nn.Conv2d)).is_contiguous()


def test_cnn5_distinguishes_high_from_low_frequencies():
    """The same pattern gives other logits at high frequencies than at low ones."""
    torch.manual_seed(0)
    network = CNN5(5).eval()
    low = torch.zeros(1, 128, 64)
    low[:, :32] = torch.randn(32, 64)
    assert (network(low) - network(low.flip(1))).abs().max() > 1e-3


def test_blocks():
    x = torch.randn(2, 3, 10, 12)
    block = ConvBlock(3, 5)
    assert block(x).shape == (2, 5, 10, 12)
    assert (block(x) >= 0).all()
    torch.testing.assert_close(GlobalAverage()(x), x.flatten(2).mean(2))
